"""Tasks: what an experiment may ask for, what it may not, and what the free checks know."""

import msgspec
import numpy as np
import pytest
from tiny_search import few, task

from spikeloom.flow import config
from spikeloom.flow.errors import ConfigError
from spikeloom.nas import datasets
from spikeloom.nas.columns import COLUMNS, complete, price
from spikeloom.nas.task import Task


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setitem(datasets.LOADERS, "few", few)


@pytest.mark.parametrize("change, words", [
    ("search.objectives=['acuracy', 'lc']", "search.objectives: unknown column 'acuracy'; did you "
                                            "mean 'accuracy'?"),
    ("search.constraints={ lcs = 3 }", "search.constraints: unknown column 'lcs'; did you mean"),
    ("search.strategy='nsga'", "search.strategy: unknown strategy 'nsga'; did you mean 'nsga2'?"),
    ("search.reference={ lcs = 3 }", "search.reference: unknown column 'lcs'; did you mean"),
    ("search.reference={ ebr = 3 }", "e.toml: search.reference must be of search.objectives "
                                     "(accuracy, lc), not 'ebr'"),
    ("search.reference={ accuracy = 1.5 }", "search.reference.accuracy must be worse than the best "
                                            "that can be, 1, not 1.5"),
    ("search.reference={ lc = 0 }", "search.reference.lc must be worse than the best that can be"),
    ("search.cost_model='guessed'", "search.cost_model must be 'predicted' or 'structure', not "),
    ("search.pnr_seeds=0", "search.pnr_seeds must be in 1..100, not 0"),
    ("target.board='icebraker'", "e.toml: target.board: unknown board 'icebraker'; did you mean "
                                 "'icebreaker'?"),
    ("data.name='digit'", "e.toml: data.name: unknown dataset 'digit'; did you mean 'digits'?"),
    ("search.choose='acuracy'", "search.choose must be a column or the id of a candidate: unknown "
                                "column 'acuracy'; did you mean 'accuracy'?"),
    ("data.name='temporal'", "e.toml: space.encoders must be of ['spikes'] for the inputs of "
                             "'temporal', not ['rate', 'stream']"),
    ("space.encoders=['spikes']", "space.encoders must be of ['rate', 'stream'] for the inputs of "
                                  "'few', not ['spikes']"),
    ("search.objectives=['score']", "search.objectives: score is no column of this search: scores "
                                    "are of networks of cells"),
    ("search.choose='score'", "search.choose must be a column or the id of a candidate: score is "
                              "no column of this search"),
    ("search.strategy='spikenas'", "search.strategy must be one that searches space.network = "
                                   "'chain', not 'spikenas', which searches cells alone"),
    ("search.options={ sample = 3 }", "search.options must be {} for this strategy, which has"),
    ("cells.nodes=3", "section [cells] must be left out with space.network = 'chain'"),
    ("train.epoch=3", "train.epoch: unknown key 'epoch'; did you mean 'epochs'?"),
    ("train.epochs=0", "train.epochs must be in 1..100000, not 0"),
    ("train.sparsity=0.99", "e.toml: train.sparsity must be in 0..0.95, not 0.99"),
    ("train.epochs='many'", "train.epochs must be an integer, not 'many'"),
])
def test_what_only_the_search_knows_is_refused_by_name(change, words):
    with pytest.raises(ConfigError) as error:
        task(change)
    assert words in str(error.value)


def test_structure_knows_no_clocks():
    clocks = "search.objectives=['accuracy', 'fmax_mhz']"
    assert task(clocks).search.objectives[1] == "fmax_mhz"
    with pytest.raises(ConfigError, match=r"must be without fmax_mhz with search\.cost_model = '"):
        task(clocks, "search.cost_model='structure'")
    bound = task("search.constraints={ fmax_mhz = 30 }", "search.cost_model='structure'")
    row = {"accuracy": 0.9, "lc": 100, "ebr": 0}
    assert bound.feasible(row), "it is held to what is measured"
    assert not bound.feasible(row | {"fmax_mhz": 29.0}) and bound.feasible(row | {"fmax_mhz": 31.0})


def test_shares_of_zeros_are_the_trainings_or_the_spaces():
    assert task("train.sparsity=0.5").sparsity("{}") == 0.5
    with pytest.raises(ConfigError, match="sparsity must be 0 where"):
        task("train.sparsity=0.5", "space.sparsities=[0.7]")


def test_bounds_take_zeros_for_granted_before_training():
    found = task("space.sparsities=[0.0, 0.9]", "space.weight_bits=[4]")
    vector = dict.fromkeys((*found.space.bounds, *found.space.choices), 0)
    vector |= {"layers": 1, "width0": 16}
    dense, sparse = (price(found.space.graph(genome), found.board, found.sparsity(genome))
                     for genome in (found.space.genome(vector | {"sparsity": n}) for n in (0, 1)))
    assert sparse["lc"] < 0.8 * dense["lc"] and "zeros" not in sparse


def test_least_and_largest_bounds_point_their_own_way():
    found = task("search.constraints={ accuracy = 0.8 }")
    row = {"accuracy": 0.9, "lc": 100, "ebr": 0}
    assert found.feasible(row) and not found.feasible(row | {"accuracy": 0.7})
    assert not found.feasible(row | {"lc": 5281}) and not found.feasible(row | {"ebr": 31})
    assert found.F([row]).tolist() == [[-0.9, 100]]
    assert found.G([row | {"accuracy": 0.6}])[0].max() == pytest.approx(0.25)
    assert task("search.max_utilization=0.5").bounds["lc"] == 2640


def test_no_rows_have_no_objectives():
    found = task()
    assert found.F([]).shape == (0, 2) and found.G([]).shape == (0, len(found.bounds))


def test_the_reference_point_is_the_worst_that_counts():
    row = {"accuracy": 0.4, "lc": 900, "ebr": 3, "latency_us": 10.0, "zeros": 0.2}
    rows = [row, row | {"latency_us": 30.0, "zeros": 0.1}]

    def point(objectives, *changes):
        return task(f"search.objectives={objectives}", *changes).reference(rows).tolist()

    assert point(["accuracy", "lc"]) == [-0.1, 5280]
    assert point(["accuracy", "lc"], "search.constraints={ accuracy = 0.3, lc = 4000 }") == [
        -0.3, 4000]
    assert point(["accuracy", "lc"], "search.reference={ accuracy = 0.2 }") == [-0.2, 5280]
    assert point(["ebr", "latency_us", "zeros"]) == [30, 30.0, -0.1]
    assert point(["fmax_mhz"]) == [-12.0], "what is slower does not run, whatever rows there are"


def test_a_device_without_energy_figures_has_no_energy():
    target = config.Target(board="icestick")
    experiment = msgspec.structs.replace(config.Experiment(), target=target)
    columns = {"lc": 900, "ebr": 4, "cycles": 500}
    assert "energy_nj" not in complete(columns, Task(experiment).board)
    for asked in ({"objectives": ("accuracy", "energy_nj")}, {"constraints": {"energy_nj": 9.0}},
                  {"choose": "energy_nj"}):
        search = msgspec.structs.replace(experiment.search, **asked)
        with pytest.raises(ConfigError, match="no energy figures of the HX1K are known"):
            Task(msgspec.structs.replace(experiment, search=search))


def test_every_column_has_a_title_and_a_direction():
    assert all(column.sense in (1, -1) and column.title for column in COLUMNS.values())
    assert all(column.ideal is None or np.isfinite(column.ideal) for column in COLUMNS.values())
    assert COLUMNS["lc"].text(1234.0) == "1,234" and COLUMNS["lc"].text(None) == "-"
