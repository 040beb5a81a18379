"""The figures of the tutorial at a small size, and that its calls are those of the example."""

import ast
from pathlib import Path

from tiny_search import fake_build, threads

from spikeloom.flow import tools
from spikeloom.flow.cost import predict
from spikeloom.nas import workers
from spikeloom.nas.api import fidelity
from spikeloom.nas.bench import Bench, names
from spikeloom.nas.figures import tutorial

ROOT = Path(__file__).resolve().parents[1]


def test_the_figures_of_a_small_search(monkeypatch):
    monkeypatch.setattr(workers, "build", fake_build())
    monkeypatch.setattr(workers, "workers", lambda jobs, again="": threads(1))
    monkeypatch.setattr(tools, "prepare", lambda *_args: [])
    monkeypatch.setattr(predict, "shipped", lambda: None)
    monkeypatch.setattr(fidelity, "MOST_EPOCHS", 1)
    monkeypatch.setattr(fidelity, "FINAL_EPOCHS", 1)
    notes = []
    found = tutorial.measure(Bench(notes.append), population=4, generations=1, epochs=1, seeds=2)
    assert set(found) <= set(names())
    assert found["tutorial.front"][0] >= 1 and 0 <= found["tutorial.fits"][0] <= 1
    assert 0 <= found["tutorial.test_accuracy"][0] <= 1
    assert "518,480 architectures, 4 trained (1 epochs on 1,149" in found["tutorial.front"][1]
    assert any("Pareto front" in note for note in notes)


def test_the_example_asks_for_the_same_space():
    tree = ast.parse((ROOT / "examples" / "tutorial.py").read_text())
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call)
               and getattr(node.func, "id", "") == "SearchSpace"]
    wanted = {key.arg: ast.literal_eval(key.value) for key in call.keywords}
    space = tutorial.space()
    assert wanted == {key: getattr(space, key) for key in wanted} and len(wanted) == 7
