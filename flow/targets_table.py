"""One network on an UP5K, an HX8K and a chip of crossbars, side by side, and what each number is.

`measured` comes from a build of the run's network, `estimated` from a model, `counted` follows
exactly from the network, `given` is the board's or the array's. A device on which the network does
not fit, or that has no place for a layer, says so.
"""

import math

from msgspec import Struct
from rich.table import Table

from . import targets
from .cim.array import Array
from .cim.cost.price import price
from .cim.mapper import map_network
from .cim.shapes import of_graph
from .cost.energy import energy_if_known
from .cost.estimate import estimate
from .errors import RunError, SpikeloomError
from .ir import Graph
from .passes.folding import event_driven
from .passes.schedule import inference_cycles
from .report import Report, read_report
from .run import Run

#: Devices, and the boards whose clocks theirs are where the run has no build.
DEVICES = {"UP5K": "icebreaker", "HX8K": "ice40_hx8k_b_evn"}
CIM = "CIM"
MEASURED, ESTIMATED, COUNTED, GIVEN = "measured", "estimated", "counted", "given"
#: Rows, and the digits of each.
ROWS = {"lc": ("LCs", 0), "ebr": ("EBRs", 0), "tiles": ("tiles", 0), "mm2": ("mm2", 3),
        "fmax_mhz": ("Fmax [MHz]", 1), "clock_mhz": ("clock [MHz]", 1),
        "us": ("us an inference", 3), "uj": ("uJ an inference", 4)}


class Number(Struct, frozen=True, kw_only=True):
    """A value and what it is; low, high: the interval of an estimate that has one. most: no
    inference is above it.
    """

    value: float
    basis: str
    low: float | None = None
    high: float | None = None
    most: bool = False


class Target(Struct, frozen=True, kw_only=True):
    """A network on a device. problem: why it cannot be there, else empty; digital: layers that are
    not, and in none of its numbers; notes: what is left out or assumed of it.
    """

    name: str
    board: str = ""
    numbers: dict[str, Number]
    problem: str = ""
    digital: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def on_targets(run: Run, graph: Graph, array: Array) -> list[Target]:
    """The compiled network of a run on every device."""
    return [*(_fpga(run, graph, name) for name in DEVICES), _cim(graph, array)]


def _fpga(run: Run, graph: Graph, name: str) -> Target:
    report = _built(run, graph, name)
    board = targets.board(DEVICES[name])
    label, clock_mhz = (report.board, report.clock_mhz) if report else (board.name,
                                                                        board.clock_hz / 1e6)
    try:
        numbers, problem = _measured(report) if report else _estimated(graph, name)
    except SpikeloomError as error:
        return Target(name=name, board=label, numbers={}, problem=str(error))
    cycles, notes = inference_cycles(graph), []
    numbers |= {"clock_mhz": Number(value=clock_mhz, basis=GIVEN),
                "us": Number(value=cycles / clock_mhz, basis=COUNTED, most=event_driven(graph))}
    energy = energy_if_known(name, numbers["lc"].value, cycles, clock_mhz * 1e6,
                             report.clock if report else "board")
    if energy is None:
        notes.append(f"no energy figures of the {name} are known")
    else:
        numbers["uj"] = Number(value=energy.total_nj / 1e3, low=energy.low_nj / 1e3,
                               high=energy.total_nj / 1e3, basis=ESTIMATED)
        notes += ["energy with the UP5K's dynamic figures"] if energy.borrowed else []
    if not report:
        lowering = ", ".join(sorted({synapses.lowering for synapses, _ in graph.layers}))
        notes.append(f"not built: as {lowering}; 'spikeloom synth --board {label}' measures it, "
                     "'--fit' tries smaller lowerings")
    return Target(name=name, board=label, numbers=numbers, problem=problem, notes=tuple(notes))


def _built(run: Run, graph: Graph, name: str) -> Report | None:
    """The report of a build of this very network on the device, without its witness."""
    found = []
    for _, path in run.builds():
        try:
            report = read_report(path)
        except RunError:
            continue
        if report.device == name and report.design == graph.digest():
            found.append(report)
    return min(found, key=lambda report: (not report.fits, report.lc), default=None)


def _measured(report: Report) -> tuple[dict[str, Number], str]:
    numbers = {key: Number(value=getattr(report, key), basis=MEASURED) for key in ("lc", "ebr")}
    if report.bound:
        numbers["lc"] = Number(value=report.lc, low=report.lc, basis=COUNTED)
    if report.fits:
        numbers["fmax_mhz"] = Number(value=report.fmax_mhz, basis=MEASURED)
    slow = "" if report.meets_clock or not report.fits else (
        f"Fmax {report.fmax_mhz:.1f} MHz misses the board's {report.needed_mhz:g} MHz")
    return numbers, report.problem or slow


def _estimated(graph: Graph, name: str) -> tuple[dict[str, Number], str]:
    found = estimate(graph, name)
    numbers = {key: Number(value=getattr(found, key), low=getattr(found, f"{key}_low"),
                           high=getattr(found, f"{key}_high"), basis=ESTIMATED)
               for key in ("lc", "fmax_mhz")}
    numbers["ebr"] = Number(value=found.ebr, basis=COUNTED)
    used = {"lc": math.ceil(found.lc), "ebr": found.ebr, "spram": found.spram}
    return numbers, targets.advice(name, used) if targets.device(name).excess(used) else ""


def _cim(graph: Graph, array: Array) -> Target:
    """Priced as `spikeloom map` does, in mode `physical`."""
    label = f"{array.rows} x {array.cols}"
    network = of_graph(graph)
    digital = tuple(layer.name for layer in network.layers if layer.digital)
    notes = tuple(f"{layer.name} stays digital and is in none of the numbers: {layer.digital}"
                  for layer in network.layers if layer.digital)
    common = {"name": CIM, "board": label, "digital": digital}
    if len(digital) == len(network.layers):
        return Target(**common, numbers={}, problem="no layer is on crossbars", notes=notes)
    try:
        plan = map_network(network, array)
        cost = price(network, array, plan=plan)
    except SpikeloomError as error:
        return Target(**common, numbers={}, problem=str(error), notes=notes)
    numbers = {"tiles": Number(value=cost.tiles, basis=COUNTED),
               "mm2": Number(value=cost.area_mm2, basis=ESTIMATED),
               "clock_mhz": Number(value=array.clock_mhz, basis=GIVEN),
               "us": Number(value=1e3 * cost.latency_ms, basis=ESTIMATED),
               "uj": Number(value=cost.energy_uj, basis=ESTIMATED)}
    return Target(**common, numbers=numbers, notes=(
        *notes, f"{array.cell_bits} bit{'s' if array.cell_bits > 1 else ''} a cell, ADCs of "
        f"{array.adc_bits} bits, {array.encoding}; mode {cost.mode}, figures of {cost.node:g} nm; "
        "'spikeloom map' lists what is assumed"))


def table(found: list[Target]) -> Table:
    """A column a device, a row a number."""
    shown = Table(title="the same network on every target; the image's transfer is left out",
                  title_justify="left")
    shown.add_column("")
    for target in found:
        shown.add_column(f"{target.name}, {target.board}", justify="right")
    for key, (title, digits) in ROWS.items():
        shown.add_row(title, *(_text(target.numbers.get(key), digits) for target in found))
    shown.add_row("fits", *(_fits(target) for target in found))
    return shown


def _fits(target: Target) -> str:
    if target.problem:
        return "no"
    return f"but for {', '.join(target.digital)}" if target.digital else "yes"


def lines(found: list[Target]) -> list[str]:
    """What is wrong with a target, and what its numbers leave out."""
    return [f"{target.name}: {text}" for target in found
            for text in (*filter(None, [target.problem]), *target.notes)]


def _text(number: Number | None, digits: int) -> str:
    if number is None:
        return "-"
    value = f"{number.value:,.{digits}f}"
    if number.low is not None and number.high is not None:
        value = f"{number.low:,.{digits}f}..{number.high:,.{digits}f}"
    elif number.low is not None:
        value = f"at least {value}"
    return f"{'at most ' if number.most else ''}{value} {number.basis}"
