"""`nas` from Python: real training, builds that are no builds, and what its users may do wrong."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_search import fake_build, few, threads

from spikeloom.flow import estimated, manifest, tools
from spikeloom.flow.cost import predict
from spikeloom.flow.errors import ConfigError, FitError, RunError
from spikeloom.nas import SearchSpace, datasets, nas, workers
from spikeloom.nas.api import fidelity, fitness
from spikeloom.nas.api.search import _task
from spikeloom.nas.api.targets import find


@pytest.fixture(autouse=True)
def _world(monkeypatch):
    monkeypatch.setitem(datasets.LOADERS, "few", few)
    monkeypatch.setattr(workers, "build", fake_build())
    monkeypatch.setattr(workers, "workers", lambda jobs, again="": threads(1))
    monkeypatch.setattr(tools, "prepare", lambda *_args: [])
    monkeypatch.setattr(predict, "shipped", lambda: None)
    monkeypatch.setattr(fidelity, "MOST_EPOCHS", 2)
    monkeypatch.setattr(fidelity, "FINAL_EPOCHS", 2)


def space(**changes) -> SearchSpace:
    return SearchSpace(**{"n_inputs": 64, "n_outputs": 10, "max_layers": 2,
                          "width_choices": [4, 6], "L_choices": [8, 16]} | changes)


def found(where=None, **options):
    return nas(options.pop("space", space()), **{
        "population_size": 4, "generations": 2, "seed": 3, "time_budget": 10, "jobs": 1,
        "run": where} | options)


def plain(result) -> list[tuple]:
    return [(item.id, item.fitness_accuracy, item.fitness_luts, item.fitness_energy_nj)
            for item in result.pareto_front]


def halves(architecture):
    """Better the wider."""
    return sum(architecture.layer_widths) / 20


def test_a_search_on_data(tmp_path, capsys):
    result = found(tmp_path / "run", data="few")
    front = result.pareto_front
    assert result.evaluations == 8 and 1 <= len(front) <= 4
    assert [item.fitness_luts for item in front] == sorted(item.fitness_luts for item in front)
    for item in front:
        assert item.measured and item.fits and item.weights == "trained"
        assert 0 <= item.fitness_accuracy <= 1 and 0 < item.fitness_luts <= 5280
        assert item.fitness_energy_nj > 0 and item.fmax_mhz >= 12
    best, cheap = result.best_accuracy(), result.most_efficient()
    assert best.fitness_accuracy == max(item.fitness_accuracy for item in front)
    assert cheap.fitness_energy_nj == min(item.fitness_energy_nj for item in front)
    assert result.best_efficiency() == cheap
    assert 0 <= best.test_accuracy <= 1, "of the one that the run keeps"
    assert result.run.graph().stage == "integer" and len(result.run.samples()[0]) == 100
    text = result.summary()
    for words in ("2 generations, 8 evaluations of ", "Pareto front: ", "best accuracy: ",
                  "most efficient: ", "placed and routed for iCEBreaker (UP5K)", "nJ",
                  "validation split of few", f"run directory: {tmp_path / 'run'}"):
        assert words in text
    told = capsys.readouterr().err
    assert "for a budget of 10 s on 2 cores: each candidate 2 epochs on 100 of 100" in told
    assert json.loads((tmp_path / "run" / "search.json").read_text())["final"]["id"] == best.id
    made, = manifest.read(tmp_path / "run").commands
    assert made.command == "nas" and made.arguments[:2] == ["ice40", "population_size=4"]
    assert made.seeds == {"search": [3], "place and route": [1, 2]} and "few" in made.data
    assert made.tools == {"fake": "1"} and "search.json" in made.files


def test_a_search_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = found(tmp_path / "whole", data="few")

    def interrupted(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workers, "build", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"8 candidates saved; go on with: nas\(\.\.\."):
            found(tmp_path / "cut", data="few")
    with pytest.raises(RunError, match=r"holds a search already; go on with it \(resume=True\)"):
        found(tmp_path / "cut", data="few")
    with pytest.raises(RunError, match=r"begun with search\.seed = 3, not 4"):
        found(tmp_path / "cut", data="few", seed=4, resume=True)
    assert plain(found(tmp_path / "cut", data="few", resume=True)) == plain(whole)


def test_an_accuracy_fn_in_the_place_of_training(tmp_path):
    asked = []

    def judge(architecture):
        asked.append(architecture)
        assert architecture.fitness_luts is None and architecture.n_inputs == 64
        return halves(architecture)

    result = found(tmp_path / "run", accuracy_fn=judge)
    assert len(asked) == 8 == len({item.id for item in asked})
    assert all(item.fitness_accuracy == halves(item) and item.weights == "assumed"
               for item in result.pareto_front)
    size = len(result.pareto_front)
    assert f"costs of {size} of {size} are those of weights drawn from a fixed seed" in (
        result.summary())
    again = found(tmp_path / "run", accuracy_fn=judge, resume=True)
    assert plain(again) == plain(result) and len(asked) == 8


def test_an_accuracy_fn_may_return_weights():
    def judge(architecture):
        rng = np.random.default_rng(len(architecture.layer_widths))
        shapes = [(out, ins) for ins, out in architecture.layer_sizes]
        return np.float32(halves(architecture)), [rng.normal(size=shape) for shape in shapes]

    result = found(accuracy_fn=judge)
    assert all(item.weights == "given" for item in result.pareto_front)
    assert "drawn from a fixed seed" not in result.summary()


def test_nonsense_is_named_and_counted_and_the_search_goes_on():
    answers = [ZeroDivisionError("no luck"), float("nan"), 97.5, "good", None, (0.5, [[1.0]]), True]

    left = iter(answers)

    def judge(architecture):
        answer = next(left, halves(architecture))
        if isinstance(answer, Exception):
            raise answer
        return answer

    result = found(accuracy_fn=judge, population_size=6)
    assert len(result.failed) == len(answers) and result.evaluations == 12
    assert not {item.id for item in result.pareto_front} & set(result.failed)
    reasons = " | ".join(result.failed.values())
    for words in ("ZeroDivisionError: no luck", "in 0..1, not nan", "in 0..1, not 97.5",
                  "not an object of type str", "not an object of type NoneType",
                  "must return weights of shapes", "not an object of type bool"):
        assert words in reasons
    assert "accuracy_fn failed for 7 of 12, which are left out: " in result.summary()
    assert "; 4 more" in result.summary()


def test_a_function_that_always_fails_ends_with_its_reason():
    def judge(_architecture):
        raise ValueError("never")

    with pytest.raises(FitError, match=r"failed for all 8 candidates, .*: ValueError: never"):
        found(accuracy_fn=judge)


@pytest.mark.parametrize("problem, size", [("", None), ("9 LUT6 do not fit", 0)])
def test_families_without_boards_are_estimates(monkeypatch, problem, size):
    def synthesise(graph, target, **options):
        assert target == "artix7"
        return SimpleNamespace(luts=sum(d.synapses for d, _ in graph.layers), problem=problem)

    monkeypatch.setattr(estimated, "synthesise", synthesise)
    if size == 0:
        with pytest.raises(FitError, match=r"fits Xilinx Artix-7 XC7A35T: .*9 LUT6 do not fit"):
            found(target="artix7", accuracy_fn=halves)
        return
    result = found(target="artix7", accuracy_fn=halves)
    assert result.pareto_front and not any(item.measured for item in result.pareto_front)
    assert all(np.isnan(item.fitness_energy_nj) for item in result.pareto_front)
    assert result.most_efficient().latency_us > 0
    assert "ESTIMATES: synthesised by Yosys, not placed and routed for Xilinx" in result.summary()


def test_the_budget_decides_how_long_candidates_train(monkeypatch):
    monkeypatch.setattr(fidelity, "MOST_EPOCHS", 40)
    data, sizes = datasets.load("digits"), []
    for budget in (20, 200, 2000):
        _, chosen = _task(space(), find("ice40"), data, 20, 5, 1, budget, False)
        sizes.append(chosen.images * chosen.epochs)
        assert chosen.seconds <= budget or chosen.routed == fidelity.FEWEST_BUILDS
    assert sizes == sorted(sizes) and sizes[-1] == 40 * len(data.train)
    task, chosen = _task(space(), find("ice40"), data, 40, 20, 1, 60, False)
    assert chosen.images < len(data.train) == 1149 and len(task.data.train) == chosen.images
    assert len(task.data.final) == 1437, "the final training is on all of them"


@pytest.mark.parametrize("options, words", [
    ({"space": "digits"}, "space must be a SearchSpace, not str"),
    ({"target": "ice41"}, "target: unknown target 'ice41'; did you mean 'ice40'?"),
    ({"population_size": 1}, "population_size must be an integer in 2..4096, not 1"),
    ({"generations": 0}, "generations must be an integer in 1..100000, not 0"),
    ({"time_budget": 0}, "time_budget must be a number of seconds above 0, not 0"),
    ({"accuracy_fn": 0.9}, "accuracy_fn must be a function of an architecture, not float"),
    ({"resume": True}, "resume must go with run"),
    ({"space": space(n_inputs=100)}, "data must be given for 100 inputs"),
    ({"space": space(n_inputs=100), "data": "few"}, "data must have n_inputs = 100 pixels a sample,"
                                                    " not 64 (few)"),
    ({"space": space(n_outputs=7), "data": "few"}, "data must have n_outputs = 7 classes, not 10"),
    ({"data": "temporal"}, "data must be images, not the events of 'temporal'"),
    ({"data": 5}, "data must be a Dataset, the name of one, or arrays (x, y), not int"),
    ({"space": space(width_choices=[4096], max_layers=1, neuron_choices=["Izhikevich"]),
      "data": "few"}, "none of 800 networks drawn from the space fits the target"),
])
def test_arguments_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ConfigError) as error:
        found(**options)
    assert words in str(error.value)


def test_a_function_is_stored_by_its_name():
    assert fitness.name_of(halves) == f"{__name__}.halves"
    assert fitness.name_of(SimpleNamespace()) == "types.SimpleNamespace"
