"""The proof build's witness: a CRC-32 per layer over every membrane and spike of an inference.

In each timestep of a layer, for each neuron as it is shown, four bytes enter the checksum: the
membrane, 24 bits, little-endian two's complement, then the spike, 0 or 1. The checksum is that of
zlib (polynomial 0x04C11DB7 reflected, preset and complemented), so a host computes it with
`zlib.crc32` over the little-endian words ``(v & 0xFFFFFF) | spike << 24``.
"""

import zlib

import numpy as np
from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

V_BITS = 24
_POLYNOMIAL = 0xEDB88320


def trace_crc(v: np.ndarray, spikes: np.ndarray) -> int:
    """The checksum of one layer's inference; v, spikes: integers [T, size], as they enter."""
    words = (np.asarray(v, np.int64) & (1 << V_BITS) - 1) | np.asarray(spikes, np.int64) << V_BITS
    return zlib.crc32(words.astype("<u4").tobytes())


def crc32_step(crc, byte):
    """`crc` (reflected, not complemented) after one byte, lowest bit first."""
    bits = [crc[k] ^ byte[k] if k < 8 else crc[k] for k in range(32)]
    for _ in range(8):
        out, bits = bits[0], [*bits[1:], 0]
        bits = [bit ^ out if _POLYNOMIAL >> k & 1 else bit for k, bit in enumerate(bits)]
    return Cat(*bits)


class LayerTrace(wiring.Component):
    """Follows one layer: holds it between timesteps for four clocks a neuron while it reads.

    layer: shows its neurons (`observe`) group by group, fewer in the last one. `crc` is complete
    when `busy` is low.
    """

    busy: Out(1)
    crc: Out(32)

    def __init__(self, layer) -> None:
        super().__init__()
        self.layer = layer

    def elaborate(self, platform):
        m = Module()
        layer = self.layer
        register = Signal(32, init=(1 << 32) - 1)
        lane, part = Signal(range(len(layer.shown))), Signal(2)
        last = Signal.like(lane)
        full, rest = len(layer.shown) - 1, sum(j >= 0 for j in layer.members[-1]) - 1
        m.d.comb += last.eq(full)
        if 0 <= rest < full:
            with m.If(layer.group == len(layer.members) - 1):
                m.d.comb += last.eq(rest)
        reading = Signal()
        v, spike = Signal(V_BITS), Signal()
        byte = Signal(8)
        m.d.comb += [
            v.eq(Array(shown.v for shown in layer.shown)[lane]),
            spike.eq(Array(shown.spike for shown in layer.shown)[lane]),
            byte.eq(Mux(part == 3, spike, v.word_select(part, 8))),
            self.busy.eq(layer.commit | reading), layer.hold.eq(self.busy),
            self.crc.eq(~register),
        ]
        with m.If(layer.commit):
            m.d.sync += [reading.eq(1), lane.eq(0), part.eq(0)]
        with m.If(reading):
            m.d.sync += [register.eq(crc32_step(register, byte)), part.eq(part + 1)]
            with m.If(part == 3):
                m.d.sync += lane.eq(lane + 1)
                with m.If(lane == last):
                    m.d.sync += reading.eq(0)
        return m


class Traces(wiring.Component):
    """The witnesses of all layers; `byte` is byte `select` of their checksums, little-endian."""

    def __init__(self, layers: list) -> None:
        self.traces = [LayerTrace(layer) for layer in layers]
        super().__init__({"busy": Out(1), "select": In(8), "byte": Out(8)})

    def elaborate(self, platform):
        m = Module()
        for index, trace in enumerate(self.traces, 1):
            m.submodules[f"trace{index}"] = trace
        crcs = Cat(trace.crc for trace in self.traces)
        m.d.comb += [
            self.busy.eq(Cat(trace.busy for trace in self.traces).any()),
            self.byte.eq(crcs.word_select(self.select, 8)),
        ]
        return m
