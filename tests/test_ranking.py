"""Networks that were trained for scores to rank: which, what a file holds, and Kendall's tau."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau

from spikeloom.flow.cli import main
from spikeloom.flow.errors import RunError
from spikeloom.nas import ranking
from spikeloom.nas.cells.recipe import CellTraining
from spikeloom.nas.figures import scores as figures


def network(cell="3|33|333", space="full", accuracy=0.3, **changes):
    return ranking.Network(**{"space": space, "cell": cell, "seed": 0, "accuracy": accuracy,
                              "spikes_per_image": 9.5, "fit": (0.1, 0.2), "seconds": 1.0}
                           | changes)


@pytest.mark.parametrize("space", ranking.SPACES)
def test_cells_are_connected_distinct_and_always_the_same(space):
    operations, count = ranking.SPACES[space]
    cells = ranking.cells(space)
    assert cells == ranking.cells(space) and len(cells) == count
    assert len({cell.canonical for cell in cells}) == count
    assert all(cell.connected and set(cell.operations) <= set(operations) for cell in cells)


def test_at_least_thirty_networks_are_of_the_full_space():
    assert sum(space == "full" for space, _, _ in ranking.order()) >= 30


def test_tau_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    scores, accuracies = rng.random(12), rng.random(12)
    signs = [np.sign((scores[i] - scores[j]) * (accuracies[i] - accuracies[j]))
             for i, j in combinations(range(12), 2)]
    assert ranking.tau(scores, accuracies) == pytest.approx(np.mean(signs))


def test_ties_are_counted_as_scipy_does():
    rng = np.random.default_rng(0)
    for _ in range(5):
        scores, accuracies = rng.integers(4, size=(2, 15))
        assert ranking.tau(scores, accuracies) == pytest.approx(
            kendalltau(scores, accuracies).statistic)
    assert math.isnan(ranking.tau([1.0, 1.0], [0.1, 0.2]))
    assert all(map(math.isnan, ranking.interval([1.0, 1.0], [0.1, 0.2])))


def test_what_has_no_score_is_ranked_last():
    accuracies = [0.1, 0.2, 0.3, 0.4]
    assert ranking.tau([math.nan, 1.0, 2.0, 3.0], accuracies) == pytest.approx(1)
    assert ranking.tau([3.0, 1.0, 2.0, math.nan], accuracies) < 0
    low, high = ranking.interval([math.nan, 1.0, 2.0, 3.0], accuracies)
    assert low <= high == pytest.approx(1)


def test_an_interval_holds_tau_and_narrows_with_more_networks():
    rng = np.random.default_rng(1)
    widths = []
    for count in (20, 80):
        accuracies = rng.random(count)
        scores = accuracies + rng.normal(0, 0.3, count)
        low, high = ranking.interval(scores, accuracies)
        assert low < ranking.tau(scores, accuracies) < high
        assert (low, high) == ranking.interval(scores, accuracies)
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_a_file_comes_back_with_what_made_it(tmp_path):
    found = [network(), network("1", accuracy=0.25, fit=(0.1, 0.15))]
    ranking.save(found, tmp_path / "s.json")
    assert ranking.load(tmp_path / "s.json") == found
    held = json.loads((tmp_path / "s.json").read_text())
    assert held["command"] == ranking.COMMAND and held["settings"]["subset"] == ranking.SUBSET


def test_another_file_is_told(tmp_path, monkeypatch):
    path = tmp_path / "s.json"
    with pytest.raises(RunError, match="holds no trained networks"):
        ranking.load(path)
    path.write_text("{}")
    with pytest.raises(RunError, match="holds no trained networks"):
        ranking.load(path)
    ranking.save([network()], path)
    monkeypatch.setattr(ranking, "TRAINING", CellTraining(epochs=1))
    with pytest.raises(RunError, match=r"were trained with .* take another --out"):
        ranking.load(path)


def test_the_command_trains_what_a_file_lacks(tmp_path, monkeypatch, capsys):
    """A kill loses the network in hand: all before it are in the file."""
    order = [("full", "3", 0), ("full", "1", 0), ("full", "2", 0)]
    asked = []

    def trained(space, cell, seed):
        asked.append((space, cell, seed))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return network(cell, space)

    monkeypatch.setattr(ranking, "order", lambda: order)
    monkeypatch.setattr(ranking, "trained", trained)
    path = tmp_path / "s.json"
    assert main(["bench", "scores", "--out", str(path)]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert [(item.space, item.cell, item.seed) for item in ranking.load(path)] == order[:2]
    asked.clear()
    assert main(["bench", "scores", "--out", str(path), "--json"]) == 0
    assert asked == order[2:] and json.loads(capsys.readouterr().out)["networks"] == 3
    assert main(["bench", "scores", "--out", str(tmp_path)]) == 2
    assert "--out must be a file" in capsys.readouterr().err


def test_a_figure_is_of_all_networks_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(ranking, "SHIPPED", tmp_path / "s.json")
    ranking.save([network(cell, space) for space, cell, _ in ranking.order()[:-1]],
                 ranking.SHIPPED)
    with pytest.raises(RunError, match=r"lacks the full cell .* trains what is missing"):
        figures.ranks(None)


def test_a_score_is_judged_in_every_space():
    cells = ["1", "3", "2", "4", "3|33|333", "1|01|001"]
    networks = [network(cell, accuracy=0.1 * k) for k, cell in enumerate(cells)]
    value, text = figures._judged(networks, list(range(6)), [])
    assert value == pytest.approx(1)
    assert text == "6 cells of 5 operations 1.000, 95 % 1.000..1.000"
    value, text = figures._judged(networks, list(range(6)), [[5, 4, 3, 2, 1, 0]])
    assert value == pytest.approx(1) and text.endswith("1.000..1.000, seed 1 -1.000")


def test_what_ships_is_whole():
    found = ranking.load(ranking.SHIPPED)
    assert [(item.space, item.cell, item.seed) for item in found] == ranking.order()
    assert all(0 < item.accuracy < 1 and len(item.fit) == ranking.TRAINING.epochs
               for item in found)
