"""Candidates on crossbars: their price in closed form, their accuracy on drawn chips, refusals."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tiny_search import few, task

from spikeloom.flow import config, ir
from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.cost.price import price
from spikeloom.flow.cim.mapper import map_network
from spikeloom.flow.cim.shapes import of_graph
from spikeloom.flow.errors import ConfigError
from spikeloom.hdl.neurons.lif import Lif
from spikeloom.nas import cim, datasets
from spikeloom.nas.cim import Cim
from spikeloom.nas.task import Task
from spikeloom.sim import reference
from spikeloom.sim.crossbar import report
from spikeloom.sim.crossbar.network import calibrate

RATE = "space.encoders=['rate']"
ASKS = "search.objectives=['cim_accuracy', 'cim_uj']"


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setitem(datasets.LOADERS, "few", few)


def graph(sng="sobol1", stage="integer") -> ir.Graph:
    rng, layers = np.random.default_rng(0), []
    for inputs, outputs in ((64, 12), (12, 10)):
        layer = {"out_features": outputs, "weight_bits": 3, "bitstream_length": 32, "sng": sng,
                 "neuron": Lif(v_threshold=40)}
        if stage == "integer":
            layer |= {"weight": rng.integers(-3, 4, (outputs, inputs)).astype(np.int16),
                      "bias": np.zeros(outputs, np.int32)}
        layers.append(layer)
    return ir.chain(shape=(8, 8), encoder="rate", readout="membrane", num_steps=3, layers=layers)


def test_costs_are_those_of_the_mapped_network_tiles_in_order():
    array = Array(rows=32, cols=32, share_tiles=True)
    network = of_graph(graph())
    plan = map_network(network, array, moves=0)
    wanted = price(network, array, plan=plan)
    assert cim.costs(network, array) == {
        "cim_mm2": wanted.area_mm2, "cim_ms": wanted.latency_ms, "cim_uj": wanted.energy_uj,
        # 2 columns a weight for each of its 2 bits, 768 + 120 weights
        "cim_memory": 4 * 888}
    two = cim.costs(network, msgspec.structs.replace(array, cell_bits=2))
    assert two["cim_memory"] == 2 * 2 * 888


def test_the_free_check_is_an_upper_bound_of_what_training_can_make():
    """Ones in an `lfsr` stream are no multiples of each other, so cells hold more than codes."""
    for sng, bits in (("sobol1", 2), ("lfsr", 5)):
        shapes, trained = (of_graph(graph(sng, stage)) for stage in ("shape", "integer"))
        assert shapes.layers[0].magnitude_bits == bits >= trained.layers[0].magnitude_bits
        free, unfit = cim.free_check(graph(sng, "shape"), Array(), Cim())
        assert not unfit and set(free) == {"cim_mm2", "cim_ms", "cim_uj", "cim_memory"}
        known = cim.costs(trained, Array())
        assert all(known[name] <= free[name] for name in free)


def test_what_no_crossbar_holds_is_an_excess_by_how_much_too_wide_it_is():
    found = graph("lfsr", "shape")  # 5 bits, 10 columns in both layers
    assert cim.free_check(found, Array(rows=8, cols=8), Cim()) == ({}, 2 * (10 / 8 - 1))
    assert cim.free_check(found, Array(rows=1, cols=10, crossbars_per_pe=1, pes_per_tile=1), Cim()
                          )[1] == 0.0
    assert cim.free_check(found, Array(rows=8, cols=12, cell_bits=2), Cim())[1] == 0.0


def test_energy_follows_the_spikes_in_mode_event():
    data = few()
    dark = datasets.Split(np.zeros_like(data.train.inputs), data.train.labels.copy())
    none, some, every = (cim.columns(graph(), Array(), Cim(mode=mode), split, None)
                         for mode, split in (("event", dark), ("event", data.train),
                                             ("physical", data.train)))
    assert none["cim_uj"] < some["cim_uj"] < every["cim_uj"]
    assert none["cim_mm2"] == some["cim_mm2"] == every["cim_mm2"]
    assert "cim_uj" not in cim.free_check(graph(), Array(), Cim(mode="event"))[0]
    trace = reference.run(graph(), data.train.inputs, trace=True)
    first, second = cim.spikes(graph(), data.train.inputs)
    assert second == trace.spikes[0].sum() / (3 * 100)
    assert 0 < first < 64


def test_accuracy_is_the_mean_over_chips_calibrated_on_training_images():
    data, array = few(), Array(adc_bits=3)
    settings = Cim(draws=2, seed=5, variation=0.5)
    ranges = calibrate(graph(), data.train.inputs, array, settings.effects(array).nominal)
    wanted = report.measure(graph(), data.validation.inputs, data.validation.labels, array,
                            settings.effects(array), draws=2, seed=5, ranges=ranges)
    assert cim.accuracy(graph(), array, settings, data.train, data.validation) == wanted.mean
    assert settings.effects(array).on == ("variation", "ir drop", "adc")
    some = msgspec.structs.replace(settings, images=10)
    right = 10 * 2 * cim.accuracy(graph(), array, some, data.train, data.validation)
    assert right == pytest.approx(round(right)), "of ten images on two chips"
    found = cim.columns(graph(), array, settings, data.train, data.validation)
    assert found["cim_accuracy"] == wanted.mean
    none = msgspec.structs.replace(settings, draws=0)
    assert "cim_accuracy" not in cim.columns(graph(), array, none, data.train, data.validation)


def test_a_column_that_is_asked_for_brings_the_section_with_it():
    assert task(RATE).cim is None and task(RATE).experiment.cim is msgspec.UNSET
    for change in (ASKS, "search.constraints={ cim_mm2 = 5 }", "search.choose='cim_ms'"):
        found = task(RATE, change)
        assert found.cim == Cim()
        assert found.experiment.cim == msgspec.to_builtins(Cim())
    found = task(RATE, "cim.sizes=[32, 64]", "cim.r_col=2.5")
    assert found.cim.r_col == 2.5 and found.space.bounds["array_size"] == (0, 1)
    genome = found.space.genome(found.space.sample(np.random.default_rng(0)))
    size = json.loads(genome)["array"]["size"]
    assert found.array(genome) == Array(rows=size, cols=size, r_col=2.5)


@pytest.mark.parametrize("changes, words", [
    (["cim.size=[64]"], "cim.size: unknown key 'size'; did you mean 'sizes'?"),
    (["cim.sizes=[]"], "cim.sizes must be a list of different values, at least one, not []"),
    (["cim.sizes=[8192]"], "cim.sizes must be in 1..4096, not [8192]"),
    (["cim.encodings=['ofset']"], "cim.encodings: unknown encoding 'ofset'; did you mean 'offset'"),
    (["cim.r_on=3e5"], "cim.r_on must be less than r_off, 200000 ohm, not 300000"),
    (["cim.technology='tsmc'"], "unknown technology 'tsmc'"),
    (["cim.variation=-1.0"], "cim.variation must be 0 or more and finite, not -1.0"),
    (["cim.mode='released'"], "cim.mode must be one of physical, event, not \"released\""),
    (["cim.draws=0", ASKS], "cim.draws must be at least 1 where the search asks for cim_accuracy"),
    (["cim.adc_bits=[3, 4]"], "cim.adc_bits must be one value where neither objectives nor "),
    (["cim.cell_bits=[1, 2]", "search.objectives=['accuracy', 'cim_mm2']"],
     "have cim_accuracy, which alone sees what it does, not [1, 2]"),
    (["space.encoders=['rate', 'stream']", ASKS], "space.encoders must be without stream where "),
    (["search.routed=0", ASKS, "search.constraints={ fmax_mhz = 30 }"],
     "search must be without fmax_mhz where nothing is routed"),
])
def test_what_crossbars_cannot_be_asked_is_refused_by_name(changes, words):
    with pytest.raises(ConfigError) as error:
        task(RATE, *changes)
    assert words in str(error.value)


def test_a_chip_that_is_too_large_is_an_excess():
    found = task(RATE, "search.constraints={ cim_mm2 = 5 }", "search.routed=0")
    assert found.bounds == {"cim_mm2": 5.0} and found.priced_only
    rng = np.random.default_rng(0)
    genomes = {layers: found.space.genome(found.space.sample(rng, layers)) for layers in (0, 1)}
    assert found.excess(genomes[0]) == 0.0 < found.excess(genomes[1]), "layers share no tile"
    assert found.G([{"cim_mm2": 4.0}, {"cim_mm2": 10.0}]).tolist() == [[-0.2], [1.0]]
    assert task(RATE, ASKS, "search.routed=0").G([{}, {}]).shape == (2, 0)


def test_the_example_is_a_search_over_arrays_that_needs_no_fpga():
    path = Path(__file__).parents[1] / "examples" / "cim.toml"
    found = Task(config.load_experiment(path), str(path))
    assert found.priced_only and not found.bounds
    assert {name for name in found.space.bounds if name.startswith("array_")} == {
        "array_size", "array_cell_bits", "array_adc_bits", "array_encoding"}
    fixed = msgspec.structs.replace(found.cim, **{key: getattr(Cim(), key) for key in (
        "sizes", "cell_bits", "adc_bits", "encodings", "share_tiles")})
    assert fixed == Cim(), "the rest are the defaults, and it says so"


def test_an_fpga_binds_where_something_is_routed():
    assert set(task(RATE, ASKS).bounds) == {"lc", "ebr", "spram"}
    assert not task(RATE, "search.routed=0").priced_only
