"""``spikeloom sim --level crossbar``: a run's network on RRAM crossbars, with what is not ideal.

With every effect off the level is held to equality with the reference model, as every other one;
with any on it is measured: accuracy over draws, errors by layer, what converters see, and the same
after repair.
"""

import json
from pathlib import Path

import msgspec
from msgspec import structs
from rich.table import Table

from ...flow.cim import devices
from ...flow.cim.array import Array
from ...flow.cim.settings import array_of
from ...flow.errors import ConfigError, unknown
from ...flow.files import write_atomic
from ...flow.output import Wide
from ...flow.passes.compile import compile_graph
from ...flow.run import Run
from .. import reference
from ..compare import ALL, compare, compared, described
from ..crossbar import files, network, report
from ..crossbar import repair as repairs
from ..crossbar.adc import METHODS
from ..crossbar.effects import FULL_SCALES, IR_DROPS, Effects, as_built
from ..crossbar.repair import Repair
from ..images import shaped

LEVEL = "crossbar"
REPORT = "report.json"
DRAWS = 20

#: Options that are a field of `Effects`, with the type and the help of each.
_EFFECTS = {
    "variation": (float, "S", "sigma of programming (SpikeSim: 0.1)"),
    "variation_law": (str, "LAW", f"its law: {', '.join(devices.LAWS)} (default: proportional, or "
                                  "states with --states)"),
    "stuck_on": (float, "P", "share of cells stuck in the most conducting state"),
    "stuck_off": (float, "P", "share of cells stuck in the least conducting state"),
    "drift_nu": (float, "NU", "exponent of drift, (t / t0)^-NU"),
    "drift_ratio": (float, "R", "its t / t0"),
    "read_noise": (float, "S", "sigma of a cell's conductance in each read, as a share of it"),
    "ir_drop": (str, "WIRES", f"{', '.join(IR_DROPS)}: r_col of the array, full: and r_row"),
    "adc_bits": (int, "N", "converters of so many bits, in place of ideal ones"),
    "full_scale": (str, "COUNTS", f"what they clip to: {', '.join(FULL_SCALES)} or a number "
                                  "(default: calibrated)"),
}

#: Options of a repair: field, choices, help.
_REPAIRS = {
    "gains": ("gains", repairs.GRANULARITIES, "gains: one per column of each crossbar, or per "
                                              "layer (default: column)"),
    "adc_search": ("search", repairs.OBJECTIVES, "full scales at the least error of a layer's "
                                                 "currents, or the best accuracy (default: error)"),
    "fitted": ("fitted", repairs.FITTED, "to each chip, or once to what is nominal of all "
                                         "(default: chip)"),
}


def configure(parser) -> None:
    add = parser.add_argument_group(f"--level {LEVEL}").add_argument
    add("--array", metavar="FILE",
        help="the array: a TOML file with rows, cols, cell_bits, encoding, r_col, ... (default: "
             "that of the run's search, or SpikeSim's 64 x 64)")
    add("--set", action="append", metavar="KEY=VALUE",
        help="a setting of the array over those of --array, such as rows=128; again for more")
    add("--device", metavar="NAME", help=f"cells of a preset: {', '.join(devices.presets())}")
    add("--states", metavar="FILE",
        help=f"what cells conduct by state: CSV with {', '.join(devices.COLUMNS)}")
    add("--as-built", action="store_true", default=None,
        help="the device's variation, the array's wires and its converters, where no option says "
             "otherwise")
    for name, (kind, metavar, text) in _EFFECTS.items():
        add(_option(name), type=kind, metavar=metavar, help=text)
    add("--calibration", metavar="HOW", help=f"of converters: {', '.join(METHODS)} (default: mse)")
    add("--repair", metavar="NAME[,NAME...]",
        help=f"measure before and after repair: {', '.join(repairs.NAMES)}; fitted to the run's "
             "calibration images")
    for name, (_, choices, text) in _REPAIRS.items():
        add(_option(name), metavar="|".join(choices), help=text)
    add("--draws", type=int, metavar="N",
        help=f"chips to draw where something is random (default: {DRAWS})")
    add("--seed", type=int, metavar="N", help="of the draws (default: 0)")
    add("--export", action="store_true", default=None,
        help="write the first chip's conductances (NPZ, CSV) and converters (CSV)")
    add("--spice", metavar="LAYER:NUMBER",
        help="write one crossbar of the first chip, numbered as in its plan, as a netlist")


def check(args) -> None:
    """Refuse these options with another level, or with a contract's examples."""
    given = [name for name in ("array", "set", "device", "states", "as_built", *_EFFECTS,
                               "calibration", "repair", *_REPAIRS, "draws", "seed", "export",
                               "spice")
             if getattr(args, name) is not None]
    if given and (args.level != LEVEL or args.contract is not None):
        raise ConfigError(f"{_option(given[0])} must be used with --level {LEVEL} and a run's "
                          "images alone; leave it out")


def run(args, out) -> int:
    if args.shift:
        raise ConfigError(f"--shift must be 0 at --level {LEVEL}, whose cells hold what weights "
                          f"count at full length, not {args.shift}")
    array, table, effects = _asked(args)
    repair = _repair(args)
    seed, draws = args.seed or 0, DRAWS if args.draws is None else args.draws
    if not 0 <= seed < 1 << 32:
        raise ConfigError(f"--seed must be in 0..{(1 << 32) - 1}, not {seed}")
    opened = Run.open(args.run)
    graph = compile_graph(opened.graph())
    count = len(opened.samples()[0]) if args.count is None else args.count
    images, labels = opened.first_samples("--count", count)
    images = shaped(graph, images, str(opened.samples_file))
    ranges, calibration, fit = None, (), None
    ranged = effects.adc_bits is not None and effects.full_scale == "calibrated"
    if ranged and not opened.calibration_file.exists():
        raise ConfigError(f"--full-scale must be lossless or counts where {opened.calibration_file}"
                          " is missing, not calibrated; train or search again, which writes it")
    if repair or ranged:
        calibration, known = opened.calibration()
        calibration = shaped(graph, calibration, str(opened.calibration_file))
        fit = repair and repair.fitter(calibration, known)
    if ranged:
        ranges = network.calibrate(graph, calibration, array, effects.nominal, table=table,
                                   method=args.calibration or "mse")
    options = {"table": table, "ranges": ranges, "seed": seed}
    with out.progress.status(f"{LEVEL}: {len(images)} images"):
        found = report.measure(graph, images, labels, array, effects, draws=draws, **options)
        after = fit and report.measure(graph, images, labels, array, effects, draws=draws,
                                       repair=fit, **options)
        chip = network.program(graph, array, effects, **options)
        chip = fit(chip) if fit else chip
        held = not (found.not_ideal or repair)
        wanted = reference.run(graph, images, trace=True) if held else None
        differences = compare(wanted, chip.run(images, trace=True), ALL) if held else []
    folder = opened.path / "sim" / LEVEL
    data = {"level": LEVEL, "array": msgspec.to_builtins(array),
            "effects": msgspec.to_builtins(effects), **found.data(),
            "repair": repair and {**msgspec.to_builtins(repair), **after.data(),
                                  "calibration_images": len(calibration)},
            "held_to_equality": held, "mismatches": len(differences),
            "first": differences[0] if differences else None,
            "files": [str(path) for path in _written(args, chip, folder)]}
    data["files"].append(str(folder / REPORT))
    write_atomic(folder / REPORT, json.dumps(data, indent=1) + "\n")
    lines = [f"every effect is off: {len(images) - len(differences)} of {len(images)} images equal "
             f"to the reference model ({compared(wanted, ALL):,} currents, membranes, spikes, "
             "scores and classes)"] if held else [
        "not held to equality with the reference model, since not everything is ideal"]
    if repair:
        lines[:0] = _repaired(repair, found, after, len(calibration))
    if differences:
        lines.append(f"first difference: image {differences[0]['image']}, "
                     f"{described(differences[0])}")
    out.result(data, *_tables(found), *lines,
               *_assumptions(array, effects), *data["files"])
    return 1 if differences else 0


def _tables(found: report.Measured) -> list:
    return [Wide(item) if isinstance(item, Table) else item for item in report.tables(found)]


def _repair(args) -> Repair | None:
    """The repair that options ask for."""
    chosen = {name: getattr(args, name) for name in _REPAIRS if getattr(args, name) is not None}
    if args.repair is None:
        if chosen:
            raise ConfigError(f"{_option(next(iter(chosen)))} must be used with --repair; leave "
                              "it out")
        return None
    names = [word.strip() for word in args.repair.split(",") if word.strip()]
    for name, value in chosen.items():
        if value not in _REPAIRS[name][1]:
            raise ConfigError(f"{_option(name)}: " + unknown("choice", value, _REPAIRS[name][1]))
    return Repair(names=tuple(names), **{_REPAIRS[name][0]: value for name, value in chosen.items()}
                  ).check()


def _repaired(repair: Repair, found: report.Measured, after: report.Measured, images: int) -> list:
    """What a repair has changed."""
    table = Table(title=f"repair: {', '.join(repair.names)}", title_justify="left")
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("accuracy", f"{found.mean:.2%}", f"{after.mean:.2%}")
    table.add_row("standard deviation", f"{found.std:.2%}", f"{after.std:.2%}")
    for one, other in zip(found.layers, after.layers, strict=True):
        table.add_row(f"{one.name}: own error", f"{one.own:.2%}", f"{other.own:.2%}")
        table.add_row(f"{one.name}: with earlier layers", f"{one.total:.2%}", f"{other.total:.2%}")
    where = "each chip" if repair.fitted == "chip" else "what is nominal of all chips"
    return [table, f"fitted to {where}, on {images} validation images"]


def _asked(args) -> tuple[Array, devices.States | None, Effects]:
    """Array, table of states and effects of the options."""
    array = array_of(Run.open(args.run), args.array and Path(args.array), args.set or ())
    if args.device is not None:
        if args.states is not None:
            raise ConfigError("--device must not be used with --states, which says what cells "
                              "conduct; leave one of them out")
        array = devices.with_device(array, args.device)
    table = None if args.states is None else devices.load_states(Path(args.states), array)
    if args.calibration is not None and args.calibration not in METHODS:
        raise ConfigError("--calibration: " + unknown("method", args.calibration, METHODS))
    changes = {name: getattr(args, name) for name in _EFFECTS if getattr(args, name) is not None}
    changes.setdefault("variation_law", "proportional" if table is None else "states")
    changes["full_scale"] = _full_scale(changes.get("full_scale", "calibrated"))
    base = as_built(array, _variation(args, table)) if args.as_built else Effects()
    return array, table, structs.replace(base, **changes).check("--level crossbar: effects")


def _variation(args, table) -> float:
    """The variation of cells as they are built: once the table's, or the device's."""
    if table is not None:
        return 1.0
    name = args.device or "spikesim65"
    known = devices.preset(name).variation
    if known is None and args.variation is None:
        raise ConfigError(f"--as-built must have --variation with {name}, whose source gives none")
    return known or 0.0


def _full_scale(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        if text not in FULL_SCALES:
            raise ConfigError("--full-scale: " + unknown("full scale", text, FULL_SCALES)
                              + ", or a number of counts") from None
        return text


def _written(args, chip: network.Chip, folder: Path) -> list[Path]:
    """What options ask to write of a chip."""
    found = files.export(chip, folder) if args.export else []
    if args.spice is not None:
        name, G, V = files.crossbar(chip, args.spice)
        r_row = chip.array.r_row if chip.effects.ir_drop == "full" else 0.0
        r_col = chip.array.r_col if chip.effects.ir_drop != "none" else 0.0
        found.append(folder / f"{name}.cir")
        write_atomic(found[-1], files.spice(G, V, r_row, r_col, name))
    return found


def _assumptions(array: Array, effects: Effects) -> list[str]:
    """What the figures rest on."""
    bits = f"{array.cell_bits} bit{'s' if array.cell_bits > 1 else ''}"
    lines = [f"array: {array.rows} x {array.cols} cells of {bits}, {array.encoding}, "
             f"r_on {array.r_on:g}, r_off {array.r_off:g}, r_row {array.r_row:g}, r_col "
             f"{array.r_col:g} ohm; unused cells are in their least conducting state, whose "
             "leakage is subtracted for every row that is driven"]
    if effects.adc_bits is not None and effects.full_scale == "calibrated":
        lines.append("converters are calibrated on validation images on a chip on which nothing "
                     "random has happened")
    if effects.read_noise:
        lines.append("read noise adds up along a column as it would after its wires")
    return lines


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
