"""`spikeloom search` on cells: outcomes, limits, resuming, de-duplication, and scores that fail."""

import json

import numpy as np
import pytest
import tiny_cells
from tiny_search import outcome, threads

from spikeloom.flow.cli import main
from spikeloom.flow.errors import ConfigError
from spikeloom.nas import scores, workers
from spikeloom.nas.cells import final, scoring
from spikeloom.nas.cells.space import cells_of
from spikeloom.nas.cells.trials import Here
from spikeloom.nas.loop import Search
from spikeloom.nas.store import FILE, Store
from spikeloom.nas.train import cores


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """`search(*args, run=...)` on the tiny experiment, whose chosen network is not trained."""
    tiny_cells.install(monkeypatch)
    monkeypatch.setattr(workers, "workers", threads)
    monkeypatch.setattr(final, "finish", _chosen)
    monkeypatch.setattr(final, "keep", lambda task, chosen, made, opened: ["kept"])
    path = tiny_cells.written(tmp_path)

    def search(*changes, run="run", args=(), experiment=True):
        sets = [word for change in changes for word in ("--set", change)]
        return main(["search", *([path] if experiment else []), "--run", str(tmp_path / run),
                     *args, *sets])

    search.path = tmp_path
    return search


def _chosen(task, store, executor, folder, rows):
    from msgspec import defstruct

    best = rows[0]
    return defstruct("Chosen", [("id", str)])(best.id), None


def saved(search, run="run") -> dict:
    return json.loads((search.path / run / "search.json").read_text())


def test_a_search_by_spikenas(cells, capsys):
    assert cells("search.constraints={ weights = 2000 }") == 0
    found, text = saved(cells), capsys.readouterr().out
    assert found["strategy"] == "spikenas" and found["front_basis"] == "scored"
    counts = found["counts"]
    assert counts["candidates"] == counts["distinct"] == counts["trainings"] <= 77
    assert counts["refused"] > 0 and counts["without"] >= 0
    assert found["best"]["id"] == found["chosen"]
    assert found["best"]["limits"]["weights"]["holds"]
    assert found["best"]["columns"]["weights"] <= 2000
    assert found["best"]["columns"]["score"] == max(
        item["score"] for item in found["estimated_front"])
    assert found["chosen"][:8] in text and "Limits of the chosen network" in text
    assert f"{counts['candidates']} candidates, {counts['candidates']} of them different" in text


def test_costs_of_a_store_are_those_of_today(cells):
    assert cells() == 0
    with Store(cells.path / "run" / FILE) as store:
        rows = store.evaluations()
    assert {tuple(row.estimate) for row in rows} == {("score",)}
    assert all(row.features is None and row.epochs == 0 for row in rows)


def test_killed_it_resumes_to_the_same_outcome(cells, monkeypatch):
    assert cells(run="whole") == 0
    real, calls = scoring.evaluate, []

    def dies(*args):
        if len(calls) == 20:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(scoring, "evaluate", dies)
    assert cells() == 130
    with Store(cells.path / "run" / FILE) as store:
        count = store.count()
    assert 16 <= count <= 20
    monkeypatch.setattr(scoring, "evaluate", real)
    assert cells(args=["--resume"], experiment=False) == 0
    assert saved(cells)["counts"]["restored"] == count
    assert outcome(cells.path / "run") == outcome(cells.path / "whole")


def test_random_as_published_pays_for_what_it_draws_again(cells, capsys):
    asked = ("search.strategy='random'", "search.generations=5", "search.deduplicate=false",
             'cells.operations=["skip", "conv3x3"]', "cells.shared=true", "search.population=30")
    assert cells(*asked) == 0
    counts = saved(cells)["counts"]
    assert counts["candidates"] == counts["trainings"] == 150 > 64 >= counts["distinct"]
    with Store(cells.path / "run" / FILE) as store:
        rows = store.evaluations()
    seeds = {}
    for row in rows:
        seeds.setdefault(row.genome, []).append(row.seed)
    assert all(sorted(each) == list(range(1, len(each) + 1)) for each in seeds.values())
    assert cells(*asked, args=["--resume"], experiment=False) == 0
    assert saved(cells)["counts"]["restored"] == 150
    assert "150 candidates" in capsys.readouterr().out


def test_repeats_are_means(cells):
    assert cells("search.repeats=3", 'search.options={ operations = ["conv3x3"] }') == 0
    found = saved(cells)
    assert found["counts"]["candidates"] == 1 and found["counts"]["trainings"] == 3
    assert found["best"]["columns"]["score"] == pytest.approx(18 + 0.002)


def test_networks_without_a_score_are_counted_and_rank_last(cells, capsys):
    assert cells('search.objectives=["score", "weights"]') == 0
    found = saved(cells)
    assert found["counts"]["without"] > 0
    assert f"{found['counts']['without']} evaluations gave no score; they rank last" in \
        capsys.readouterr().out
    assert all(item["score"] is not None for item in found["estimated_front"])
    assert set(found["front"]) == {item["id"] for item in found["estimated_front"]}


def test_limits_that_nothing_meets_name_the_nearest(cells, capsys):
    assert cells("search.strategy='neuronas'",
                 "search.constraints={ weights = 100, cim_mm2 = 1e-3 }") == 2
    text = capsys.readouterr().err
    assert "no network of the space meets the bounds" in text
    assert "the nearest is cells 1|11|111: weights" in text and "CIM [mm2]" in text


def test_what_the_published_algorithm_returns_is_said_to_break_limits(cells, capsys):
    limits = "search.constraints={ weights = 100000, cim_ms = 0.1 }"
    published = "search.options={ as_published = true }"
    assert cells("search.strategy='neuronas'", "cells.cim_mode='neuronas'", limits, published,
                 "search.population=200") == 0
    found = saved(cells)
    assert not found["best"]["limits"]["cim_ms"]["holds"]
    assert "what neuronas returns breaks cim_ms, as its options let it" in capsys.readouterr().out


def test_a_network_can_be_chosen_by_its_id(cells):
    assert cells() == 0
    with Store(cells.path / "run" / FILE) as store:
        name = store.evaluations()[3].id
    assert cells(args=["--resume", "--choose", name[:8]], experiment=False) == 0
    assert saved(cells)["chosen"] == name


def test_a_search_from_python(tmp_path, monkeypatch):
    tiny_cells.install(monkeypatch)
    task = tiny_cells.task("search.strategy='regularised_evolution'", "search.generations=6",
                           "search.options={ alive = 10, sample = 4 }")
    with Store(tmp_path / "run" / FILE) as store, threads(2) as executor:
        search = Search(task, store, executor, tmp_path / "run").run()
    best = task.ending.order(search)[0]
    assert len(search.rows) == 48 and best.counted["score"] == max(
        row.counted["score"] or 0 for row in search.rows)
    assert search.marks[-1].expected >= search.marks[0].expected > 0


def test_candidates_are_trained_where_accuracy_is_asked_for(cells):
    few = ("search.strategy='random'", "search.generations=1", "search.population=2")
    assert cells(*few, 'search.objectives=["accuracy", "weights"]', "search.choose='accuracy'",
                 "cells.short={ epochs = 1, images = 10, batch_size = 5 }",
                 "search.constraints={ spikes = 1e9 }") == 0
    found = saved(cells)
    assert 0 <= found["best"]["columns"]["accuracy"] <= 1 and found["best"]["limits"]["spikes"]
    with Store(cells.path / "run" / FILE) as store:
        rows = store.evaluations()
    assert [row.epochs for row in rows] == [1, 1] and all("score" not in row.estimate
                                                          for row in rows)
    assert cells(*few, "search.constraints={ spikes = 1e9 }", run="scored") == 0
    columns = saved(cells, "scored")["best"]["columns"]
    assert columns["spikes"] >= 0 and "accuracy" not in columns


def test_a_score_that_takes_labels_is_given_those_of_its_images(tmp_path, monkeypatch):
    tiny_cells.install(monkeypatch)
    given = {"fit": 12, "held": 8, "epochs": 1}
    found = tiny_cells.task(
        'cells.score="short_training"', "cells.images=20", "cells.num_steps=2",
        f"cells.score_settings={{{', '.join(f'{key}={value}' for key, value in given.items())}}}")
    genome = next(one for one in map(found.space.genome, map(
        found.space.sample, map(np.random.default_rng, range(100)))) if not found.excess(one))
    with Store(tmp_path / FILE) as store:
        (row,) = found.evaluator(store, Here()).evaluate([genome], 0)
    score = scores.make("short_training", found.scored, found.images,
                        found.data.train.labels[:20], seed=found.search.seed, **given)
    with cores(1):
        assert row.counted["score"] == score.score(cells_of(genome))
    with pytest.raises(ConfigError, match=r"cells.images must be in 20..20, what short_training"):
        tiny_cells.task('cells.score="short_training"', "cells.images=19",
                        "cells.score_settings={fit=12, held=8}")
