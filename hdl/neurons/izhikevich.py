"""Izhikevich's neuron in fixed point: parameters of every rung, and the shared gateware.

E. M. Izhikevich, "Simple Model of Spiking Neurons", IEEE Transactions on Neural Networks 14(6),
2003: ``v' = 0.04 v^2 + 5 v + 140 - u + I``, ``u' = a (b v - u)``; where v reaches 30 mV, v becomes
c and u grows by d. As in the program that the paper gives, a timestep is 1 ms, taken as two half
steps of v with the old u, and then one step of u with the new v.

Numbers have 12 fractional bits; v and u are 24 bits of two's complement and saturate to them after
each statement, all between is exact, and shifts round down. One timestep:

    v += ((41*(v*v >> 12) >> 10) + 5*v + 140 - u + gain*(I + bias)) >> 1
    the same once more, but only if now v < 30
    u += a*((b*v >> 12) - u) >> 12
    s = v >= 30; if s: v = c; u += d

It starts at v = -65 and u = b*v >> 12. The second half step is left out once v is over 30, as the
square would only drive it further.
"""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

FRACTION = 12
V_BITS = 24
ONE = 1 << FRACTION
LOWEST, HIGHEST = -1 << (V_BITS - 1), (1 << (V_BITS - 1)) - 1
#: Membrane at the start of an inference, the constant of the equation, and the peak, in mV * 2**12.
V_START, CONSTANT, PEAK = -65 * ONE, 140 * ONE, 30 * ONE
#: The equation's 0.04 in 10 fractional bits.
SQUARE, SQUARE_FRACTION = 41, 10
MAX_RATE = 16


def fixed(value: float) -> int:
    """A real number in the neuron's format, rounded to nearest."""
    return round(value * ONE)


@dataclass(frozen=True, kw_only=True)
class Izhikevich:
    """Parameters of an Izhikevich population, in mV and 1/ms; gain in 2**-12 mV per count."""

    a: float
    b: float
    c: float
    d: float
    gain: int = ONE

    kind = "izhikevich"
    #: The parameter that training sets.
    learned = "gain"
    #: It has no membrane read-out: without the reset, v runs away.
    integrates = False
    v_width = V_BITS

    def __post_init__(self) -> None:
        for name in "abcd":
            # One text form, and so one digest, for -65 and -65.0.
            if type(getattr(self, name)) is int:
                object.__setattr__(self, name, float(getattr(self, name)))

    def check(self) -> str | None:
        """The rule that these parameters break, or None."""
        for name in "ab":
            if not -MAX_RATE <= getattr(self, name) <= MAX_RATE:
                return f"{name} must be in -{MAX_RATE}..{MAX_RATE}, not {getattr(self, name)}"
        lowest = LOWEST / ONE
        if not lowest <= self.c < PEAK / ONE or self.constants[2] >= PEAK:
            return f"c must be in {lowest:g}..30, and below 30, not {self.c}"
        if not lowest <= self.d < -lowest or self.constants[3] > HIGHEST:
            return f"d must be in {lowest:g}..{-lowest:g}, and below it, not {self.d}"
        if not 1 <= self.gain <= HIGHEST:
            return f"gain must be in 1..{HIGHEST}, not {self.gain}"
        return None

    @property
    def constants(self) -> tuple[int, int, int, int]:
        """a, b, c and d in the neuron's format."""
        return fixed(self.a), fixed(self.b), fixed(self.c), fixed(self.d)

    #: Estimate of the engine's logic cells, measured (see `nas.figures.neurons`), any constants.
    engine_cells = 215

    def extra_cells(self, v_bits: int, fires: bool) -> float:
        """None: `cells` has all of it."""
        return 0

    def cells(self, v_bits: int, fires: bool, count_bits: int) -> tuple[float, int]:
        """Estimates of the LUTs and of the flip-flops of a neuron, without its popcount."""
        drive = 16
        return drive + 5, 2 * v_bits + drive + 1

    @property
    def u_start(self) -> int:
        """u at the start of an inference."""
        return min(max(self.constants[1] * V_START >> FRACTION, LOWEST), HIGHEST)


#: The kinds of cortical cells of the paper's figure 2, by name.
PRESETS = {
    "regular_spiking": Izhikevich(a=0.02, b=0.2, c=-65, d=8),
    "intrinsically_bursting": Izhikevich(a=0.02, b=0.2, c=-55, d=4),
    "chattering": Izhikevich(a=0.02, b=0.2, c=-50, d=2),
    "fast_spiking": Izhikevich(a=0.1, b=0.2, c=-65, d=2),
    "low_threshold": Izhikevich(a=0.02, b=0.25, c=-65, d=2),
}


@dataclass(frozen=True)
class Widths:
    """Bits that the exact intermediates of one population need.

    operand: of the multiplicands v, drive (I + bias) and ``(b*v >> 12) - u``. total: of every sum,
    of which the one that v's half step shifts right is the widest.
    """

    operand: int
    total: int

    @classmethod
    def of(cls, neuron: Izhikevich) -> "Widths":
        """By interval arithmetic, v, u and drive anywhere in their 24 bits."""
        a, b, _, d = neuron.constants
        full = -LOWEST
        difference = (abs(b) * full >> FRACTION) + 1 + full
        change = (SQUARE * (full * full >> FRACTION) >> SQUARE_FRACTION) + 7 * full
        half_step = change + CONSTANT + full + neuron.gain * full
        recovery = full + max((abs(a) * difference >> FRACTION) + 1, abs(d))
        return cls(operand=_bits(difference),
                   total=_bits(max(half_step, difference, recovery)))

    @property
    def load(self) -> int:
        """Clocks that load a multiplicand."""
        return self.operand

    @property
    def multiply(self) -> int:
        """Clocks of a product and the sum behind it."""
        return V_BITS + self.total

    @property
    def visit(self) -> int:
        """Clocks for one neuron."""
        return 6 * self.load + 5 * self.multiply


def _bits(largest: int) -> int:
    """Two's complement width of -largest..largest."""
    return int(largest).bit_length() + 1


class Phase(enum.Enum, shape=2):
    """What a cell does in a clock; in UPDATE the engine is at work."""

    ACCUMULATE = 0
    START = 1
    UPDATE = 2


class IzhikevichCell(wiring.Component):
    """The state of one neuron; all cells of a layer form a ring of shift registers.

    `drive` starts a timestep at bias - excess and gathers counts. Then the engine has each register
    shifted out, lowest bit first, by `shift_*` from `next_*` into bit 0. `drive_bits`, the width
    of I + bias, is set by whoever knows the weights, before the cell is elaborated.
    """

    Phase = Phase
    before = (Phase.START,)

    @staticmethod
    def after(fires: bool) -> tuple[Phase, ...]:
        """Phases after the bitstream."""
        return (Phase.UPDATE,)

    def __init__(self, neuron: Izhikevich, *, count_bits: int, v_bits: int, bias: int, excess: int,
                 fires: bool) -> None:
        assert fires and v_bits == V_BITS
        self.neuron, self.bias, self.excess = neuron, bias, excess
        self.drive_bits = V_BITS
        self.u = Signal(signed(V_BITS), reset_less=True)  # starts, as v does, when `clear` says so
        super().__init__({
            "count": In(count_bits), "phase": In(self.Phase), "enable": In(1), "clear": In(1),
            "v": Out(signed(V_BITS)), "spike": Out(1),
            "drive_out": Out(1), "next_drive": In(1), "shift_drive": In(1),
            "next_v": In(1), "shift_v": In(1), "next_u": In(1), "shift_u": In(1),
            "next_spike": In(1), "shift_spike": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        drive = Signal(self.drive_bits, reset_less=True)
        v = Signal(signed(V_BITS), reset_less=True)
        m.d.comb += [self.drive_out.eq(drive[0]), self.v.eq(v)]
        with m.If(self.enable & (self.phase == Phase.ACCUMULATE) | self.shift_drive):
            m.d.sync += drive.eq(Mux(self.shift_drive, Cat(drive[1:], self.next_drive),
                                     drive + self.count))
        with m.If(self.enable & (self.phase == Phase.START)):
            m.d.sync += drive.eq(self.bias - self.excess)
        with m.If(self.shift_v):
            m.d.sync += v.eq(Cat(v[1:], self.next_v))
        with m.If(self.shift_u):
            m.d.sync += self.u.eq(Cat(self.u[1:], self.next_u))
        with m.If(self.shift_spike):
            m.d.sync += self.spike.eq(self.next_spike)
        with m.If(self.clear):
            m.d.sync += [v.eq(V_START), self.u.eq(self.neuron.u_start), self.spike.eq(0)]
        return m


class Frame(enum.Enum, shape=3):
    """What the engine does for a neuron, in this order: load a multiplicand, then multiply.

    DRIVE: u += d if the last timestep ended with a spike; ``h = gain*drive + 140 - u``.
    FIRST, SECOND: the half steps of v. DIFFERENCE: ``h = (b*v >> 12) - u``. RECOVERY:
    ``u += a*h >> 12``. LEAVE, which has no multiplication: v becomes c after a spike, and the ring
    moves on.
    """

    DRIVE = 0
    FIRST = 1
    SECOND = 2
    DIFFERENCE = 3
    RECOVERY = 4
    LEAVE = 5


class IzhikevichEngine(wiring.Component):
    """The arithmetic that the neurons of a layer share, one bit a clock, lowest bit first.

    One multiplier: the multiplicand stands in a register, the multiplier arrives bit by bit, and
    so does the product leave, exact in any number of bits as both are sign-extended. Serial adders
    behind it make the sums; a sum goes back into the register that it updates while the old value
    leaves it. Whether it fits its 24 bits is known only after its last bit, so the next one who
    reads the register lets the bits pass through `fixed`, which puts a saturated value in place.
    Cell 0 is the one that is worked on; in LEAVE, the ring of cells turns by one neuron.

    `run` lets it go on by a clock; `done` is high in the last clock of all, and the next one with
    `run` begins anew. `drive` is the largest magnitude of I + bias.
    """

    run: In(1)
    done: Out(1)

    @staticmethod
    def cycles(neuron: Izhikevich, size: int) -> int:
        """Clocks of a timestep's last phase, in which the engine visits every neuron."""
        return size * Widths.of(neuron).visit

    def __init__(self, neuron: Izhikevich, cells: list[IzhikevichCell], drive: int) -> None:
        super().__init__()
        self.neuron, self.cells = neuron, cells
        self.widths, self.drive_bits = Widths.of(neuron), _bits(drive)
        assert self.drive_bits <= V_BITS
        for cell in cells:
            cell.drive_bits = self.drive_bits

    def elaborate(self, platform):
        m = Module()
        a, b, c, d = self.neuron.constants
        widths, cell = self.widths, self.cells[0]
        n = Signal(range(widths.multiply))
        frame = Signal(Frame)
        multiplying = Signal()
        last = Signal()
        begins = Signal(init=1)
        index = Signal(range(len(self.cells)))
        loading = ~multiplying
        leaving = frame == Frame.LEAVE
        m.d.comb += [
            last.eq(n == Mux(multiplying, widths.multiply - 1, widths.load - 1)),
            self.done.eq(leaving & last & (index == len(self.cells) - 1)),
        ]
        with m.If(self.run):
            m.d.sync += [n.eq(Mux(last, 0, n + 1)), begins.eq(last)]
            with m.If(last):
                m.d.sync += multiplying.eq(loading & ~leaving)
                with m.If(leaving):
                    m.d.sync += [frame.eq(Frame.DRIVE),
                                 index.eq(Mux(index == len(self.cells) - 1, 0, index + 1))]
                with m.Elif(multiplying):
                    m.d.sync += frame.as_value().eq(frame.as_value() + 1)

        def at(*frames: Frame):
            found = Const(0, 1)
            for item in frames:
                found = found | (frame == item)
            return found

        def constant(value: int, start: int):
            """The bit of value << start in clock n.

            The word is unsigned: Yosys 0.70's wreduce takes sign bits from a `$shift`, which then
            shifts zeros in.
            """
            word = (value << start) & ((1 << (1 << len(n))) - 1)
            return Const(word, 1 << len(n)).bit_select(n, 1)

        def below(count: int):
            """Whether n < count, without the carry chain that a comparison would become."""
            return constant(-1, 0) if count >> len(n) else constant((1 << count) - 1, 0)

        half_step = Signal()
        m.d.comb += half_step.eq(at(Frame.FIRST, Frame.SECOND))
        summing = Signal()  # the adders behind the multiplier are at work
        early = Signal()
        middle = Signal()
        late = Signal()
        m.d.comb += [
            early.eq(below(V_BITS)), late.eq(~below(2 * V_BITS)), middle.eq(~early & ~late),
            summing.eq(Mux(multiplying, ~early, at(Frame.DRIVE))),
        ]

        # The register that is read, saturated where its last sum did not fit, and sign-extended.
        over = Signal()
        negative = Signal()
        reads_v = half_step | (at(Frame.DIFFERENCE) & loading)
        x = Signal()
        x_held = Signal(reset_less=True)
        top_bit = n == Mux(multiplying, 2 * V_BITS - 1, V_BITS - 1)
        fixed = Mux(over, negative ^ ~top_bit, Mux(reads_v, cell.v[0], cell.u[0]))
        m.d.comb += x.eq(Mux(Mux(multiplying, late, ~early), x_held, fixed))

        # The multiplier.
        y = Signal()
        operand = Signal(signed(widths.operand), reset_less=True)
        partial = Signal(signed(widths.operand), reset_less=True)
        total = Signal(signed(widths.operand + 1))
        h = Signal(widths.total, reset_less=True)
        # A bit of the product comes a clock after the factor's: y is a register, so that a bit of
        # the adder and its choice share a LUT.
        factor = Mux(at(Frame.DRIVE), constant(self.neuron.gain, V_BITS - 1),
                     Mux(at(Frame.RECOVERY), constant(a, FRACTION - 1),
                         constant(b, FRACTION - 1)))
        m.d.comb += total.eq(Mux(y, partial + operand, partial))
        source = Mux(at(Frame.DRIVE), Mux(below(self.drive_bits), cell.drive_out, operand[-1]),
                     Mux(at(Frame.RECOVERY), h[0], x))

        # 41 * (v*v >> 12), a clock later still, so that its bit 10 meets bit 0 of v.
        q = Signal()
        q_late = Signal(6)
        m.d.comb += q.eq(total[0] & ~below(FRACTION + 1))
        by_9 = Signal()
        by_9_carry = Signal()
        by_41_carry = Signal()
        by_41 = by_9 ^ q_late[5] ^ by_41_carry
        with m.If(self.run):
            m.d.sync += [
                by_9.eq(q ^ q_late[2] ^ by_9_carry),
                by_9_carry.eq(_carry(q, q_late[2], by_9_carry)),
                by_41_carry.eq(_carry(by_9, q_late[5], by_41_carry)),
            ]

        # product + addend + more, of which addend is 7 * v, -u or u.
        v_late = Signal(3)
        less = Signal(init=1, reset_less=True)
        plus = Mux(multiplying, at(Frame.RECOVERY), 1)
        addend = Mux(plus, x, v_late[2] ^ ~x ^ less)
        more = Mux(half_step, h[0], at(Frame.DRIVE) & Mux(
            multiplying, constant(CONSTANT, V_BITS), cell.spike & constant(d, 0)))
        product = Mux(half_step, by_41, total[0])
        result = Signal()
        before = Signal()
        carries = Signal(2, reset_less=True)
        first = product ^ addend ^ carries[0]
        m.d.comb += result.eq(first ^ more ^ carries[1])

        # Sums go back, but for a second half step that is not wanted.
        peaked = Signal()
        v = cell.v
        above = Mux(over, ~negative, ~v[-1] & (v[17:-1].any() | v[13:17].all()))
        lasting = half_step & ~(at(Frame.SECOND) & peaked)
        updates = Mux(multiplying, lasting | at(Frame.RECOVERY), at(Frame.DRIVE))
        # v is the half of its sum: its bits come a clock later.
        beyond = Mux(multiplying, late & ~(half_step & (n == 2 * V_BITS)), ~early)
        with m.If(self.run):
            m.d.sync += [
                x_held.eq(x), q_late.eq(Cat(q, q_late)),
                v_late.eq(Cat(x & summing & half_step, v_late)),
                y.eq(multiplying & Mux(half_step, Mux(early, x, y), factor)),
            ]
            with m.If(loading):
                m.d.sync += operand.eq(Cat(operand[1:], source))
            with m.If(Mux(multiplying, ~early, at(Frame.RECOVERY))):
                m.d.sync += h.eq(Cat(h[1:], Mux(half_step, h[0], result)))
            with m.If(updates):
                m.d.sync += before.eq(result)
            m.d.sync += over.eq((over & ~(last & ~updates))
                                | (updates & beyond & (result ^ before)))
            with m.If(begins & loading & reads_v):
                m.d.sync += peaked.eq(above)
        m.d.comb += negative.eq(before)
        # At rest, and between sums, these start anew, by a reset of their own.
        m.d.sync += partial.eq(total >> 1)
        with m.If(last | ~self.run):
            m.d.sync += partial.eq(0)
        m.d.sync += [
            carries.eq(Cat(_carry(product, addend, carries[0]), _carry(first, more, carries[1]))),
            less.eq(_carry(v_late[2], ~x, less)),
        ]
        with m.If(~summing | last | ~self.run):
            m.d.sync += [carries.eq(0), less.eq(1)]

        turns = self.run & leaving & early
        writes_v = Mux(multiplying, half_step & (early | (lasting & (middle | (n == 2 * V_BITS)))),
                       early & (half_step | at(Frame.DIFFERENCE)))
        writes_u = Mux(multiplying, middle & ~half_step, early & at(Frame.DRIVE))
        new_v = Mux(leaving, Mux(peaked, constant(c, 0), v[0]),
                    Mux(multiplying & ~early, result, x))
        new_u = Mux(updates, result, x)
        m.d.comb += [
            cell.shift_v.eq(turns | (self.run & writes_v)),
            cell.shift_u.eq(turns | (self.run & writes_u)),
        ]
        moves = self.run & at(Frame.DRIVE) & loading & below(self.drive_bits)
        for k, item in enumerate(self.cells):
            following = self.cells[(k + 1) % len(self.cells)]
            if k:
                m.d.comb += [item.shift_v.eq(turns), item.shift_u.eq(turns)]
            closes = k == len(self.cells) - 1
            m.d.comb += [
                item.next_v.eq(new_v if closes else Mux(turns, following.v[0], new_v)),
                item.next_u.eq(new_u if closes else Mux(turns, following.u[0], new_u)),
                item.shift_drive.eq(moves), item.next_drive.eq(0 if closes else
                                                               following.drive_out),
                item.shift_spike.eq(self.run & leaving & begins),
                item.next_spike.eq(peaked if closes else following.spike),
            ]
        return m


def _carry(x, y, carry):
    """The carry of a full adder."""
    return (x & y) | (x & carry) | (y & carry)

