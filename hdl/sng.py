"""Stochastic number generators: their sequences and the exact tables that follow from them.

A generator of `bits` = B gives a source R(k), k = 0..2**B - 1, in [0, 2**B). The number m in
0..2**B becomes the stream ``bit(k) = m > R(k)``. Everything here is a plain function of the
arithmetic contract; gateware, reference model and training all read these tables.

A run-time shift h lets every stream end after 2**(B - h) clocks: of a Sobol sequence they are the
best of that length, and a ramp goes in steps of 2**h. Either way they take each multiple of 2**h
once, so that m has ceil(m / 2**h) ones. The other generators have no such beginning.
"""

from functools import lru_cache

import numpy as np

#: Feedback taps (bit positions counted from 1) of maximum-length Fibonacci registers, by width;
#: Xilinx XAPP052, table 3.
LFSR_TAPS = {
    3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5),
    16: (16, 15, 13, 4),
}

#: Primitive polynomials and initial direction numbers (degree s, coefficients a, m_1..m_s) of
#: Sobol dimensions 2 to 8; S. Joe and F. Y. Kuo, new-joe-kuo-6.21201. Dimension 1 is the
#: bit-reversed counter.
SOBOL_DIRECTIONS = {
    2: (1, 0, (1,)), 3: (2, 1, (1, 3)), 4: (3, 1, (1, 3, 1)), 5: (3, 2, (1, 1, 1)),
    6: (4, 1, (1, 1, 3, 3)), 7: (4, 4, (1, 3, 5, 13)), 8: (5, 2, (1, 1, 5, 5, 17)),
}

#: Every generator by the name that configurations use.
KINDS = ("lfsr", "debruijn", "ramp", *(f"sobol{d}" for d in range(1, 9)))

#: Those whose streams can end early.
SHIFTABLE = ("ramp", *(f"sobol{d}" for d in range(1, 9)))

MIN_BITS, MAX_BITS = 3, 9


def lfsr_step(state: int, bits: int) -> int:
    """One step of the Fibonacci register: shift left, the XOR of the taps comes in below."""
    feedback = 0
    for tap in LFSR_TAPS[bits]:
        feedback ^= state >> (tap - 1)
    return ((state << 1) | (feedback & 1)) & ((1 << bits) - 1)


def _lfsr(bits: int) -> list[int]:
    out, state = [], 1
    for _ in range(1 << bits):
        out.append(state - 1)
        state = lfsr_step(state, bits)
    return out


def _debruijn(bits: int) -> list[int]:
    out, state = [], 0
    for _ in range(1 << bits):
        out.append(state)
        low_is_zero = state & ((1 << (bits - 1)) - 1) == 0
        state = lfsr_step(state, bits) ^ int(low_is_zero)
    return out


def _sobol(bits: int, dimension: int) -> list[int]:
    if dimension == 1:
        m = [1] * bits
    else:
        s, a, initial = SOBOL_DIRECTIONS[dimension]
        m = list(initial[:bits])
        for i in range(len(m), bits):
            value = m[i - s] ^ (m[i - s] << s)
            for j in range(1, s):
                value ^= ((a >> (s - 1 - j)) & 1) * (m[i - j] << j)
            m.append(value)
    v = [m[i] << (bits - 1 - i) for i in range(bits)]
    out = []
    for k in range(1 << bits):
        r = 0
        for i in range(bits):
            if k >> i & 1:
                r ^= v[i]
        out.append(r)
    return out


@lru_cache(maxsize=256)
def sequence(kind: str, bits: int, shift: int = 0) -> np.ndarray:
    """R(k) of one generator: int64, shape [2**(bits - shift)], in [0, 2**bits), read-only.

    Raises ValueError for an unknown `kind`, a width outside 3..9, or a shift outside 0..bits or,
    other than 0, of a kind that is not in `SHIFTABLE`.
    """
    if shift:
        if not 0 < shift <= bits:
            raise ValueError(f"shift must be in 0..{bits} for a generator of {bits} bits, "
                             f"not {shift}")
        if kind in KINDS and kind not in SHIFTABLE:
            raise ValueError(f"shift must be 0 for the generator {kind!r}, not {shift}; only "
                             f"{', '.join(SHIFTABLE)} can end early")
        whole = sequence(kind, bits)
        return whole[::1 << shift] if kind == "ramp" else whole[:1 << bits - shift]
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ValueError(f"generator width must be in {MIN_BITS}..{MAX_BITS} bits, not {bits}")
    if kind == "lfsr":
        values = _lfsr(bits)
    elif kind == "debruijn":
        values = _debruijn(bits)
    elif kind == "ramp":
        values = list(range(1 << bits))
    elif kind in KINDS:
        values = _sobol(bits, int(kind.removeprefix("sobol")))
    else:
        raise ValueError(f"generator must be one of {', '.join(KINDS)}, not {kind!r}")
    out = np.array(values, dtype=np.int64)
    out.flags.writeable = False
    return out


def stream_number(code: int | np.ndarray, bits: int, weight_bits: int) -> int | np.ndarray:
    """Stream number m of a weight code c in 0..2**(w-1)-1: ``c << (B - w + 1)``."""
    return code << (bits - weight_bits + 1)


def stream_bits(kind: str, bits: int, numbers: np.ndarray, shift: int = 0) -> np.ndarray:
    """The streams of `numbers` (any shape): bool, shape [*numbers.shape, 2**(bits - shift)]."""
    return np.asarray(numbers)[..., None] > sequence(kind, bits, shift)


@lru_cache(maxsize=256)
def weight_table(kind: str, bits: int, weight_bits: int, shift: int = 0) -> np.ndarray:
    """w_eff[c] = sum over k of bit(k): what a weight adds per spike; int64, shape [2**(w-1)]."""
    numbers = stream_number(np.arange(1 << (weight_bits - 1)), bits, weight_bits)
    out = stream_bits(kind, bits, numbers, shift).sum(-1).astype(np.int64)
    out.flags.writeable = False
    return out


@lru_cache(maxsize=256)
def count_table(x_kind: str, w_kind: str, bits: int, weight_bits: int, shift: int = 0
                ) -> np.ndarray:
    """C[p, c] = sum over k of (p > R_x(k)) and (m > R_w(k)).

    int64, shape [2**B + 1, 2**(w-1)]: the exact product of a `stream` input of code p and a weight
    of code c, both restarted with the timestep.
    """
    x = stream_bits(x_kind, bits, np.arange((1 << bits) + 1), shift).astype(np.int64)
    codes = np.arange(1 << (weight_bits - 1))
    w = stream_bits(w_kind, bits, stream_number(codes, bits, weight_bits), shift).astype(np.int64)
    out = x @ w.T
    out.flags.writeable = False
    return out


def rank_order(kind: str, bits: int) -> np.ndarray:
    """The clocks k in ascending order of R(k), ties by k: int64, shape [2**bits].

    In this order every weight stream is a run of ones followed by zeros, because
    ``{k: m > R(k)}`` grows with m; the number of ones is `weight_table`. Counting does not depend
    on the order of the clocks, so gateware may walk them in this one.
    """
    return np.argsort(sequence(kind, bits), kind="stable")
