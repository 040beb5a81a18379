"""Tables of evaluations: what a search has paid for answers another one, and others are refused."""

import json

import pytest
import tiny_cells
from tiny_search import few
from tiny_search import task as chain

from spikeloom.flow import cli
from spikeloom.flow.errors import ConfigError, RunError
from spikeloom.nas import datasets, tabular
from spikeloom.nas.answers import Answers, tabular_evaluator
from spikeloom.nas.cells.trials import Here
from spikeloom.nas.loop import Search
from spikeloom.nas.store import FILE, Store
from spikeloom.nas.tabular import Row, Table

STRATEGIES = ("random", "nsga2", "regularised_evolution", "spikenas")
LIMITED = "search.constraints={weights = 2500}"


@pytest.fixture(autouse=True)
def maps(monkeypatch):
    tiny_cells.install(monkeypatch)
    monkeypatch.setitem(datasets.LOADERS, "few", few)


def searched(task, folder, **options) -> Search:
    folder.mkdir(exist_ok=True)
    with Store(folder / FILE) as store:
        return Search(task, store, Here(), folder, builds=False, **options).run()


def table_of(task, folder) -> Table:
    with Store(folder / FILE) as store:
        evaluator = task.evaluator(store, None)
        rows = map(tabular.row_of, store.evaluations(evaluator.key))
        return Table(tabular.about(task, evaluator), rows)


def judged(search: Search) -> list[tuple]:
    return [(row.genome, row.generation, row.counted) for row in search.rows]


@pytest.fixture
def written(tmp_path):
    """A table of a few evaluations, its path and its lines."""
    task = tiny_cells.task("search.strategy='random'", "search.generations=2")
    searched(task, tmp_path / "one")
    path = tmp_path / "t.jsonl"
    table_of(task, tmp_path / "one").save(path)
    return path


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_on_a_table_finds_the_same_as_one_that_evaluated(strategy, tmp_path):
    changes = (f"search.strategy={strategy!r}", "search.generations=6", LIMITED,
               "search.objectives=['score', 'weights']",
               *(["search.options={alive = 12, sample = 4}"] if "evolution" in strategy else []))
    task = tiny_cells.task(*changes)
    first = searched(task, tmp_path / "one")
    path = tmp_path / "t.jsonl"
    table = table_of(task, tmp_path / "one")
    table.save(path)
    again = tiny_cells.task(*changes, f"search.table={str(path)!r}")
    found = searched(again, tmp_path / "two")
    assert judged(found) == judged(first) and len(first.rows) > 20
    assert not found.unknown and found.result == first.result
    assert found.evaluator.trained == 0 and found.evaluator.restored == len(found.rows)
    assert again.table.seconds == pytest.approx(table.seconds), "all that the table has was asked"
    assert found.marks[-1].seconds == round(again.table.seconds, 1)


def test_a_search_without_deduplication_pays_for_every_seed(tmp_path):
    changes = ("search.strategy='random'", "search.generations=8", "search.deduplicate=false",
               "cells.operations=['zeroize', 'conv3x3']", "cells.shared=true")
    task = tiny_cells.task(*changes)
    first = searched(task, tmp_path / "one")
    table = table_of(task, tmp_path / "one")
    assert len(table.rows) < table.evaluations == len(first.rows)
    table.save(tmp_path / "t.jsonl")
    again = tiny_cells.task(*changes, f"search.table={str(tmp_path / 't.jsonl')!r}")
    assert judged(searched(again, tmp_path / "two")) == judged(first)
    assert again.table.seconds == pytest.approx(table.seconds)


def test_trained_networks_of_chains_answer_too(tmp_path):
    """Two trainings each, their features and columns; the predictor prices them the same."""
    from spikeloom.flow.cost.predict import shipped

    predictor = shipped()
    task = chain("search.generations=2")
    first = searched(task, tmp_path / "one", predictor=predictor)
    table_of(task, tmp_path / "one").save(tmp_path / "t.jsonl")
    again = chain("search.generations=2")
    evaluator = tabular_evaluator(again, tmp_path / "t.jsonl")
    found = searched(again, tmp_path / "two", predictor=predictor, evaluator=evaluator)
    assert judged(found) == judged(first)
    assert found.prices.columns(found.rows) == first.prices.columns(first.rows)
    with pytest.raises(RunError, match=r"settings\.train\.epochs is 1 there and 2 here"):
        tabular_evaluator(chain("train.epochs=2"), tmp_path / "t.jsonl")
    with pytest.raises(RunError, match=r'settings\.board is "icebreaker" there and "icestick"'):
        tabular_evaluator(chain("target.board='icestick'"), tmp_path / "t.jsonl")
    with pytest.raises(ConfigError, match=r"search\.table must be left out"):
        chain("search.table='t.jsonl'")


def test_what_a_table_lacks_is_no_candidate_and_breaks_the_bounds(written, tmp_path):
    """The strategy is told so; it costs no evaluation and no second, and others go on."""
    told = []
    task = tiny_cells.task("search.strategy='nsga2'", "search.generations=30", "search.seed=1",
                           LIMITED, f"search.table={str(written)!r}")
    search = Search(task, None, Here(), tmp_path, builds=False)
    real = search.strategy.tell
    search.strategy.tell = lambda F, G: (told.append((F, G)), real(F, G))
    search.run()
    known = tabular.load(written)[0]
    assert search.unknown and not search.unknown & known.rows.keys()
    assert {row.genome for row in search.rows} <= known.rows.keys()
    assert sum(len(F) for F, _ in told) == 30 * 8 > len(search.rows)
    counted = sum((F >= 1e30).all() and (G == 1).all() for Fs, Gs in told
                  for F, G in zip(Fs, Gs))
    assert counted == 30 * 8 - len(search.rows)


def test_answers_of_other_seeds_are_those_that_there_are(written):
    about = tabular.load(written)[0].about
    rows = [Row(genome="a", seed=seed, seconds=seconds, columns={"score": float(seed)})
            for seed, seconds in ((3, 1.0), (5, 2.0), (8, 4.0))]
    answers = Answers(Table(about, rows), written, 2)
    found = [answers.find("a", seed, "k").seed for seed in (5, 6, 7, 6)]
    assert found == [5, 3, 5, 3], "5 as it is; of three 6 % 3 and 7 % 3"
    assert answers.seconds == 2 + 1 + 2, "the same again costs nothing"
    assert "a" in answers and "b" not in answers
    assert "a" not in Answers(Table(about, rows), written, 4), "four are asked for"
    with pytest.raises(RunError, match="holds no trained network of candidate"):
        answers.graph(answers.find("a", 5, "k"))


def test_a_file_is_as_it_was_written_and_merging_keeps_the_first(written):
    table, head = tabular.load(written)
    lines = written.read_text().splitlines()
    assert len(lines) == 1 + head.evaluations == 17
    assert json.loads(lines[0])["about"]["settings"]["asked"]["score"] == "fake"
    assert table.save(written) == head.sha256 and written.read_text().splitlines() == lines
    genome, (row,) = next(iter(table.rows.items()))
    other = Table(table.about, [
        Row(genome=genome, seed=row.seed, seconds=9.0, columns={"score": -1.0}),
        Row(genome=genome, seed=row.seed + 1, seconds=1.0, columns={"score": 2.0})])
    merged, differs = table.merged(other, "other")
    assert differs == 1 and merged.evaluations == 17
    assert [item.columns["score"] for item in merged.rows[genome]] == [row.columns["score"], 2.0]
    assert table.merged(table, "same")[1] == 0


DAMAGES = {
    "is no table": lambda lines: ['{"kind": "other"}'],
    "format 2, this version reads 1": lambda lines: [lines[0].replace('"format":1', '"format":2')],
    "line 1 must be the head": lambda lines: ["[1, 2]", *lines[1:]],
    "must have 1..2,000,000 evaluations, not 0": lambda lines: [
        lines[0].replace('"evaluations":16', '"evaluations":0')],
    "line 17 is missing or cut short": lambda lines: lines[:-1],
    "line 18 must not be there": lambda lines: [*lines, lines[-1]],
    "line 3 must be an evaluation": lambda lines: [*lines[:2], '{"genome": 1}', *lines[3:]],
    "digest of its lines": lambda lines: [
        line.replace('"epochs":0', '"epochs":1') for line in lines],
    "digest of its problem": lambda lines: [lines[0].replace('"maps"', '"mops"'), *lines[1:]],
    "line 2 must have the columns score": lambda lines: [
        lines[0], lines[1].replace('"score"', '"scare"'), *lines[2:]],
    "at least 0, not 1, -1": lambda lines: [
        lines[0], lines[1].replace('"epochs":0', '"epochs":-1'), *lines[2:]],
    "twice from seed 1": lambda lines: [*lines[:-1], lines[-2]],
}


@pytest.mark.parametrize("why", DAMAGES)
def test_what_is_damaged_is_refused_with_its_line(why, written):
    written.write_text("\n".join(DAMAGES[why](written.read_text().splitlines())) + "\n")
    with pytest.raises(RunError) as error:
        tabular.load(written)
    assert why in str(error.value) and "export" in str(error.value)


def test_a_table_of_another_problem_is_refused_by_name(written):
    for change, why in (("cells.score='depth'", 'settings.asked.score is "fake" there'),
                        ("cells.channels=8", "settings.asked.macro.channels is 4 there and 8 here"),
                        ("data.name='digits'", "data.digest is ")):
        with pytest.raises(RunError, match="is of another problem") as error:
            tabular_evaluator(tiny_cells.task(change, "cells.image_size=8"), written)
        assert why in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        tabular_evaluator(tiny_cells.task(), written.with_name("none"))


def test_the_same_problem_may_be_searched_in_another_way(written):
    """Limits, operations, seeds and strategies are of a search, not of what an evaluation is."""
    task = tiny_cells.task("search.strategy='nsga2'", "search.seed=7", LIMITED,
                           "cells.operations=['skip', 'conv3x3']", "search.repeats=1")
    assert tabular_evaluator(task, written).key and task.table.table.evaluations == 16


@pytest.fixture
def command(tmp_path, capsys):
    def run(*argv, code=0):
        assert cli.main([*argv]) == code
        captured = capsys.readouterr()
        return captured.err if code else json.loads(captured.out)
    return run


def search(tmp_path, name, *argv):
    """The evaluations of a search, without its end, which trains."""
    from spikeloom.flow import config
    from spikeloom.flow.files import write_atomic
    from spikeloom.flow.run import Run

    task = tiny_cells.task("search.strategy='random'", "search.generations=2", *argv)
    opened = Run.create(tmp_path / name)
    write_atomic(opened.experiment, config.to_toml(task.experiment))
    return str(tmp_path / name), searched(task, tmp_path / name)


def test_runs_are_exported_and_shown(command, tmp_path):
    (one, first), (two, second) = (search(tmp_path, name, f"search.seed={seed}")
                                   for name, seed in (("one", 1), ("two", 2)))
    path = str(tmp_path / "t.jsonl")
    found = command("table", "export", path, one, two, "--json")
    assert found["evaluations"] == len(first.rows) + len(second.rows) == 32
    assert found["differs"] == 0 and found["runs"] == [one, two]
    shown = command("table", "show", path, "--json")
    assert shown["problem"] == found["problem"] and shown["evaluations"] == 32
    assert command("table", "export", path, "--run", one, "--json")["evaluations"] == 16
    assert cli.main(["table", "show", path]) == 0


def test_runs_that_cannot_be_exported(command, tmp_path):
    one, _ = search(tmp_path, "one")
    other, _ = search(tmp_path, "other", "cells.channels=2")
    path = str(tmp_path / "t.jsonl")
    assert f"{other}: is of another problem" in command("table", "export", path, one, other, code=2)
    assert "must be different run directories" in command("table", "export", path, one, one, code=2)
    assert "is not a run directory" in command("table", "export", path, "none", code=2)
    assert "unknown thing to do" in command("table", "import", path, code=2)
    assert "no RUN" in command("table", "show", path, one, code=2)


def test_the_command_searches_a_table(command, written, tmp_path, monkeypatch):
    """The chosen network alone is trained, which is not what this is about."""
    from spikeloom.nas.cells import final

    class Stop(Exception):
        """Where the training of the chosen network would begin."""

    def finish(task, store, executor, folder, rows):
        raise Stop(rows[0].genome)

    monkeypatch.setattr(final, "finish", finish)
    experiment = tiny_cells.written(tmp_path)
    with pytest.raises(Stop) as chosen:
        cli.main(["search", experiment, "--run", str(tmp_path / "run"), "--table", str(written),
                  "--set", "search.strategy=random", "--set", "search.generations=2", "--jobs",
                  "1"])
    found = json.loads((tmp_path / "run/search.json").read_text())
    table, head = tabular.load(written)
    best = max(table.rows.values(), key=lambda rows: rows[0].columns["score"] or -1)
    assert str(chosen.value) == best[0].genome
    assert found["table"].pop("seconds") == pytest.approx(table.seconds, abs=1e-4)
    assert found["table"] == {"file": str(written), "problem": head.problem, "networks": 16,
                              "evaluations": 16, "unknown": 0}
    assert found["counts"]["trainings"] == 0 and found["counts"]["candidates"] == 16


def test_a_table_without_anything_that_is_asked_for_says_so(command, written, tmp_path):
    error = command("search", tiny_cells.written(tmp_path), "--run", str(tmp_path / "run"),
                    "--table", str(written), "--set", "search.strategy=random", "--set",
                    "search.generations=1", "--set", "cells.operations=[\"conv3x3\"]", "--set",
                    "search.seed=9", code=2)
    assert "has none of 1 network that random asked for" in error and str(written) in error
