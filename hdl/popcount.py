"""Counting ones: a parallel counter that fits the carry chains of an iCE40.

A counter of n = 2k + 1 bits is an adder of two counters of k bits (k = 2**j - 1) whose carry input
absorbs the odd bit, down to full adders in LUTs. A carry that enters or leaves a chain costs a
logic cell, so all adders of one level share one chain: between two fields stands a position whose
two operand bits are the next field's carry input, which makes its sum the carry out of the field
below. Per input this takes about 1.4 logic cells; a plain ``sum()`` takes more than two.
"""

from collections import deque

from amaranth.hdl import Cat, Const, Module, Signal, Value

#: The level of adders behind which the register stands.
CUT = 1


class _Node:
    """A counter in the tree: a leaf of at most three bits, or an adder of two counters.

    Leaves take their bits from the front of `bits`, carries theirs from the back.
    """

    def __init__(self, size: int, bits: deque) -> None:
        self.size = size
        self.left = self.right = self.value = None
        self.level = 0
        if size <= 3:
            self.value = _leaf([bits.popleft() for _ in range(size)])
            return
        half = 1
        while 2 * half + 1 < size:
            half = 2 * half + 1
        self.carry = bits.pop()
        self.left, self.right = _Node(half, bits), _Node(size - 1 - half, bits)
        self.level = 1 + max(self.left.level, self.right.level)

    def adders(self):
        """This adder and those below it."""
        if self.left is not None:
            yield self
            yield from self.left.adders()
            yield from self.right.adders()


def _leaf(bits: list[Value]) -> Value:
    if not bits:
        return Const(0, 1)
    if len(bits) == 1:
        return bits[0]
    if len(bits) == 2:
        return Cat(bits[0] ^ bits[1], bits[0] & bits[1])
    a, b, c = bits
    return Cat(a ^ b ^ c, (a & b) | (a & c) | (b & c))


def popcount(m: Module, bits: list[Value], name: str = "count", *, cut: bool = True) -> Value:
    """The number of ones in `bits` one clock ago, unsigned, ``len(bits).bit_length()`` wide.

    The register stands behind the first level of adders, in cells that have a LUT in use, so it
    costs next to none and halves the longest path. Bits at the end of the list are registered one
    by one: put those there whose LUT nothing else can share. Without `cut` there is no register,
    for bits that come from registers.
    """
    root = _Node(len(bits), deque(bits))
    levels: dict[int, list[_Node]] = {}
    for node in root.adders():
        levels.setdefault(node.level, []).append(node)

    def registered(value: Value) -> Signal:
        register = Signal(len(value), name=f"{name}_cut")
        m.d.sync += register.eq(value)
        return register

    if not levels:
        return registered(root.value) if cut else root.value
    for level in sorted(levels):
        if cut and level == CUT + 1:
            for node in (n for upper in levels if upper > CUT for n in levels[upper]):
                node.carry = registered(node.carry)
                for child in (node.left, node.right):
                    if child.level <= CUT:
                        child.value = registered(child.value)
        a, b = [], []
        for node in levels[level]:
            width = max(len(node.left.value), len(node.right.value))
            a += [node.carry, _wide(node.left.value, width)]
            # The first carry is alone: a net on both inputs of a carry is hard to route.
            b += [node.carry if b else Const(1), _wide(node.right.value, width)]
        total = Signal(len(Cat(*a)) + 1, name=f"{name}_level{level}")
        m.d.comb += total.eq(Cat(*a) + Cat(*b))
        at = 1
        for node in levels[level]:
            width = max(len(node.left.value), len(node.right.value))
            node.value = total[at:at + width + 1][:node.size.bit_length()]
            at += width + 1
    return registered(root.value) if cut and max(levels) <= CUT else root.value


def _wide(value: Value, width: int) -> Value:
    return Cat(value, Const(0, width - len(value))) if len(value) < width else value


def chains(n: int) -> list[int]:
    """Lengths of the carry chains of `popcount` over n bits, the first level first."""
    lengths: dict[int, int] = {}

    def walk(size: int) -> int:
        if size <= 3:
            return 0
        half = 1
        while 2 * half + 1 < size:
            half = 2 * half + 1
        level = 1 + max(walk(half), walk(size - 1 - half))
        lengths[level] = lengths.get(level, 0) + half.bit_length() + 1
        return level

    walk(n)
    return [lengths[level] + 1 for level in sorted(lengths)]


def adder_cells(n: int) -> int:
    """Logic cells of `popcount` over n bits by structure: leaves, adders, carries in and out."""
    levels = set()
    cells = 0

    def walk(size: int) -> int:
        nonlocal cells
        if size <= 3:
            cells += 2 if size > 1 else 0
            return 0
        half = 1
        while 2 * half + 1 < size:
            half = 2 * half + 1
        level = 1 + max(walk(half), walk(size - 1 - half))
        cells += half.bit_length() + 1
        levels.add(level)
        return level

    walk(n)
    return cells + len(levels)
