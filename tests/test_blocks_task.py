"""Searches for blocks made ready: settings, columns, costs, bounds, and what is refused."""

import pytest
import tiny_blocks
from tiny_blocks import GATEWARE, task

from spikeloom.boards import BOARDS
from spikeloom.flow import ir, targets
from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.cost.price import price as chip_price
from spikeloom.flow.cost.structure import TYPICAL_SPREAD
from spikeloom.flow.errors import ConfigError
from spikeloom.nas.blocks.graph import Gateware, graph, typical
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.recipe import BlockTraining
from spikeloom.nas.blocks.space import genome_of
from spikeloom.nas.columns import price
from spikeloom.nas.problem import broken
from spikeloom.nas.train import TrainSettings


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    tiny_blocks.install(monkeypatch)


def test_sizes_come_from_data_and_settings():
    found = task()
    assert found.macro == Macro(in_channels=1, image_size=8, channels=3, stages=(1, 1), growth=1,
                                num_steps=2, voters=2)
    assert found.space.size() == 9 and found.gateware is None and found.bounds == {}
    assert isinstance(found.settings, BlockTraining) and found.training.epochs == 2
    assert "lc" not in found.columns and "spikes" in found.columns
    built = task(GATEWARE)
    assert built.gateware == Gateware(lanes=2) and isinstance(built.settings, TrainSettings)
    assert built.bounds == {"lc": 5280, "ebr": 30} and "lc" in built.columns
    assert built.experiment.blocks["gateware"] == {"lanes": 2}


@pytest.mark.parametrize("change, words", [
    ("search.objectives=['lc']", "search.objectives: lc is no column of this search: networks of "
                                 "blocks without a table [blocks.gateware]"),
    ("search.constraints={ fmax_mhz = 12 }", "nothing is routed while networks of blocks are"),
    ("search.choose='scor'", "unknown column 'scor'; did you mean 'score'?"),
    ("search.repeats=2", "search.repeats must be 1 with space.network = 'blocks'"),
    ("blocks.offered=['srb_k7']", "e.toml: blocks.offered: unknown block 'srb_k7'; did you mean"),
    ("blocks.offered=[]", "blocks.offered must be a list of different values, at least one"),
    ("blocks.channels=0", "e.toml: blocks.channels must be in 1..4096, not 0"),
    ("blocks.stages=[]", "e.toml: blocks.stages must be 1..6 counts"),
    ("blocks.image_size=3", "blocks.image_size must be in 4..1024"),
    ("blocks.image_size=5", "blocks.image_size: images of 'few' must have 1 channels and as many"),
    ("blocks.down='min'", "e.toml: blocks: unknown down 'min'"),
    ("blocks.spike_lambda=0.08", "blocks.spike_lambda must be in -10..0 (below 0 where spikes are "
                                 "to be few), not 0.08"),
    ("blocks.spike_lambda=-inf", "blocks.spike_lambda must be in -10..0"),
    ("blocks.calibrate=101", "blocks.calibrate must be in 0..100, what the train split of 'few' "
                             "has, not 101"),
    ("blocks.super={ epoch = 3 }", "e.toml: blocks.super.epoch: unknown key 'epoch'"),
    ("blocks.super={ lambda_reg = -1.0 }", "e.toml: blocks.super.lambda_reg must be a finite "
                                           "number at least 0"),
    ("blocks.gateware={ lanes = 0 }", "e.toml: blocks.gateware.lanes must be in 1..64, not 0"),
    ("blocks.cim_mode='event'", "blocks.cim_mode must be one of"),
    ("blocks.array={ rows = 0 }", "blocks.array.rows must be in 1..4096, not 0"),
    ("train.gain=1.0", "train.gain: unknown key 'gain'"),
    ("data.name='temporal'", "data.name must be a data set of images with space.network = "
                             "'blocks'"),
    ("search.options={ mutant = 3 }", "search.options.mutant: unknown key 'mutant'; did you mean "
                                      "'mutants'?"),
    ("cim.sizes=[64]", "section [cim] must be left out with space.network = 'blocks'"),
    ("cells.nodes=4", "section [cells] must be left out with space.network = 'blocks'; it is of "
                      "'cells'"),
])
def test_what_is_wrong_is_named(change, words):
    with pytest.raises(ConfigError) as error:
        task(change)
    assert words in str(error.value) and str(error.value).startswith("e.toml: ")


@pytest.mark.parametrize("changes, words", [
    (("search.options={}", "search.strategy='spikenas'"), "search.strategy must be one that "
     "searches space.network = 'blocks', not 'spikenas', which searches cells alone"),
    ((GATEWARE, "blocks.growth=2"), "e.toml: blocks.offered must be without srb_k3 with e.toml: "
                                    "blocks.gateware"),
    ((GATEWARE, "blocks.down='avg'"), "e.toml: blocks.down must be 'max' or 'strided'"),
    ((GATEWARE, "train.flip=false"), "e.toml: train.flip: unknown key 'flip'"),
    ((GATEWARE, "train.epochs=0"), "e.toml: train.epochs must be in 1..100000, not 0"),
    ((GATEWARE, "target.board='icebreaking'"), "e.toml: target.board: unknown board"),
])
def test_what_gateware_cannot_take_is_named_before_anything_is_trained(changes, words):
    with pytest.raises(ConfigError) as error:
        task(*changes)
    assert words in str(error.value)


def test_costs_are_closed_forms():
    blocks = ("srb_k3", "scb_k3")
    found, _ = task().free(genome_of(blocks))
    macro = task().macro
    assert found["weights"] == macro.weights(blocks)
    assert found["weight_memory"] == 8 * macro.weights(blocks)
    chip = chip_price(macro.network(blocks, weight_bits=8), Array())
    assert found["cim_mm2"] == pytest.approx(chip.area_mm2, rel=1e-12)
    built, _ = task(GATEWARE).free(genome_of(blocks))
    shape = typical(graph(macro, blocks, Gateware(lanes=2)))
    assert [node.c_skip for node in shape.nodes if isinstance(node, ir.Sum)] == [24]
    wanted = price(shape, targets.board("icebreaker"), spread=TYPICAL_SPREAD)
    for name in ("lc", "ebr", "cycles", "weights", "weight_memory", "energy_nj"):
        assert built[name] == wanted[name]
    assert "spram" not in built and "cim_uj" in built


def test_what_breaks_a_bound_is_refused_by_shapes_alone():
    """Block memories: a UP5K has 30; of lanes too many for it, more."""
    found = task("blocks.gateware={ lanes = 8 }", "blocks.channels=8",
                 "search.constraints={ cycles = 20000 }")
    small, large = genome_of(("skip", "skip")), genome_of(("srb_k3", "srb_k3"))
    assert found.excess(small) == 0 < found.excess(large)
    assert "cycles" in broken(found, found.free(large)[0])
    assert found.counts.priced == 2 and found.counts.refused == 1


def test_boards_bound_what_they_have():
    for name in ("icebreaker", "ice40_hx8k_b_evn"):
        device = targets.device(BOARDS[name].device)
        found = task(GATEWARE, f"target.board='{name}'")
        assert found.bounds == {"lc": device.lc, "ebr": device.ebr}


def test_a_chain_has_no_section_of_blocks():
    text = "[blocks]\nchannels = 3\n"
    with pytest.raises(ConfigError, match=r"section \[blocks\] must be left out with "
                                          "space.network = 'chain'; it is of 'blocks'"):
        task(text=text)
