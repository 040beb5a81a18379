"""What a design does with real images, counted on its netlist (`flow.cost.actions`).

The netlist is the one that place and route is given for a board. Images go through its UART by the
host's driver, and every answer must be the reference model's. The line is simulated at its highest
rate, at which an image takes the fewest clocks; what a slower line adds, clock by clock, is what an
INFO exchange at the reset rate adds to one at the highest.
"""

from collections.abc import Callable, Iterable

import numpy as np

from ..boards import Board
from ..flow import build, ir, tools
from ..flow.cost.actions import Actions, Image, Phase
from ..flow.errors import SpikeloomError
from ..flow.lower import design_hash
from ..flow.lower import top as lower_top
from ..flow.weights_image import check_board
from ..hdl.boot import boot_clocks
from ..hdl.uart import MIN_DIVISOR
from . import reference
from .cells import Circuit, Seen
from .flat_netlist import read_netlist
from .host import Device
from .icarus import most_clocks
from .images import shaped
from .netlist import settle
from .pins import NetlistPins
from .places import groups, parts_of, places
from .preset import load_weights

#: Clocks in which nobody asks anything that are counted.
IDLE = 1024


def count(graph: ir.Graph, images: np.ndarray, board: Board, *, note=None,
          each: Callable[[Iterable], Iterable] = iter) -> Actions:
    """Count what a scheduled graph's design does with images p8 [n, pixels] on a board.

    each: wraps the images, to show progress. Weights in SPRAM are there before anything is counted.
    Raises SpikeloomError if an answer is not the reference model's, ToolError as
    `flow.build.netlist`, FitError for a board without enough SPRAMs.
    """
    check_board(graph, board)
    design = lower_top(graph, board.divisor, weights_at=board.weights_at)
    module = read_netlist(build.netlist(design, board, design=graph.digest(), note=note))
    circuit = Circuit(module, places(module, parts_of(design.core)))
    images = shaped(graph, np.asarray(images), "images")
    wanted = reference.run(graph, images, trace=True)
    seen: list[tuple[str, Seen]] = []
    rx, tx = (circuit.ports[board.ports[name]][0] for name in ("rx", "tx"))
    # of weights that it does not find in its flash, the design gives up
    before = settle(board) + (boot_clocks(1) if circuit.sprams else 0)
    pins = NetlistPins(circuit, rx, tx, divisor=board.divisor, clock_hz=board.clock_hz,
                       timeout=2 * (most_clocks(graph) + 10_000) / board.clock_hz, settle=before,
                       mark=lambda name: seen.append((name, circuit.seen())))
    device = Device(pins, expect=design_hash(graph), clock_hz=board.clock_hz)
    device.info()
    device.set_divisor(MIN_DIVISOR)  # asks for the info again, at the new rate
    asked = len(seen)
    load_weights(device, circuit, module, graph)
    loaded = len(seen)
    sent, taken = pins.sent, pins.taken
    for number in each(range(len(images))):
        answer = device.infer(images[number])
        if (answer.cls, list(answer.scores)) != (wanted.classes[number],
                                                 wanted.scores[number].tolist()):
            raise SpikeloomError(f"image {number}: the netlist answers {answer.cls}, not "
                                 f"{wanted.classes[number]} as the reference model; this must "
                                 "never happen, please report it")
    sent, taken = pins.sent - sent, pins.taken - taken
    pins.run(MIN_DIVISOR - MIN_DIVISOR // 2)  # the stop bit ends
    seen.append(("request", circuit.seen()))
    pins.run(IDLE)
    idle = _between(circuit, seen[-1][1], circuit.seen()).by(1 / IDLE)
    slow, _, fast = _windows(circuit, seen[:asked + 1])
    windows = _windows(circuit, seen[loaded:])
    slow, fast = (transfer.plus(compute) for transfer, compute in (slow, fast))
    waiting = slow.plus(fast, -1)
    layers = [population.name for _, population in graph.layers]
    return Actions(
        design=graph.digest(), board=board.name, device=board.device, clock_hz=board.clock_hz,
        tools={"yosys": tools.find("yosys").identity}, divisor=MIN_DIVISOR,
        request=sent // len(images), reply=taken // len(images), cells=dict(circuit.cells),
        flip_flops=dict(zip(circuit.components, circuit.flip_flops, strict=True)),
        groups=groups(circuit.components), waiting=waiting.by(1 / waiting.clocks), idle=idle,
        layers=layers, images=[
            Image(transfer=transfer, compute=compute,
                  spikes=[spikes[:, number].sum(1).tolist() for spikes in wanted.spikes])
            for number, (transfer, compute) in enumerate(windows)])


def _windows(circuit: Circuit, seen: list[tuple[str, Seen]]) -> list[tuple[Phase, Phase]]:
    """Transfer and compute of each exchange, which the next one's beginning ends."""
    out = []
    for (_, begun), (_, sent), (_, answered), (_, ended) in zip(
            seen[::3], seen[1::3], seen[2::3], seen[3::3]):
        compute = _between(circuit, sent, answered)
        out.append((_between(circuit, begun, ended).plus(compute, -1), compute))
    return out


def _between(circuit: Circuit, before: Seen, after: Seen) -> Phase:
    """What was counted from one time to another."""
    def by_component(a: list[int], b: list[int]) -> dict[str, float]:
        return {name: new - old for name, old, new in zip(circuit.components, a, b, strict=True)
                if new != old}

    def kinds(counts: Seen, *wanted: int) -> list[int]:
        return [sum(row[kind] for kind in wanted) for row in counts.toggles]

    lut, carry, ff, ram, _ = range(5)
    return Phase(
        clocks=after.clock - before.clock,
        toggles=by_component(kinds(before, lut, ff, ram), kinds(after, lut, ff, ram)),
        carries=by_component(kinds(before, carry), kinds(after, carry)),
        enabled=by_component(before.enabled, after.enabled),
        ebr_reads=by_component(before.reads, after.reads),
        ebr_writes=by_component(before.writes, after.writes),
        spram_reads=by_component(before.spram_reads, after.spram_reads),
        spram_writes=by_component(before.spram_writes, after.spram_writes))
