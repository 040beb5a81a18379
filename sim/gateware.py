"""The core in Amaranth's simulator: every membrane and spike of every image."""

import contextlib
from collections.abc import Sequence

import numpy as np
from amaranth.sim import Simulator

from ..flow import ir
from ..flow.errors import SpikeloomError
from ..flow.lower import core as lower_core
from ..flow.passes.schedule import inference_cycles, load_cycles
from ..flow.weights_image import weights_image
from .images import payload
from .reference import Trace


class Recorder:
    """Collects v and spikes of each layer as it shows them (`hdl.observe`): int64 [T, batch, size].

    With `currents`, also what drives each neuron.
    """

    def __init__(self, core, steps: int, batch: int, currents: bool) -> None:
        self.layers, self.currents = core.layers, currents
        shapes = [(steps, batch, layer.size) for layer in core.layers]
        self.v = [np.zeros(shape, np.int64) for shape in shapes]
        self.spikes = [np.zeros(shape, np.int64) for shape in shapes]
        self.current = [np.zeros(shape, np.int64) for shape in shapes] if currents else []
        self.start()

    def start(self) -> None:
        """An image begins."""
        #: How often each neuron of a layer has been shown.
        self.t = [np.zeros(layer.size, np.int64) for layer in self.layers]

    def sample(self, ctx, image: int) -> None:
        """Record what was committed in this clock."""
        for index, layer in enumerate(self.layers):
            t, drive = self.t[index], layer.drive
            if self.currents and ctx.get(drive.strobe):
                for j, value in _shown(ctx, drive, drive.values):
                    self.current[index][t[j], image, j] += ctx.get(value)
            if not ctx.get(layer.commit):
                continue
            for j, shown in _shown(ctx, layer, layer.shown):
                if self.currents:
                    self.current[index][t[j], image, j] -= drive.less[j]
                self.v[index][t[j], image, j] = ctx.get(shown.v)
                self.spikes[index][t[j], image, j] = ctx.get(shown.spike)
                t[j] += 1


def _shown(ctx, view, values: list):
    """The neurons that are shown in this clock, each with its lane's value."""
    group = 0 if view.group is None else ctx.get(view.group)
    return ((j, value) for j, value in zip(view.members[group], values, strict=True) if j >= 0)


async def load(ctx, core, graph: ir.Graph) -> None:
    """Write the weights of a graph that keeps some in SPRAM."""
    for address, word in enumerate(weights_image(graph)):
        ctx.set(core.load.payload, {"address": address, "data": int(word)})
        ctx.set(core.load.valid, 1)
        await ctx.tick().until(core.load.ready)
        ctx.set(core.load.valid, 0)


async def send(ctx, core, data: bytes) -> None:
    """Restart the core, give it one image's bytes, and start it."""
    ctx.set(core.restart, 1)
    await ctx.tick()
    ctx.set(core.restart, 0)
    ctx.set(core.pixels.valid, 1)
    for byte in data:
        ctx.set(core.pixels.payload, byte)
        await ctx.tick()
    ctx.set(core.pixels.valid, 0)
    ctx.set(core.start, 1)
    await ctx.tick()
    ctx.set(core.start, 0)


def simulate(graph: ir.Graph, images: np.ndarray, *, vcd: str | None = None,
             currents: bool = False, shift: int | Sequence[int] = 0) -> tuple[Trace, list]:
    """Run images [batch, *input_shape] through the gateware of a scheduled graph.

    shift: of the bitstream lengths, at most the graph's max_shift; one, or one for each image.
    Returns the trace in the reference model's form, and per image the clocks from the one in which
    the encoder starts to the one in which `done` is high. Raises SpikeloomError if an image does
    not finish.
    """
    core = lower_core(graph)
    patience = 2 * (inference_cycles(graph) + load_cycles(graph)) + 1000
    batch = len(images)
    recorder = Recorder(core, graph.num_steps, batch, currents)
    scores = np.zeros((batch, graph.readout.size), np.int64)
    classes = np.zeros(batch, np.int64)
    clocks: list[int] = []
    shifts = np.broadcast_to(shift, batch)

    async def drive(ctx):
        await load(ctx, core, graph)
        for image, pixels in enumerate(images):
            ctx.set(core.shift, int(shifts[image]))
            recorder.start()
            await send(ctx, core, payload(graph, pixels))
            began = None
            for clock in range(patience):
                if began is None and ctx.get(core.encoder.busy):
                    began = clock
                if ctx.get(core.done):
                    break
                await ctx.tick()
                recorder.sample(ctx, image)
            else:
                raise SpikeloomError(f"the simulated design did not finish in {patience} clocks")
            clocks.append(clock - began)
            classes[image] = ctx.get(core.cls)
            for c in range(graph.readout.size):
                ctx.set(core.select, c)
                await ctx.tick()
                scores[image, c] = ctx.get(core.score)

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    with simulator.write_vcd(vcd) if vcd else contextlib.nullcontext():
        simulator.run()
    return Trace(scores=scores, classes=classes, current=recorder.current, v=recorder.v,
                 spikes=recorder.spikes), clocks
