"""Bytes of a weights image become words in the memories of a core, if they are the right ones."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .checksum import CRC32, Checksum
from .flash_image import CHECK_BYTES, MAX_WORDS, Part, header, header_status
from .protocol import Status
from .spram import load_layout


class Loader(wiring.Component):
    """Takes an image (`flash_image`) once: the one that a design, 8 bytes, of so many words needs.

    `status` is LOADING until all of it has come and is right, which is OK, or something of it is
    wrong: MISSING, VERSION, NETWORK (nothing was written then) or DAMAGED. It is `ended` from then
    on, and takes whatever else comes. Only a reset makes it begin anew.
    """

    def __init__(self, design: bytes, words: int) -> None:
        assert 1 <= words <= MAX_WORDS
        self.words, self.header = words, header(design, words)
        super().__init__({
            "i": In(stream.Signature(8)), "load": Out(stream.Signature(load_layout())),
            "status": Out(4, init=Status.LOADING), "ended": Out(1),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.checksum = checksum = Checksum(CRC32)
        part, index = Signal(Part), Signal(range(max(len(self.header), self.words)))
        high = Signal()  # the second byte of a word
        word, bit = Signal(16), Signal(3)
        last, wrong = Signal(), Signal()
        lengths = {Part.HEADER: len(self.header), Part.WORDS: self.words, Part.CHECK: CHECK_BYTES}
        with m.Switch(part):
            for kind, length in lengths.items():
                with m.Case(kind):
                    m.d.comb += last.eq(index == length - 1)
        m.d.comb += [
            self.load.payload.address.eq(index), self.load.payload.data.eq(word),
            wrong.eq(self.i.payload != Array(self.header)[index[:4]]),
            # the checksum comes complemented, lowest bit first, as the register shifts it out
            checksum.bit.eq(word[8]),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.ended.eq(fsm.ongoing("ended"))
            with m.State("take"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += word[8:].eq(self.i.payload)
                    m.next = "check"
                    with m.If((part == Part.WORDS) & high):
                        m.next = "write"
                    with m.If((part == Part.HEADER) & wrong):
                        m.d.sync += self.status.eq(Array(
                            header_status(k) for k in range(len(self.header)))[index[:4]])
                        m.next = "ended"

            with m.State("write"):
                m.d.comb += self.load.valid.eq(1)
                with m.If(self.load.ready):
                    m.next = "check"

            with m.State("check"):
                m.d.comb += checksum.strobe.eq(1)
                m.d.sync += [word.eq(word[1:]), bit.eq(bit + 1)]
                with m.If(bit.all()):
                    m.next = "take"
                    m.d.sync += high.eq(~high & (part == Part.WORDS))
                    with m.If((part != Part.WORDS) | high):
                        m.d.sync += index.eq(index + 1)
                        with m.If(last):
                            m.d.sync += [index.eq(0), part.eq(part + 1)]
                            with m.If(part == Part.CHECK):
                                m.d.sync += self.status.eq(Status.OK)
                                m.next = "ended"
                with m.If(part == Part.CHECK):
                    m.d.comb += checksum.bit.eq(checksum.value[0])
                    with m.If(word[8] == checksum.value[0]):
                        m.d.sync += self.status.eq(Status.DAMAGED)
                        m.next = "ended"

            with m.State("ended"):
                m.d.comb += self.i.ready.eq(1)
        return m
