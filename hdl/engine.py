"""The serial neuron engine: membranes in block memory, one neuron a clock through one pipeline.

A neuron that is served with the current I takes five clocks: its membrane v and constant are read;
v leaks; I is added; the constant ``bias - v_threshold`` is added, whose sign is the comparison;
the threshold is added back where there was no spike; the result is written. Neurons are always
served in the same order, so that counters are all the addressing there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .memories import BLOCK_RAM
from .neurons import SERIAL
from .walk import chosen

#: Clocks after `valid` in which a neuron's current must be given.
CURRENT_LAG = 2
#: Clocks after `valid` in which its outputs are there; they are written in that clock.
LATENCY = 5


@dataclass(frozen=True)
class Served:
    """One layer's neurons: parameters, how many, widest membrane, and int [size] added to I.

    constants: bias, less what the layer counts too much (see `packing`); fires: see `SpatialLayer`.
    """

    neuron: object
    size: int
    v_bits: int
    constants: np.ndarray
    fires: bool


def refusal(neuron) -> str | None:
    """Why the engine cannot serve neurons with these parameters, or None."""
    if neuron.kind not in SERIAL:
        return (f"neurons of kind {neuron.kind!r} are not served one by one, only "
                f"{', '.join(sorted(SERIAL))}")
    if neuron.saturate_bits is not None:
        return "neurons that saturate (saturate_bits) are not served one by one"
    return None


@dataclass(frozen=True)
class Widths:
    """How wide an engine's memories are, and its constants, those of all neurons in a row."""

    total: int
    v_bits: int
    constants: list[int]
    constant_bits: int
    wait_bits: int

    @staticmethod
    def of(layers: Sequence[Served]) -> "Widths":
        v_bits = max(layer.v_bits for layer in layers)
        constants = [int(c) for c in np.concatenate([
            layer.constants - (layer.neuron.v_threshold if layer.fires else 0)
            for layer in layers])]
        constant_bits = min(v_bits, max(int(x if x >= 0 else ~x).bit_length() + 1
                                        for x in constants))
        wait_bits = max(layer.neuron.refractory.bit_length() if layer.fires else 0
                        for layer in layers)
        return Widths(sum(layer.size for layer in layers), v_bits, constants, constant_bits,
                      wait_bits)


class NeuronEngine(wiring.Component):
    """Serves the neurons of `layers`, all of the first one, then of the next, and so on.

    `valid` serves the next neuron; after the last one it is the first one's turn again, not before
    `LATENCY` + 1 clocks. `first`, beside `valid`, starts its state afresh. `layer` is that of the
    neurons under way, of which there is one only at any time. `current` is a neuron's I,
    `CURRENT_LAG` clocks after its `valid`. `o_valid` strobes `LATENCY` clocks after `valid`, with
    `o_index` (counted over all layers), `o_spike` (0 where the layer does not fire) and `o_v`, the
    membrane after the reset.
    """

    def __init__(self, layers: Sequence[Served], current_bits: int) -> None:
        for layer in layers:
            assert refusal(layer.neuron) is None
        self.layers = list(layers)
        found = Widths.of(layers)
        self.total, self.v_bits, self.wait_bits = found.total, found.v_bits, found.wait_bits
        self.constants, self.constant_bits = found.constants, found.constant_bits
        super().__init__({
            "valid": In(1), "first": In(1), "layer": In(range(len(self.layers))),
            "current": In(signed(current_bits)),
            "o_valid": Out(1), "o_index": Out(range(self.total)), "o_spike": Out(1),
            "o_v": Out(signed(self.v_bits)),
        })
        #: For observers: high in the clock in which `current` is taken, that of this neuron.
        self.driving, self.comparing = Signal(), Signal(range(self.total))

    def elaborate(self, platform):
        m = Module()
        m.submodules.state = state = Memory(
            shape=self.v_bits + self.wait_bits, depth=self.total, init=[], attrs=BLOCK_RAM)
        m.submodules.constants = rom = Memory(
            shape=self.constant_bits, depth=self.total,
            init=[c & (1 << self.constant_bits) - 1 for c in self.constants], attrs=BLOCK_RAM)
        read, write, bias = state.read_port(), state.write_port(), rom.read_port()

        stages = [self.valid]  # high in the clock in which a neuron is at that stage
        for k in range(1, LATENCY):
            stages.append(self.driving if k == CURRENT_LAG else Signal(name=f"stage{k}"))
            m.d.sync += stages[k].eq(stages[k - 1])
        fresh = Signal()
        constant = Signal(signed(self.constant_bits))
        m.d.sync += [fresh.eq(self.first), self.o_valid.eq(stages[-1])]
        m.d.comb += [
            read.addr.eq(self._counted(m, Signal.like(self.comparing, name="reading"), stages[0])),
            read.en.eq(stages[0]),
            bias.addr.eq(self._counted(m, self.comparing, self.driving)),
            bias.en.eq(self.driving),
            constant.eq(bias.data),
            write.addr.eq(self.o_index), write.en.eq(self.o_valid),
        ]
        self._counted(m, self.o_index, self.o_valid)

        v = Signal(signed(self.v_bits))
        leaked, driven, compared = (Signal.like(v, name=name)
                                    for name in ("leaked", "driven", "compared"))
        m.d.comb += v.eq(read.data[:self.v_bits])
        m.d.sync += [
            leaked.eq(self._chosen([layer.neuron.leak(v) for layer in self.layers])),
            driven.eq(leaked + self.current), compared.eq(driven + constant),
        ]
        with m.If(fresh):
            m.d.sync += leaked.eq(0)

        spike = ~compared[-1] & self._chosen([int(layer.fires) for layer in self.layers])
        if self.wait_bits:
            held, wait, kept = self._resting(m, fresh, read.data[self.v_bits:], v)
            spike = spike & ~held
        threshold = self._chosen([layer.neuron.v_threshold if layer.fires else 0
                                  for layer in self.layers])
        zeroed = self._chosen([int(layer.fires and layer.neuron.reset == "zero")
                               for layer in self.layers])
        m.d.sync += [self.o_spike.eq(spike),
                     self.o_v.eq(compared + Mux(~compared[-1], 0, threshold))]
        with m.If(~compared[-1] & zeroed):
            m.d.sync += self.o_v.eq(0)
        if not self.wait_bits:
            m.d.comb += write.data.eq(self.o_v)
            return m
        waiting = Signal(self.wait_bits)
        m.d.comb += write.data.eq(Cat(self.o_v, waiting))
        period = self._chosen([layer.neuron.refractory if layer.fires else 0
                               for layer in self.layers])
        m.d.sync += waiting.eq(Mux(spike, period, 0))
        with m.If(held):
            m.d.sync += [self.o_v.eq(kept), waiting.eq(wait - 1)]
        return m

    def _chosen(self, values: list):
        """What holds for the layer under way."""
        return chosen(self.layer, values)

    def _counted(self, m: Module, count, step) -> Signal:
        """Counts the neurons round and round."""
        with m.If(step):
            m.d.sync += count.eq(count + 1)
            with m.If(count == self.total - 1):
                m.d.sync += count.eq(0)
        return count

    def _resting(self, m: Module, fresh, wait, v) -> tuple:
        """Whether the neuron at the last stage rests, for how long still, and its membrane."""
        for k in range(1, LATENCY - 1):
            later_wait = Signal(self.wait_bits, name=f"wait{k}")
            later_v = Signal.like(v, name=f"held{k}")
            m.d.sync += [later_wait.eq(Mux(fresh, 0, wait) if k == 1 else wait), later_v.eq(v)]
            wait, v = later_wait, later_v
        return wait != 0, wait, v
