"""`stream` input for the `folded` lowering: the ones of a pixel's stream, one a clock."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


@dataclass(frozen=True)
class Streams:
    """How `stream` input meets its weights.

    extra: whether a code p other than 0 and L has p + 1 ones instead of p. thresholds: int [2**B];
    in the q-th one of any pixel's stream, a weight's is one if its code exceeds thresholds[q].
    """

    extra: bool
    thresholds: np.ndarray

    @staticmethod
    def of(pixels: np.ndarray, weights: np.ndarray, weight_bits: int) -> "Streams":
        """From the sequences of the pixels' and of the weights' generator, int [2**B] each."""
        length = len(pixels)
        counts = (pixels[None] < np.arange(length + 1)[:, None]).sum(1)
        codes = np.arange(length + 1)
        extra = not np.array_equal(counts, codes)
        assert not extra or np.array_equal(counts, codes + (codes > 0) * (codes < length))
        order = np.argsort(pixels, kind="stable")
        # m = code << s exceeds R where the code exceeds R >> s
        shift = length.bit_length() - weight_bits
        return Streams(extra, weights[order] >> shift)

    def ones(self, code: int) -> int:
        """Ones in the stream of a pixel with this code."""
        return code + (self.extra and 0 < code < len(self.thresholds))


class StreamScanner(wiring.Component):
    """Names the ones of the stream of code `value`, which `take` takes, one a clock.

    `any`: this clock shows one; `threshold`, a clock later, is what a weight's code must exceed in
    it. `spent`: another code may be taken in this clock. `clear` forgets the code.
    """

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.length = len(streams.thresholds)
        self.code_bits = max(1, int(streams.thresholds.max()).bit_length())
        super().__init__({
            "value": In(range(self.length + 1)), "take": In(1), "clear": In(1), "any": Out(1),
            "spent": Out(1), "threshold": Out(self.code_bits),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        left = Signal(range(self.length + 1))
        q = Signal(range(self.length))
        m.submodules.thresholds = rom = Memory(shape=self.code_bits, depth=self.length,
                                               init=[int(x) for x in self.streams.thresholds])
        port = rom.read_port()
        m.d.comb += [port.addr.eq(q), port.en.eq(self.any), self.threshold.eq(port.data),
                     self.any.eq(left != 0), self.spent.eq(left[1:] == 0)]
        ones = self.value
        if self.streams.extra:
            ones = self.value + ((self.value != 0) & (self.value != self.length))
        with m.If(self.take):
            m.d.sync += [left.eq(ones), q.eq(0)]
        with m.Elif(self.any):
            m.d.sync += [left.eq(left - 1), q.eq(q + 1)]
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        return m
