"""What parts of a design are counted to take, held against tables and sums worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow.cost.folded import choice_cells
from spikeloom.flow.cost.memories import wider_blocks
from spikeloom.flow.cost.rom import in_luts, rom_cells
from spikeloom.flow.cost.shared import plane_cells, shared_block
from spikeloom.flow.cost.structure import structure
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl.neurons.fixed import FixedPointLif
from spikeloom.hdl.neurons.homeostatic import HomeostaticLif
from spikeloom.hdl.neurons.lif import Lif
from spikeloom.hdl.shared import slots_of

LIF = Lif(v_threshold=40)
LEAKY = Lif(v_threshold=40, leak_shift=2)
HOMEOSTATIC = HomeostaticLif(v_threshold=40, up=3, down=1, lo=8, hi=100)
FIXED = FixedPointLif(v_threshold=40, beta=3, n=2)


def words(*columns):
    """Words whose bits are these columns, one bit for each word, the lowest bit first."""
    return [sum(int(column[n]) << k for k, column in enumerate(columns))
            for n in range(len(columns[0]))]


RANDOM = np.random.default_rng(7).integers(0, 2, (6, 256))


def test_equal_bits_of_a_rom_are_built_once():
    once = rom_cells(words(*RANDOM[:3]), 3)
    assert rom_cells(words(*RANDOM[[0, 1, 2, 0, 1, 2]]), 6) == once
    assert rom_cells(words(*RANDOM), 6).lut > 1.5 * once.lut


@pytest.mark.parametrize("bit,lut,ff", [
    (lambda n: 0, 0, 0),             # nothing to keep
    (lambda n: n >> 5 & 1, 0, 1),    # an address bit itself
    (lambda n: (n ^ n >> 6) & 1, 1, 1),
    (lambda n: n % 16 in (2, 7), 1, 1),          # any function of four
    (lambda n: (n >> 4) in (1, 2, 9, 12), 1, 1),  # of four others
])
def test_a_bit_of_few_address_bits_takes_a_lut_at_most(bit, lut, ff):
    found = rom_cells(words([bit(n) for n in range(256)]), 1)
    assert (found.lut, found.ff) == (lut, ff)


def test_a_page_that_several_bits_have_is_a_lut_once():
    """Two bits of 32 words that hold the same two pages in either order: two LUTs and muxes."""
    low, high = RANDOM[0][:16], RANDOM[1][:16]
    one = rom_cells(words(np.concatenate([low, high])), 1)
    both = rom_cells(words(np.concatenate([low, high]), np.concatenate([high, low])), 2)
    assert both.lut - 2 == pytest.approx(2 * (one.lut - 2)) and one.lut > 2 and both.ff == 2


@pytest.mark.parametrize("depth,width,small", [
    (256, 4, True), (257, 4, False), (512, 2, True), (512, 3, False),  # beside one EBR
    (32, 35, True), (64, 90, True), (128, 105, False)])  # three, six, and seven that cost less
def test_a_memory_of_constants_is_in_luts_while_they_cost_no_more(depth, width, small):
    assert in_luts(depth, width) == small


def test_what_lanes_choose_from_is_counted_bit_by_bit():
    """Each bit a function of the code, the sign, and of what is not the same for all."""
    codes = np.arange(8)
    products = np.outer(np.arange(9), codes)
    # every bit is one of the code's three, with the sign, whatever the layer
    assert choice_cells((codes,), 3) == choice_cells((codes, codes), 3) == (3, 0)
    # codes from 4 on add nothing in a layer of three bits: each bit depends on the layer, too
    assert choice_cells((codes, codes[:4]), 3) == (6, 0)
    # of three layers the one is told by a signal that is made once
    assert choice_cells((codes[:4], codes, codes[:4]), 3) == (6, 1)
    # what a pixel makes of code 1 is four bits that are there as they are, or of a layer of two
    assert choice_cells((products[:, :2],), 1) == (4, 0)
    assert choice_cells((products[:, :2], codes[:2]), 1) == (4, 4)
    # seven products of each of six bits are multiplexed
    own, common = choice_cells((products,), 3)
    assert 6 * 4 < own < 6 * 7 and common == 0


def planes(units, lanes=1):
    return plane_cells(slots_of(np.array(units), lanes, 8, False))


def test_inputs_with_the_same_weights_share_the_rom_of_their_planes():
    rng = np.random.default_rng(0)
    one = rng.integers(-8, 9, (6, 4))
    own, beside, _ = planes(one)
    own_twice, beside_twice, _ = planes(np.concatenate([one, one], axis=1))
    assert own_twice == own > 0
    # each input has an inverter; a register whose ROM is another's stands in a cell of its own
    assert beside == 4 and beside_twice == 8 + 4


def test_inputs_without_a_weight_take_nothing():
    rng = np.random.default_rng(1)
    some = rng.integers(-8, 9, (6, 4))
    padded = np.concatenate([some, np.zeros((6, 5), int)], axis=1)
    assert planes(padded) == planes(some)
    assert planes(np.zeros((6, 4), int)) == (0, 0, 0)


@pytest.mark.parametrize("neuron", [LIF, LEAKY, HOMEOSTATIC, FIXED, replace(LIF, refractory=3)])
def test_a_wider_neuron_takes_no_less(neuron):
    for fires in (True, False):
        each = np.array([[neuron.cells(v, fires, count) for count in range(1, 20)]
                         for v in range(4, 20)])
        assert (np.diff(each, axis=0) >= 0).all() and (np.diff(each, axis=1) >= 0).all()
        # an adder of a LUT a bit and a register of one are the least
        assert (each[:, 0, 0] > np.arange(4, 20)).all()
        assert (each[:, 0, 1] >= np.arange(4, 20)).all()


def test_what_a_neuron_does_besides_costs_cells():
    plain = LIF.cells(12, True, 5)
    for neuron in (LEAKY, replace(LIF, refractory=3), replace(LIF, saturate_bits=12), HOMEOSTATIC,
                   FIXED):
        assert neuron.cells(12, True, 5)[0] > plain[0]
    # two bits count to three; none rests where none fires
    assert replace(LIF, refractory=3).cells(12, True, 5)[1] == 12 + 2
    assert replace(LIF, refractory=3).cells(12, False, 5) == LIF.cells(12, False, 5)


def test_a_moving_threshold_has_a_register_where_neurons_fire():
    """Up to 100, with a sign: 8 bits; under membrane read-out it does not move."""
    assert HOMEOSTATIC.cells(12, True, 5)[1] == 12 + 8
    assert HOMEOSTATIC.cells(12, False, 5) == LIF.cells(12, False, 5)
    assert replace(HOMEOSTATIC, v_threshold=300).cells(12, True, 5)[1] == 12 + 10


def test_a_serial_leak_is_counted_once_and_only_where_there_is_one():
    assert LIF.leak_cells(10) == 0 < LEAKY.leak_cells(10)
    weights = np.random.default_rng(2).integers(-8, 9, (6, 9))
    leaks = [shared_block(weights, np.zeros(6), 2, 8, False, 10, neuron, True, 0).parts["leak"].lut
             for neuron in (LIF, LEAKY)]
    assert leaks == [0, LEAKY.leak_cells(10)]


@pytest.mark.parametrize("several,more", [
    ([], 0), ([(200, 16)], 0), ([(200, 17)], 1), ([(200, 32)], 1), ([(200, 33)], 2),
    # 400 words are two blocks for 16 bits, 512 x 8 each, and a third holds eight bits more
    ([(400, 17)], 1), ([(400, 24)], 1), ([(200, 17), (10, 20), (3, 9)], 2)])
def test_words_of_more_than_sixteen_bits_take_further_blocks(several, more):
    """An EBR is 256 x 16, 512 x 8, 1024 x 4 or 2048 x 2 (Lattice, FPGA-DS-02008)."""
    assert wider_blocks(several) == more


@pytest.mark.parametrize("bias,more", [(0, 0), (40_000, 1), (200_000, 1)])
def test_large_constants_of_served_neurons_take_a_second_block(bias, more):
    """17 bits hold -65,536..65,535; 16 do not hold 40,000."""
    weights = np.random.default_rng(3).integers(-8, 9, (6, 9))
    block = shared_block(weights, np.full(6, bias), 2, 8, False, 24, LIF, True, 0)
    assert wider_blocks(block.words) == more


@pytest.mark.parametrize("lowering,lanes,parts", [
    ("spatial", None, True), ("spatial", [3, 2], False), ("folded", [3, 2], False)])
def test_scores_of_served_neurons_are_in_a_memory(lowering, lanes, parts):
    graph = random_graph(np.random.default_rng(4), sizes=(20, 8, 5), encoder="rate",
                         readout="spike_count", lanes=lanes)
    graph = compile_graph(graph.replace(fc1={"lowering": lowering}, fc2={"lowering": lowering}))
    found = structure(graph).parts
    assert ("scores" in found, "counts" in found) == (parts, parts)
