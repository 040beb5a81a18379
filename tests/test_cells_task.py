"""Searches for cells made ready: settings, columns, costs, and what is refused."""

import msgspec
import pytest
import tiny_cells
from tiny_cells import task

from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.cost.price import price
from spikeloom.flow.errors import ConfigError
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.costs import costs
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.space import genome_of
from spikeloom.nas.problem import WORST, broken


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    tiny_cells.install(monkeypatch)


def test_sizes_come_from_data_and_settings():
    found = task("cells.proxy={ channels = 2, image_size = 4 }", "cells.cells=1")
    assert found.macro == Macro(in_channels=3, image_size=8, channels=4, cells=1, hidden=8,
                                voters=1)
    assert (found.scored.channels, found.scored.image_size) == (2, 4)
    assert found.images.shape == (4, 3, 4, 4)
    assert found.experiment.cells["score_settings"] == {} and "epochs" in found.experiment.train


@pytest.mark.parametrize("change, words", [
    ("search.objectives=['lc']", "search.objectives: lc is no column of this search: networks of "
                                 "cells are placed and routed on no FPGA"),
    ("search.constraints={ spram = 2 }", "search.constraints: spram is no column of this search"),
    ("search.choose='ff'", "ff is no column of this search"),
    ("search.objectives=['scor']", "unknown column 'scor'; did you mean 'score'?"),
    ("search.choose='cim_accuracy'", "chips are simulated of integer networks alone"),
    ("cells.operations=['conv3']", "e.toml: cells.operations: unknown operation 'conv3'"),
    ("cells.operations=[]", "cells.operations must be a list of different values, at least one"),
    ("cells.nodes=9", "e.toml: cells.nodes must be in 2..8, not 9"),
    ("cells.channels=0", "e.toml: cells.channels must be in 1..4096, not 0"),
    ("cells.image_size=3", "cells.image_size must be in 4..1024 with 2 cells, not 3"),
    ("cells.image_size=5", "cells.image_size: images of 'maps' must have 3 channels and as many"),
    ("cells.score='sadh'", "e.toml: cells.score: unknown score 'sadh'; did you mean 'sahd'?"),
    ("cells.score_settings={ batch = 3 }", "unknown setting 'batch'"),
    ("cells.images=21", "cells.images must be in 1..20, what fake needs and the train split of "
                        "'maps' has, not 21"),
    ("cells.proxy={ cells = 3 }", "cells.proxy must be without cells"),
    ("cells.proxy={ channel = 3 }", "cells.proxy.channel: unknown key 'channel'"),
    ("cells.weight_bits=3", "cells.weight_bits must be in 4..32, not 3"),
    ("cells.cim_mode='event'", "cells.cim_mode must be one of released, neuronas, physical, not"),
    ("cells.array={ rows = 0 }", "cells.array.rows must be in 1..4096, not 0"),
    ("cells.short={ epochs = 0 }", "cells.short.epochs must be in 1..100000, not 0"),
    ("train.epoch=3", "train.epoch: unknown key 'epoch'"),
    ("data.name='temporal'", "data.name must be a data set of images with space.network = 'cells'"),
    ("search.options={ isomorph = true }", "search.options.isomorph: unknown key 'isomorph'; did "
                                           "you mean 'isomorphic'?"),
    ("search.options={ operations = [] }", "search.options.operations must be a list of"),
    ("cim.sizes=[64]", "section [cim] must be left out with space.network = 'cells'"),
])
def test_what_is_wrong_is_named(change, words):
    with pytest.raises(ConfigError) as error:
        task(change)
    assert words in str(error.value) and str(error.value).startswith("e.toml: ")


def test_costs_are_closed_forms():
    macro, cells = Macro(channels=8), [parse("3|02|103"), parse("1|33|400")]
    found = costs(macro, cells, weight_bits=8)
    assert found["weights"] == macro.weights(cells)
    assert found["weight_memory"] == 8 * macro.weights(cells)
    chip = price(macro.network(cells, weight_bits=8, classifier=True), Array())
    assert found["cim_mm2"] == pytest.approx(chip.area_mm2, rel=1e-12)
    assert found["cim_memory"] % 7 == 0 and found["cim_memory"] > found["weight_memory"]
    paper = costs(macro, cells, weight_bits=8, mode="neuronas")
    assert paper["cim_uj"] != found["cim_uj"]
    assert paper["cim_memory"] == 8 * macro.weights(cells)
    assert costs(macro, cells, weight_bits=8, classifier=True)["weights"] > found["weights"]


def test_a_network_that_no_chip_has_is_refused_where_a_chip_is_asked_for():
    narrow = "cells.array={ cols = 8 }"
    genome = genome_of([parse("3|11|111")])
    assert task(narrow).excess(genome) == 0
    assert task(narrow, "search.constraints={ cim_mm2 = 1e9 }").excess(genome) == 1


def test_limits_are_checked_before_anything_is_scored():
    found = task("search.constraints={ weights = 2000, cim_ms = 1e-3 }")
    big, cut = genome_of([parse("3|33|333")]), genome_of([parse("0|00|000")])
    assert found.excess(big) > 0 and found.excess(cut) == 1.0
    assert set(found.violated(big)) == {"weights", "cim_ms"}
    assert found.nearest() == big and found.counts.refused == 2, "what cannot be is near nothing"
    assert broken(found, found.free(big)[0]).startswith("weights 4,716, bound 2,000, CIM [ms]")


def test_a_row_without_a_score_is_worse_than_any_and_keeps_no_limits():
    found = task("search.objectives=['score', 'weights']")
    rows = [{"score": -9e9, "weights": 1e6}, {"score": None, "weights": 3.0}]
    F = found.F(rows)
    assert F.tolist() == [[9e9, 1e6], [WORST, WORST]]
    assert found.feasible(rows[0]) and not found.feasible(rows[1])
    assert found.reference(rows).tolist() == [9e9, 1e6] and found.box(found.reference(rows)) == 1.0


def test_accuracy_is_trained_for():
    found = task("search.objectives=['accuracy', 'weights']", "search.choose='accuracy'",
                 "cells.short={ epochs = 1, images = 10 }", "train.epochs=7")
    assert (found.training.epochs, found.settings.epochs) == (1, 7)
    assert found.reference([]).tolist() == [-0.1, 0.0] and task().training is None
    assert msgspec.to_builtins(found.experiment)["cells"]["short"] == {"epochs": 1, "images": 10}
