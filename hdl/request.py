"""Requests: frames found in a stream of bytes, checked, and kept until they are served."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .checksum import BITS
from .protocol import PIECE_BYTES, SILENCE_BITS, SYNC_REQUEST, Command, Info, Status


def request_layout(info: Info, value_bits: int) -> data.StructLayout:
    """A request: its command, how it is to end, and the number that it carries."""
    bits = 4 if info.features.weights else 3
    return data.StructLayout({"command": bits, "status": bits, "value": value_bits})


class Requests(wiring.Component):
    """Bytes in `i`, and the `checksum` of their bits since `clear`; whole requests out `o`.

    An image's bytes go to `pixels` as they come: each is offered for one clock, against the usual
    rule of streams, since `i` has no back-pressure; one that is not taken is lost, and the request
    ends with REFUSED. `restart` strobes before the first one. `tick` strobes once per bit time.
    `o` is valid after a good request at once, after a bad one with the next silence; what arrives
    before it is taken is another bad one. `failed` strobes with every error.

    Where weights are to be loaded, the bytes of LOAD go to `pieces` as those of an image do to
    `pixels`; `weights` is how WEIGHTS ends, and INFER, unless it is OK.
    """

    def __init__(self, info: Info, silence_bits: int = SILENCE_BITS) -> None:
        self.info, self.silence_bits = info, silence_bits
        self.commands = info.features.commands()
        self.value_bits = max(8, info.divisor_bits,
                              info.num_steps.bit_length() if info.features.steps else 0)
        super().__init__({
            "i": In(stream.Signature(8, always_ready=True)), "checksum": In(BITS),
            "clear": Out(1), "tick": In(1),
            "pixels": Out(stream.Signature(8)), "restart": Out(1),
            "o": Out(stream.Signature(request_layout(info, self.value_bits))),
            "idle": Out(1), "failed": Out(1),
            **({"pieces": Out(stream.Signature(8)), "weights": In(4)} if info.features.weights
               else {}),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        command = Signal.like(self.o.payload.command, reset_less=True, name="command")
        status = Signal.like(self.o.payload.status, reset_less=True, name="status")
        value = Signal(self.value_bits, reset_less=True)
        weights = self.info.features.weights
        longest = max(2, self.info.image_bytes, PIECE_BYTES if weights else 0)
        index = Signal(range(longest), reset_less=True)
        high = Signal(reset_less=True)  # the second byte of a length or a checksum
        lost = Signal()
        byte, got = self.i.payload, self.i.valid
        infer, bare, asked = self._expected(m, command)
        m.d.comb += [
            self.pixels.payload.eq(byte),
            self.o.payload.command.eq(command), self.o.payload.status.eq(status),
            self.o.payload.value.eq(value),
        ]
        silence = Signal(self.silence_bits + 1, reset_less=True)
        quiet = silence[-1]
        m.d.sync += silence.eq(silence + self.tick)
        with m.If(got | quiet):
            m.d.sync += silence.eq(0)

        def fail(code) -> None:
            m.d.sync += status.eq(code)
            m.d.comb += self.failed.eq(1)
            m.next = "drain"

        def give_up() -> None:
            with m.If(quiet):
                m.next = "hunt"

        with m.FSM() as fsm:
            m.d.comb += self.idle.eq(fsm.ongoing("hunt"))
            with m.State("hunt"):
                m.d.comb += self.clear.eq(1)
                m.d.sync += [index.eq(0), high.eq(0), status.eq(Status.OK)]
                with m.If(got & (byte == SYNC_REQUEST)):
                    m.next = "command"

            with m.State("command"):
                give_up()
                with m.If(got):
                    m.d.sync += command.eq(byte)
                    m.next = "length"
                    known = [byte == code for code in self.commands]
                    with m.If(~Cat(known).any()):
                        fail(Status.UNKNOWN)

            with m.State("length"):
                give_up()
                with m.If(got):
                    m.d.sync += high.eq(~high)
                    with m.If(high):
                        m.d.comb += self.restart.eq(infer)
                        m.next = "payload"
                        with m.If(bare):
                            m.next = "checksum"
                        if weights:
                            with m.If(command == Command.WEIGHTS):
                                m.d.sync += status.eq(self.weights)
                            with m.If(infer & (self.weights != Status.OK)):
                                fail(self.weights)
                    with m.If(byte != asked.word_select(high, 8)):
                        fail(Status.LENGTH)

            with m.State("payload"):
                give_up()
                m.d.comb += self.pixels.valid.eq(got & infer)
                last = Mux(infer, self.info.image_bytes - 1, 1)
                if weights:
                    load = command == Command.LOAD
                    last = Mux(load, PIECE_BYTES - 1, last)
                    m.d.comb += [self.pieces.payload.eq(byte), self.pieces.valid.eq(got & load)]
                with m.If(got):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == last):
                        m.next = "checksum"
                    with m.If(infer):
                        with m.If(~self.pixels.ready):
                            fail(Status.REFUSED)
                    if weights:
                        with m.Elif(load):
                            with m.If(~self.pieces.ready):
                                fail(Status.REFUSED)
                    with m.Elif(~index[0]):
                        m.d.sync += value.eq(byte)
                    with m.Else():
                        m.d.sync += value[8:].eq(byte)
                        with m.If(~self._takes(m, command, Cat(value[:8], byte))):
                            fail(Status.REFUSED)

            with m.State("checksum"):
                give_up()
                with m.If(got):
                    m.d.sync += high.eq(~high)
                    with m.If(high):
                        m.next = "offer"
                        with m.If(self.checksum != 0):
                            fail(Status.CHECKSUM)

            with m.State("offer"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(got):
                    m.d.sync += lost.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += lost.eq(0)
                    m.next = "hunt"
                    with m.If(lost | got):
                        fail(Status.OVERRUN)

            with m.State("drain"), m.If(quiet):
                m.next = "offer"
        return m

    def _expected(self, m: Module, command: Signal) -> tuple:
        """Whether a command is INFER, whether it has no payload, and its payload's length."""
        asked = Signal(16)
        infer, bare = command == Command.INFER, Signal()
        with m.Switch(command):
            with m.Case(Command.INFER):
                m.d.comb += asked.eq(self.info.image_bytes)
            with m.Case(Command.INFO, Command.STATS):
                m.d.comb += bare.eq(1)
            if self.info.features.weights:
                with m.Case(Command.WEIGHTS, Command.FORGET):
                    m.d.comb += bare.eq(1)
                with m.Case(Command.LOAD):
                    m.d.comb += asked.eq(PIECE_BYTES)
            with m.Default():
                m.d.comb += asked.eq(2)
        return infer, bare, asked

    def _takes(self, m: Module, command: Signal, number) -> Signal:
        """Whether a number (16 bits) is one of `protocol.number_limits`."""
        bits, steps = self.info.divisor_bits, self.info.num_steps
        shift = self.info.features.max_shift
        takes = Signal()
        m.d.comb += takes.eq((number[bits:] == 0) & number[2:bits].any())  # a divisor of 4 or more
        with m.Switch(command):
            if Command.STEPS in self.commands:
                with m.Case(Command.STEPS):
                    m.d.comb += takes.eq((number != 0) & _at_most(number, steps))
            if Command.SHIFT in self.commands:
                with m.Case(Command.SHIFT):
                    m.d.comb += takes.eq(_at_most(number, shift))
        return takes


def _at_most(number, limit: int):
    """``number <= limit``, with a comparison of no more bits than the limit has."""
    low = limit.bit_length()
    return (number[low:] == 0) & (number[:low] <= limit)
