import numpy as np
import pytest
from scipy.stats import qmc

from spikeloom.hdl import sng


@pytest.mark.parametrize("bits", range(3, 10))
def test_lfsr_has_full_period(bits):
    values = sng.sequence("lfsr", bits)
    assert sorted(values[:-1]) == list(range(2**bits - 1))
    assert values[-1] == values[0] == 0


@pytest.mark.parametrize("kind", [k for k in sng.KINDS if k != "lfsr"])
@pytest.mark.parametrize("bits", range(3, 10))
def test_other_generators_take_every_value_once(kind, bits):
    assert sorted(sng.sequence(kind, bits)) == list(range(2**bits))


@pytest.mark.parametrize("bits", range(3, 10))
def test_sobol_equals_scipy(bits):
    points = qmc.Sobol(8, scramble=False).random(2**bits)
    n = np.arange(2**bits)
    for d in range(8):
        ours = sng.sequence(f"sobol{d + 1}", bits)
        assert np.array_equal(np.floor(points[:, d] * 2**bits), ours[n ^ (n >> 1)])


@pytest.mark.parametrize("kind", sng.KINDS)
def test_rank_order_turns_streams_into_runs(kind):
    bits = 5
    order = sng.rank_order(kind, bits)
    for m in range(2**bits + 1):
        run = sng.stream_bits(kind, bits, m)[order]
        assert np.array_equal(run, np.arange(2**bits) < run.sum())


def test_tables_against_a_plain_count():
    bits, w = 4, 4
    x, r = sng.sequence("ramp", bits), sng.sequence("sobol2", bits)
    table = sng.count_table("ramp", "sobol2", bits, w)
    for p in range(2**bits + 1):
        for c in range(2 ** (w - 1)):
            m = c << (bits - w + 1)
            assert table[p, c] == sum(p > x[k] and m > r[k] for k in range(2**bits))


@pytest.mark.parametrize("kind,bits", [("sobel1", 4), ("lfsr", 2), ("ramp", 10)])
def test_unknown_generator_or_width_is_refused(kind, bits):
    with pytest.raises(ValueError, match="must be"):
        sng.sequence(kind, bits)
