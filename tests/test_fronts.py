"""`spikeloom bench fronts`: which searches are run, how their fronts compare, what a file holds."""

import json

import pytest

from spikeloom.flow import tools
from spikeloom.flow.cli import main
from spikeloom.flow.errors import RunError
from spikeloom.nas import fronts
from spikeloom.nas.figures.fronts import hypervolume
from spikeloom.nas.loop import Mark


def front(arm, seed, *points):
    """A search whose hypervolume is known at some seconds; the last point is its end."""
    marks = [Mark(generation=k, evaluations=k, routed=k, seconds=seconds, hypervolume=value,
                  expected=1.0) for k, (seconds, value) in enumerate(points)]
    return fronts.Front(arm, seed, points[-1][0], marks, [{"accuracy": 0.9, "lc": 1000.0}])


def test_a_slower_search_counts_what_it_had_when_the_other_was_done():
    found = [front("loop", 1, (10.0, 0.2), (20.0, 0.5), (30.0, 0.8)),
             front("structure", 1, (5.0, 0.0), (25.0, 0.4))]
    assert fronts.ratio(found, "loop", "structure") == [0.5 / 0.4]


def test_a_faster_search_counts_all_that_it_had():
    found = [front("loop", 1, (10.0, 0.2), (20.0, 0.6)),
             front("structure", 1, (5.0, 0.0), (25.0, 0.4))]
    assert fronts.ratio(found, "loop", "structure") == [0.6 / 0.4]


def test_seeds_are_compared_each_with_itself():
    found = [front("loop", 1, (9.0, 0.6)), front("structure", 2, (9.0, 0.5)),
             front("loop", 2, (9.0, 0.4)), front("structure", 1, (9.0, 0.3))]
    assert fronts.ratio(found, "loop", "structure") == pytest.approx([2.0, 0.8])


def test_what_cannot_be_compared_is_told(tmp_path):
    with pytest.raises(RunError, match="no front of 'structure' from seed 1; 'spikeloom bench fro"):
        fronts.ratio([front("loop", 1, (9.0, 0.6))], "loop", "structure")
    nothing = [front("loop", 1, (9.0, 0.6)), front("structure", 1, (8.0, 0.0))]
    with pytest.raises(RunError, match="'structure' from seed 1 has no hypervolume"):
        fronts.ratio(nothing, "loop", "structure")


def test_a_figure_is_of_all_seeds_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(fronts, "SHIPPED", tmp_path / "fronts.json")
    fronts.save([front(arm, seed, (9.0, 0.5)) for arm in fronts.ARMS for seed in (1, 2, 3, 4)],
                fronts.SHIPPED)
    with pytest.raises(RunError, match="lacks 'loop' from seed 5; 'spikeloom bench fronts"):
        hypervolume(None)


def test_a_file_comes_back_with_what_made_it(tmp_path):
    found = [front("loop", 1, (9.0, 0.6)), front("random", 1, (8.0, 0.5))]
    fronts.save(found, tmp_path / "f.json")
    assert fronts.load(tmp_path / "f.json") == found
    held = json.loads((tmp_path / "f.json").read_text())
    assert held["command"] == fronts.COMMAND and tuple(held["experiment"]) == fronts.COMMON


def test_other_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "f.json"
    with pytest.raises(RunError, match=r"f\.json: holds no fronts .*'spikeloom bench fronts'"):
        fronts.load(path)
    path.write_text("[]")
    with pytest.raises(RunError, match="holds no fronts"):
        fronts.load(path)
    fronts.save([], path)
    monkeypatch.setattr(fronts, "COMMON", ("search.population=4",))
    with pytest.raises(RunError, match=r"asked for search\.population=20, .* another --out"):
        fronts.load(path)


@pytest.fixture
def searches(monkeypatch, tmp_path):
    """Searches that are only noted, in two seeds; the arm's place in ARMS is how good it is."""
    done = []

    def alone(arm, seed, folder, jobs, note):
        done.append((arm, seed))
        if len(done) == 5:
            raise KeyboardInterrupt
        return front(arm, seed, (10.0 * seed, 0.6 - 0.1 * list(fronts.ARMS).index(arm)))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fronts, "SEEDS", (1, 2))
    monkeypatch.setattr(fronts, "alone", alone)
    monkeypatch.setattr(tools, "prepare", lambda names, note: [])
    return done


def test_the_command_goes_on_where_it_was_stopped(searches, capsys):
    assert main(["bench", "fronts"]) == 130
    assert "had ended are in build/fronts/fronts.json; the same command" in capsys.readouterr().err
    assert main(["bench", "fronts"]) == 0
    assert searches == [("loop", 1), ("structure", 1), ("loop", 2), ("structure", 2),
                        ("random", 1), ("random", 1), ("random", 2)]
    out = capsys.readouterr().out
    assert "loop over structure, at equal seconds: 1.2000 on average (1.2000, 1.2000)" in out
    assert "loop over random, at equal seconds: 1.5000 on average (1.5000, 1.5000)" in out


def test_a_search_is_alone_with_its_cache(tmp_path, monkeypatch):
    import os

    folder = tmp_path / "loop-1"
    (folder / "old").mkdir(parents=True)

    def explore(arm, seed, executor, where, note):
        assert not where.exists() and os.environ["SPIKELOOM_CACHE"] == str(where / "cache")
        raise RuntimeError("seen")

    monkeypatch.setenv("SPIKELOOM_CACHE", "mine")
    monkeypatch.setattr(fronts, "explore", explore)
    with pytest.raises(RuntimeError, match="seen"):
        fronts.alone("loop", 1, folder, 1, print)
    assert os.environ["SPIKELOOM_CACHE"] == "mine"


def test_no_search_begins_whose_front_could_not_be_kept(searches, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["bench", "fronts", "--out", str(tmp_path / "file/f.json")]) != 0
    assert "f.json: cannot be" in capsys.readouterr().err and searches == []


def test_a_directory_is_no_file(tmp_path, capsys):
    assert main(["bench", "fronts", "--out", str(tmp_path)]) == 2
    assert "--out must be a file, not the directory" in capsys.readouterr().err
