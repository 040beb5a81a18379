"""Plug-ins: what they register is used like what ships, and what is wrong with them is one line."""

import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from spikeloom.flow import cli, config, ir, plugins
from spikeloom.flow.errors import ConfigError, GraphError, RunError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.hdl import neurons as hardware
from spikeloom.nas import datasets, scores, strategies, workers
from spikeloom.nas.space import Space, describe
from spikeloom.nas.task import Task
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import compare

EXAMPLE = Path(__file__).parents[1] / "examples" / "plugin.py"
STRATEGY = """
from spikeloom.nas import strategies
from spikeloom.nas.strategies.random import Strategy

@strategies.register("chance")
class Chance(Strategy):
    pass
"""


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """No test meets the plug-ins of another."""
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    yield
    plugins.forget()
    datasets.load.cache_clear()


@pytest.fixture
def file(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path
    return write


def test_a_file_registers_once_and_can_be_forgotten(file):
    path = file(STRATEGY)
    plugins.load([path])
    plugins.load([str(path), path.parent / "." / path.name])
    found = strategies.load("chance")
    assert "chance" in strategies.names() and plugins.named() == [(str(path), path.read_bytes())]
    assert sys.modules[found.__module__].Chance is found, "it can be pickled"
    plugins.forget()
    assert "chance" not in strategies.names() and plugins.named() == []
    with pytest.raises(ConfigError, match="unknown strategy 'chance'"):
        strategies.load("chance")


def test_the_environment_names_files_too(file, monkeypatch):
    one, two = file(STRATEGY), file(STRATEGY.replace("chance", "luck"), "two.py")
    monkeypatch.setenv(plugins.VARIABLE, f"{one}:{two}")
    plugins.load()
    assert {"chance", "luck"} <= set(strategies.names())


@pytest.mark.parametrize("text,words", [
    ("x = 1\nx = (\n", "line 2: SyntaxError: '(' was never closed"),
    ("def f():\n    return 1 / 0\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
    ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError: No module named 'nothing_of"),
    ("\nraise ValueError('two\\nlines')\n", "line 2: ValueError: two lines"),
    ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
    (STRATEGY + STRATEGY, "line 12: strategy 'chance' is there already; its plug-in must choose"),
    (STRATEGY.replace("chance", "nsga2"), "line 5: strategy 'nsga2' is there already"),
    (STRATEGY.replace("chance", "two words"), "the name of a strategy must be a letter, then"),
    (STRATEGY.replace('"chance"', "7"), "not 7"),
])
def test_one_that_does_not_import_is_one_line_and_leaves_nothing(file, capsys, text, words):
    path = file(text)
    before = strategies.names()
    assert cli.main(["show", "boards", "--plugin", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"spikeloom show: plug-in {path}: ") and error.count("\n") == 1
    assert words in error
    assert strategies.names() == before and plugins.named() == []
    assert not [name for name in sys.modules if name.startswith("spikeloom_plugin_")]
    assert cli.main(["show", "boards", "-v", "--plugin", str(path)]) == 2
    assert "Traceback" in capsys.readouterr().err
    path.write_text(STRATEGY)
    plugins.load([path])
    assert strategies.load("chance")


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert cli.main(["show", "boards", "--plugin", str(tmp_path / "no.py")]) == 2
    assert "no.py: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_help_says_that_files_are_run(capsys):
    for command in ("search", "train", "study"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert "import this Python file, which runs it" in " ".join(capsys.readouterr().out.split())


def test_a_study_takes_plugins_before_and_behind_its_name(file, tmp_path, capsys):
    one, two = file(STRATEGY), file(STRATEGY.replace("chance", "luck"), "two.py")
    argv = ["study", "--plugin", str(one), "crossbar", "--plugin", str(two), "--run"]
    assert cli.main([*argv, str(tmp_path / "run")]) == 2
    assert "is not a run directory" in capsys.readouterr().err
    assert {"chance", "luck"} <= set(strategies.names())


class Point:
    """An entry point as `metadata` gives it, of a package that is not installed."""

    group, name, value = plugins.GROUP, "theirs", "theirs.plugin"

    class dist:
        name, version = "theirs", "1.2"

    def __init__(self, load):
        self.load = load


def test_packages_register_through_entry_points(monkeypatch, tmp_path):
    def load():
        return lambda: strategies.register("theirs")(object)

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Point(load)])
    plugins.load()
    plugins.load()
    assert strategies.load("theirs") is object and plugins.named() == []
    plugins.record(tmp_path)
    assert json.loads((tmp_path / plugins.FILE).read_text())["plugins"] == [
        {"name": "theirs of theirs", "digest": "1.2"}]


def test_a_package_that_does_not_import(monkeypatch, capsys):
    def load():
        raise ImportError("libtheirs.so is missing")

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Point(load)])
    assert cli.main(["show", "boards"]) == 2
    assert capsys.readouterr().err == ("spikeloom show: plug-in theirs of theirs 1.2: ImportError: "
                                       "libtheirs.so is missing\n")


def strategy_of(name):
    """What a worker finds under a name."""
    from spikeloom.nas import strategies

    return strategies.load(name).__name__


def test_workers_import_the_same_text(file):
    path = file(STRATEGY)
    plugins.load([path])
    path.unlink()
    with workers.workers(1) as executor:
        assert executor.submit(strategy_of, "chance").result() == "Chance"


@pytest.mark.slow
def test_workers_of_a_cluster_import_it_too_those_that_join_late(tmp_path):
    from dask_cluster import cluster as started
    from distributed import Client

    plugins.load([EXAMPLE])
    even = hardware.KINDS["even"]
    neuron = even(v_threshold=1, leak_shift=2)
    with started(tmp_path, workers=1) as processes:
        with Client(processes.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
            with workers.workers(1, cluster=processes.address) as executor:
                assert executor.submit(even.leak, neuron, -9).result(timeout=60) == -7
                processes.add_worker()
                client.wait_for_workers(2, timeout=60)
                processes.workers[0].kill()
                assert executor.submit(even.leak, neuron, -3).result(timeout=60) == -3


def test_a_worker_forgets_the_plugins_of_the_process_before(file):
    path = str(file(STRATEGY))
    plugins.adopt([(path, STRATEGY.encode())])
    first = strategies.load("chance")
    plugins.adopt([(path, STRATEGY.encode())])
    assert strategies.load("chance") is first
    plugins.adopt([(path, STRATEGY.replace("chance", "luck").encode())])
    assert "luck" in strategies.names() and "chance" not in strategies.names()
    plugins.adopt([(f"{path}.other", STRATEGY.encode())])
    assert "chance" in strategies.names() and "luck" not in strategies.names()


# data sets

MOONS = """
import numpy as np
from spikeloom.nas import datasets

@datasets.register("moons")
def moons():
    pixels = np.arange(48, dtype=np.uint8).reshape(12, 4)
    split = lambda k: datasets.Split(pixels[k::3].copy(), np.arange(4) % 2)
    return datasets.Dataset(name="moons", shape=(2, 2), num_classes=2, train=split(0),
                            validation=split(1), test=split(2))
"""


def test_a_data_set_is_loaded_shown_and_trained_on(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(tmp_path / "sets"))
    path = str(file(MOONS))
    assert cli.main(["show", "data", "--json", "--plugin", path]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["datasets"]}
    assert rows["moons"]["state"] == "here" and rows["moons"]["train"] == 4
    assert rows["digits"]["state"] == "here" and rows["mnist"]["state"] == "missing"
    assert rows["mnist"]["missing"][0].endswith("train-images-idx3-ubyte.gz")
    assert datasets.described("moons") == "moons: 4 train, 4 validation and 4 test samples"
    assert cli.main(["train", "--data", "moons", "--hidden", "3", "--epochs", "1", "--num-steps",
                     "2", "--run", str(tmp_path / "run"), "--plugin", path]) in (0, 1)
    with pytest.raises(ConfigError, match="dataset 'digits' is there already"):
        datasets.register("digits")(None)


def test_what_is_no_data_set_is_refused(file, tmp_path, capsys):
    path = str(file(MOONS.replace("return datasets.Dataset", "return dict")))
    assert cli.main(["train", "--data", "moons", "--plugin", path, "--run", str(tmp_path / "r")]
                    ) == 2
    assert "dataset 'moons' must be a Dataset, not dict" in capsys.readouterr().err
    assert cli.main(["show", "data", "--plugin", path]) == 0
    out = capsys.readouterr().out
    assert "refused" in out and "cannot be read" not in out and "is missing; it comes from" in out


@pytest.mark.parametrize("old,new,words", [
    ("(48, dtype=np.uint8)", "(48)", r"inputs must be uint8 \[n, 4\], n at least 1, not int64"),
    ("shape=(2, 2)", "shape=(3, 2)", r"train.inputs must be uint8 \[n, 6\], .* uint8 \[4, 4\]"),
    ("np.arange(4) % 2", "np.arange(3) % 2", r"\[n, 4\], n at least 1, not uint8"),
    ("np.arange(4) % 2", "np.arange(4) * 1.0", r"train.labels must be int64 \[4\], not float64"),
    ("np.arange(4) % 2", "np.arange(4)", r"train.labels must be in 0..1, not in 0..3"),
])
def test_data_sets_of_another_shape_are_refused(file, old, new, words):
    plugins.load([file(MOONS.replace(old, new))])
    with pytest.raises(ConfigError, match=f"dataset 'moons': .*{words}"):
        datasets.load("moons")


# the example


def test_the_strategy_of_the_example_asks_within_the_bounds_and_learns():
    plugins.load([EXAMPLE])
    made = Space(config.Space(), (8, 8), 10)

    def size(genome):
        return sum(d.synapses for d, _ in made.graph(genome).layers)

    def climbed():
        strategy = strategies.load("climb")(
            made, objectives=2, constraints=1, population=6, seed=1,
            excess=lambda genome: max(0.0, size(genome) / 4000 - 1))
        asked = []
        for _ in range(6):
            genomes = strategy.ask()
            asked += genomes
            F = np.array([[size(genome), made.graph(genome).num_steps] for genome in genomes])
            strategy.tell(F, np.zeros((len(F), 1)))
        return asked

    asked = climbed()
    assert len(set(asked)) == len(asked) == 36 and asked == climbed()
    assert all(size(genome) <= 4000 for genome in asked)
    sizes = [size(genome) for genome in asked]
    assert np.mean(sizes[-6:]) < np.mean(sizes[:6])


def test_the_score_of_the_example_ranks_cells(capsys):
    argv = ["score", "variety", "--plugin", str(EXAMPLE), "--json"]
    for cells in ("3|01|2~34", "3|03|333", "0|00|000"):
        argv += ["--cells", cells]
    assert cli.main(argv) == 0
    found = json.loads(capsys.readouterr().out)["networks"]
    assert [row["mean"] is None for row in found] == [False, False, True]
    assert found[0]["mean"] > found[1]["mean"]


@pytest.mark.parametrize("part", ["WHAT", "SETTINGS", "score"])
def test_a_score_that_is_not_whole_is_refused(part):
    whole = {"WHAT": "", "SETTINGS": scores.NoSettings, "score": len}
    del whole[part]
    with pytest.raises(ConfigError, match=f"score 'mine' must have {part};"):
        scores.register("mine")(type("Mine", (), whole))
    with pytest.raises(ConfigError, match="score 'depth' is there already"):
        scores.register("depth")(type("Mine", (), whole | {part: scores.NoSettings}))


def test_the_neuron_of_the_example_is_searched():
    plugins.load([EXAMPLE])
    settings = config.experiment_from({"space": {"neurons": ["lif", "even"]}}).space
    made = Space(settings, (8, 8), 10)
    others = Space(config.Space(), (8, 8), 10)
    assert others.size() < made.size() < 2.01 * others.size()
    rng = np.random.default_rng(0)
    found = {genome for genome in (made.genome(made.sample(rng)) for _ in range(40))
             if "even" in genome}
    assert found and all(" even" in describe(genome) for genome in found)
    for genome in found:
        assert {p.neuron.kind for _, p in made.graph(genome).layers} == {"even"}


def even(readout):
    from spikeloom.hdl.neurons import KINDS

    layer = {"weight_bits": 3, "bitstream_length": 8, "sng": "sobol1",
             "neuron": KINDS["even"](v_threshold=1, leak_shift=2)}
    return ir.chain(shape=(8, 8), encoder="rate", readout=readout, num_steps=5,
                    layers=[{"out_features": n, **layer} for n in (6, 10)]).verify()


@pytest.mark.parametrize("readout", ir.READOUTS)
def test_the_neuron_of_the_example_is_the_same_in_training_reference_and_gateware(readout):
    from spikeloom.nas.program import Program

    plugins.load([EXAMPLE])
    inputs = datasets.load("digits").train.inputs
    program = Program([even(readout)], [3], inputs, init=0.4, gain=1.0, surrogate=0.8)
    graph = next(iter(program.trained()))
    images = inputs[:40]
    scores, spikes = program.infer(images)
    trace = reference.run(graph, images, trace=True)
    np.testing.assert_array_equal(scores[0], trace.scores)
    np.testing.assert_array_equal(spikes[0][0], trace.spikes[0])
    assert min(v.min() for v in trace.v) < 0 < trace.spikes[0].mean() < 1
    compiled = compile_graph(graph)
    found, _ = gateware.simulate(compiled, images[:2])
    assert compare(reference.run(compiled, images[:2], trace=True), found) == []


def test_an_even_leak_is_no_lifs():
    plugins.load([EXAMPLE])
    neuron, lif = (hardware.KINDS[kind](v_threshold=1, leak_shift=2) for kind in ("even", "lif"))
    assert [neuron.leak(v) for v in (-9, -3, 0, 3, 9)] == [-7, -3, 0, 3, 7]
    assert [lif.leak(v) for v in (-9, -3, 0, 3, 9)] == [-6, -2, 0, 3, 7]


def test_a_search_with_plugins_is_resumed_with_them_alone(world, tmp_path, capsys):
    path = shutil.copy(EXAMPLE, tmp_path / "own.py")
    options = ["--plugin", str(path)]
    assert world.search(*options, "--set", "search.strategy=climb", "--set",
                        'space.neurons=["even"]', "--set", "search.generations=2") == 0
    first = json.loads((tmp_path / "run" / "search.json").read_text())
    assert Run.open(tmp_path / "run").graph().layers[0][1].neuron.kind == "even"
    plugins.forget()
    capsys.readouterr()
    assert world.search("--resume", experiment=False) == 2
    assert "was begun with plug-in own.py, which is not here; name it again with --plugin" in (
        capsys.readouterr().err)
    assert cli.main(["show", "graph", "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "unknown neuron 'even'" in error and "made with plug-in own.py, to be named" in error
    with pytest.raises(ConfigError, match="unknown"):
        Task(config.load_experiment(tmp_path / "run" / "experiment.toml"))
    assert world.search(*options, "--resume", experiment=False) == 0
    assert "is not what it was" not in capsys.readouterr().err
    again = json.loads((tmp_path / "run" / "search.json").read_text())
    assert again["final"] == first["final"] and again["counts"]["trainings"] == 0
    plugins.forget()
    with open(path, "a") as changed:
        changed.write("# another version\n")
    assert world.search(*options, "--resume", experiment=False) == 0
    assert "plug-in own.py is not what it was" in " ".join(capsys.readouterr().err.split())


def test_a_damaged_record_is_one_line(file, tmp_path):
    plugins.load([file(STRATEGY)])
    plugins.record(tmp_path)
    plugins.require(tmp_path, pytest.fail)
    (tmp_path / plugins.FILE).write_text("{")
    with pytest.raises(RunError, match=r"plugins\.json: is damaged"):
        plugins.require(tmp_path, pytest.fail)


# neurons that are not whole

NEURON = """
from dataclasses import dataclass
from spikeloom.hdl.neurons import Lif
from spikeloom.nas import neurons
from spikeloom.nas.neurons import LifTraining
from spikeloom.sim.neurons import LifState

@dataclass(frozen=True, kw_only=True)
class Bare(Lif):
    kind = "bare"

neurons.register(Bare, state=LifState, training=LifTraining)
"""


def test_a_neuron_without_gateware_is_trained_and_simulated_alone(file, tmp_path, capsys):
    options = ["--run", str(tmp_path / "run"), "--plugin", str(file(NEURON))]
    assert cli.main(["train", "--neuron", "bare", "--hidden", "4", "--epochs", "1",
                     "--num-steps", "2", *options]) in (0, 1)
    assert cli.main(["sim", "--level", "reference", "--count", "2", *options]) == 0
    capsys.readouterr()
    assert cli.main(["synth", *options]) == 2
    assert "pop1: neurons must be of a kind with gateware, not Bare(" in (
        capsys.readouterr().err)
    with pytest.raises(ConfigError, match=r"space.neurons must be kinds with gateware, by which"):
        Task(config.experiment_from({"space": {"neurons": ["lif", "bare"]}}))


def test_saturation_asks_for_gateware_of_its_own():
    plugins.load([EXAMPLE])
    graph = even("membrane")
    wide = hardware.KINDS["even"](v_threshold=1, saturate_bits=8)
    codes = {"weight": np.ones((6, 64), np.int16), "bias": np.zeros(6, np.int32)}
    last = {"weight": np.ones((10, 6), np.int16), "bias": np.zeros(10, np.int32)}
    with pytest.raises(GraphError, match=r"must be of a kind with gateware, not Even\("):
        compile_graph(graph.replace(pop1={"neuron": wide}, fc1=codes, fc2=last))


@pytest.mark.parametrize("old,new,words", [
    ('kind = "bare"', "pass", "with a `kind` of its own, not Bare of kind 'lif'"),
    ('kind = "bare"', 'kind = "fixed"', "neuron 'fixed' is there already"),
    ('kind = "bare"', 'kind = "bare"\n    extra: int', "Bare.extra must have a default"),
])
def test_neurons_that_are_refused(file, old, new, words):
    with pytest.raises(ConfigError, match=words):
        plugins.load([file(NEURON.replace(old, new))])
    assert set(hardware.KINDS) == {"lif", "fixed", "homeostatic", "izhikevich"}
