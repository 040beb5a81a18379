"""The link: requests in and replies out as bytes, in front of a core (`protocol`)."""

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .checksum import Checksum
from .protocol import BASIC, DESIGN_BYTES, SCORE_BYTES, SILENCE_BITS, Features, Info
from .reply import Replies
from .request import Requests
from .uart import MIN_DIVISOR

MAX_TRACES = 63
#: As wide as the divisor at reset needs, and as a slow line of 50,000 baud at 12 MHz does.
LEAST_DIVISOR_BITS = 8


class Link(wiring.Component):
    """Serves requests in the order in which they come; the ports mirror a UART's and a core's.

    design: 8 bytes that identify the network. divisor: the UART's at reset; the port is the present
    one. n_traces and n_counters: the words that an inference and STATS answer beyond the scores.
    `restart` strobes before the first byte of an image, `start` when a whole one is to be inferred.
    `busy` is high from a sync byte to the end of the reply. Where weights are to be loaded,
    `pieces`, `forget` and `weights` are for a `Boot`.
    """

    def __init__(self, image_bytes: int, n_classes: int, num_steps: int, design: bytes,
                 divisor: int = 104, silence_bits: int = SILENCE_BITS, n_traces: int = 0,
                 n_counters: int = 0, features: Features = BASIC) -> None:
        assert 0 <= n_traces <= MAX_TRACES and 0 <= n_counters <= MAX_TRACES
        assert 1 <= image_bytes < 1 << 16 and 1 <= n_classes <= 256 and len(design) == DESIGN_BYTES
        assert divisor >= MIN_DIVISOR and features.counters == (n_counters > 0)
        self.info = Info(design=design.hex(), image_bytes=image_bytes, n_classes=n_classes,
                         num_steps=num_steps, proof=n_traces > 0, features=features,
                         divisor_bits=max(LEAST_DIVISOR_BITS, divisor.bit_length()))
        self.requests = Requests(self.info, silence_bits)
        self.replies = Replies(self.info, divisor, self.requests.value_bits, n_traces, n_counters)
        super().__init__({
            "i": In(stream.Signature(8, always_ready=True)), "i_bit": In(1), "i_strobe": In(1),
            "o": Out(stream.Signature(8)), "o_bit": In(1), "o_strobe": In(1),
            "tick": In(1), "divisor": Out(self.info.divisor_bits, init=divisor),
            "busy": Out(1), "failed": Out(1),
            "pixels": Out(stream.Signature(8)), "restart": Out(1), "start": Out(1),
            "steps": Out(range(num_steps + 1), init=num_steps), "shift": Out(4),
            "done": In(1), "cls": In(8), "select": Out(8), "score": In(signed(8 * SCORE_BYTES)),
            "word": In(8), "counter": In(8),
            **({"pieces": Out(stream.Signature(8)), "forget": Out(1), "weights": In(4)}
               if features.weights else {}),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.requests = requests = self.requests
        m.submodules.replies = replies = self.replies
        wiring.connect(m, wiring.flipped(self.i), requests.i)
        wiring.connect(m, requests.o, replies.i)
        wiring.connect(m, requests.pixels, wiring.flipped(self.pixels))
        wiring.connect(m, replies.o, wiring.flipped(self.o))
        m.d.comb += [
            requests.tick.eq(self.tick), self.restart.eq(requests.restart),
            self.failed.eq(requests.failed),
            self.divisor.eq(replies.divisor), self.steps.eq(replies.steps),
            self.shift.eq(replies.shift), self.start.eq(replies.start),
            replies.done.eq(self.done), replies.cls.eq(self.cls), self.select.eq(replies.select),
            replies.score.eq(self.score), replies.word.eq(self.word),
            replies.counter.eq(self.counter),
            self.busy.eq(~requests.idle | ~replies.idle),
        ]
        if self.info.features.weights:
            wiring.connect(m, requests.pieces, wiring.flipped(self.pieces))
            m.d.comb += [requests.weights.eq(self.weights), self.forget.eq(replies.forget)]
        self._check(m)
        return m

    def _check(self, m: Module) -> None:
        """A checksum for each direction; one by one, they share a register."""
        ends = [(self.requests, self.i_bit, self.i_strobe),
                (self.replies, self.o_bit, self.o_strobe)]
        if self.info.features.duplex:
            for name, (end, bit, strobe) in zip(("checked", "answered"), ends, strict=True):
                m.submodules[name] = checksum = Checksum()
                m.d.comb += [checksum.bit.eq(bit), checksum.strobe.eq(strobe),
                             checksum.clear.eq(end.clear), end.checksum.eq(checksum.value)]
            return
        m.submodules.checksum = checksum = Checksum()
        listening = self.replies.idle
        m.d.comb += [
            checksum.bit.eq(Mux(listening, self.i_bit, self.o_bit)),
            checksum.strobe.eq(Mux(listening, self.i_strobe, self.o_strobe)),
            checksum.clear.eq(Mux(listening, self.requests.clear, self.replies.clear)),
            *(end.checksum.eq(checksum.value) for end, _, _ in ends),
        ]
