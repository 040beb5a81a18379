"""Arrays as genes of a space: which there are, canonical genomes, and what repair may do."""

import json

import numpy as np
import pytest
from test_space import everything, small

from spikeloom.flow import config
from spikeloom.nas.arrays import Arrays, described
from spikeloom.nas.residual import ResidualSpace
from spikeloom.nas.space import Space, describe, repair

ONE = {"size": (64,), "cell_bits": (1,), "adc_bits": (4,), "mux": (8,),
       "encoding": ("differential",)}
MANY = ONE | {"size": (64, 32), "adc_bits": (6, 4, 5), "encoding": ("offset", "differential")}


def space(values=MANY, **changes) -> Space:
    plain = small(**changes)
    return Space(plain.settings, plain.shape, plain.num_classes, values and Arrays(values))


@pytest.mark.parametrize("values, arrays", [(ONE, 1), (MANY, 12)])
def test_every_network_is_there_with_every_array(values, arrays):
    few = {"weight_bits": (2,), "bitstream_lengths": (8,), "leak_shifts": (2,)}
    alone, found = space(None, **few), space(values, **few)
    assert found.size() == arrays * alone.size() == len(everything(found))


def test_a_space_with_one_array_draws_the_same_networks_as_without():
    alone, found = space(None), space(ONE)
    assert alone.bounds == found.bounds and alone.choices == found.choices
    for seed in range(20):
        vector = alone.sample(np.random.default_rng(seed))
        assert vector == found.sample(np.random.default_rng(seed))
        item = json.loads(found.genome(vector))
        assert item.pop("array") == {"size": 64, "cell_bits": 1, "adc_bits": 4, "mux": 8,
                                     "encoding": "differential"}
        assert item == json.loads(alone.genome(vector)), "and no genome mentions crossbars there"


def test_numbers_are_in_order_and_the_network_is_the_same_on_all():
    found = space()
    vector = found.sample(np.random.default_rng(0))
    vector |= {"array_size": 0, "array_adc_bits": 1, "array_encoding": 0}
    first = found.genome(vector)
    other = found.genome(vector | {"array_size": 1, "array_adc_bits": 2, "array_encoding": 1})
    assert json.loads(first)["array"] == ONE_OF | {"size": 32, "adc_bits": 5, "encoding": "offset"}
    assert json.loads(other)["array"] == ONE_OF | {"size": 64, "adc_bits": 6,
                                                   "encoding": "differential"}
    assert found.graph(first).digest() == found.graph(other).digest()
    assert describe(first).endswith(" 32x32 cell=1 ADC=5 mux=8 offset")


ONE_OF = {name: values[0] for name, values in ONE.items()}


def test_an_array_in_a_few_words():
    assert described(ONE_OF) == "64x64 cell=1 ADC=4 mux=8 differential"


def test_repair_changes_an_array_in_either_direction():
    found, rng = space(), np.random.default_rng(1)
    vector = found.sample(rng) | {"array_size": 0, "array_adc_bits": 2}

    def excess(genome):
        item = json.loads(genome)["array"]
        return 64 - item["size"] + item["adc_bits"] - 4

    fixed = repair(found, vector, excess, rng)
    assert fixed == vector | {"array_size": 1, "array_adc_bits": 0}
    assert repair(found, vector, lambda genome: 1.0, rng) is None


def test_maps_are_there_with_every_array():
    settings = config.Space(network="residual", encoders=("rate",), min_width=4, max_width=5)
    alone, found = (ResidualSpace(settings, (8, 8), 10, arrays) for arrays in (None, Arrays(MANY)))
    assert found.size() == 12 * alone.size()
    genome = found.genome(found.sample(np.random.default_rng(0)))
    assert json.loads(genome)["network"] == "residual" and "array" in json.loads(genome)
