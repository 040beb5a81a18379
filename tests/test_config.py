"""Experiments: defaults, what is refused and with which words, and writing them out."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from spikeloom.flow import config
from spikeloom.flow.errors import ConfigError
from spikeloom.nas.blocks.settings import Blocks
from spikeloom.nas.cells.settings import Cells
from spikeloom.nas.cim import Cim
from spikeloom.nas.train import TrainSettings


def write(tmp_path, text):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_search_on_digits(tmp_path):
    found = config.load_experiment(write(tmp_path, ""))
    assert found == config.Experiment() == config.load_experiment(None)
    assert found.data.name == "digits"
    assert found.search.objectives == ("accuracy", "lc")
    assert found.search.population * found.search.generations >= 200
    assert found.search.routed == 20
    assert (found.space.min_width, found.space.max_width, found.space.layers) == (8, 256, (1, 2, 3))
    assert found.target.board == "icebreaker"


def test_the_effective_experiment_reads_back_as_the_same(tmp_path):
    path = write(tmp_path, """
        [space]
        layers = [2]
        weight_bits = [3, 4]
        [search]
        objectives = ["accuracy", "lc", "ebr", "energy_nj"]
        constraints = { lc = 4000, accuracy = 0.9 }
        max_utilization = 0.95
        [train]
        epochs = 3
        learning_rate = 1e-3
        """)
    found = config.load_experiment(path)
    assert found.search.constraints == {"lc": 4000.0, "accuracy": 0.9}
    text = config.to_toml(found)
    assert config.experiment_from(tomllib.loads(text)) == found
    assert all(f"[{section}]" in text for section in msgspec.to_builtins(found))


def test_changes_are_laid_over_the_file(tmp_path):
    path = write(tmp_path, "[search]\nseed = 3\n")
    found = config.load_experiment(path, ("search.seed=7", "target.board = ice40_hx8k_b_evn",
                                          'space.encoders=["rate"]', "train.epochs=2"))
    assert found.search.seed == 7
    assert found.target.board == "ice40_hx8k_b_evn"
    assert found.space.encoders == ("rate",)
    assert found.train == {"epochs": 2}


@pytest.mark.parametrize("text, words", [
    ("[serach]", "unknown section 'serach'; did you mean 'search'?"),
    ("search = 3", "search must be a section [search], not 3"),
    ("[search]\npopulaton = 3", "search.populaton: unknown key 'populaton'; did you mean "
                                "'population'?"),
    ("[search]\nseed = 'x'", "search.seed must be an integer, not 'x'"),
    ("[search]\nseed = true", "search.seed must be an integer, not True"),
    ("[search]\nseed = -1", "search.seed must be in 0..2**31-1, not -1"),
    ("[search]\npopulation = 1", "search.population must be in 2..4096, not 1"),
    ("[search]\nobjectives = []", "search.objectives must be a list of different columns"),
    ("[search]\nconstraints = { lc = nan }", "search.constraints must be a table of finite"),
    ("[search]\nconstraints = 4", "search.constraints must be a table of numbers"),
    ("[search]\nreference = { lc = inf }", "search.reference must be a table of finite numbers"),
    ("[search]\ncost_model = 'none'", "search.cost_model must be 'predicted' or 'structure', not"),
    ("[search]\npnr_seeds = 101", "search.pnr_seeds must be in 1..100, not 101"),
    ("[search]\nmax_utilization = 1.5", "search.max_utilization must be in 0..1"),
    ("[space]\nencoders = ['strem']", "space.encoders: unknown encoder 'strem'; did you mean "
                                      "'stream'?"),
    ("[space]\nsng = ['sobol9']", "space.sng: unknown number generator 'sobol9'"),
    ("[space]\nreadouts = ['membranes']", "did you mean 'membrane'?"),
    ("[space]\nlayers = []", "space.layers must be a list of different values, at least one"),
    ("[space]\nlayers = [2, 2]", "space.layers must be a list of different values"),
    ("[space]\nlayers = 2", "space.layers must be a list, each an integer, not 2"),
    ("[space]\nlayers = [9]", "space.layers must be in 1..8, not [9]"),
    ("[space]\nmin_width = 20\nmax_width = 10", "space.max_width must be in min_width = 20..4096"),
    ("[space]\nbitstream_lengths = [12]", "must be powers of two in 8..512, not [12]"),
    ("[space]\nbitstream_lengths = [1024]", "must be powers of two in 8..512, not [1024]"),
    ("[space]\nbitstream_lengths = [8]\nweight_bits = [6]",
     "space.weight_bits must be at most 4 somewhere"),
    ("[space]\nnum_steps = [0]", "space.num_steps must be in 1..1024, not [0]"),
    ("[space]\nleak_shifts = [16]", "space.leak_shifts must be in 1..15, or 0 for no leak"),
    ("[space]\nneurons = ['izikevich']", "unknown neuron 'izikevich'; did you mean 'izhikevich'?"),
    ("[space]\npresets = ['chatering']", "unknown preset 'chatering'; did you mean 'chattering'?"),
    ("[space]\nbetas = [9]", "space.betas must be in 0..8 with beta_bits = 3, not [9]"),
    ("[space]\nbeta_bits = 17", "space.beta_bits must be in 1..16, not 17"),
    ("[space]\nadaptations = [[1, 2, 3]]", "space.adaptations must be lists of four, [up, down, "),
    ("[space]\nadaptations = [4]", "space.adaptations must be a list, each a list, each an"),
    ("[space]\nrefractory = [256]", "space.refractory must be in 0..255, not [256]"),
    ("[space]\ndelays = [9]", "space.delays must be in 0..8, not [9]"),
    ("[space]\ndelays = [4]", "space.delays must be a list with 0, no delay, in it, unless the"),
    ("[target]\nseed = 1.5", "target.seed must be an integer, not 1.5"),
    ("[space]\nnetwork = 'cell'", "space.network must be one of chain, layered, residual, cells,"),
    ("[space]\nnetwork = 'cells'\nlayers = [2]", "space.layers: unknown key 'layers' (known: "),
    ("[space]\nnetwork = 'cells'\n[search]\nrouted = 2", "search.routed: unknown key 'routed'"),
    ("[search]\ndeduplicate = 1", "search.deduplicate must be true or false, not 1"),
    ("[search]\noptions = 3", "search.options must be a table, such as { sample = 10 }, not 3"),
    ("[search", "is not TOML"),
])
def test_what_is_wrong_is_named_with_file_key_rule_and_value(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        config.load_experiment(path)
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("change, words", [
    ("seed=3", "--set must be SECTION.KEY=VALUE, not 'seed=3'"),
    ("search.seed", "--set must be SECTION.KEY=VALUE"),
    ("serach.seed=3", "did you mean 'search'?"),
])
def test_changes_that_are_wrong(change, words):
    with pytest.raises(ConfigError, match="--set") as error:
        config.load_experiment(None, (change,))
    assert words in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml: cannot be read \(No such file"):
        config.load_experiment(tmp_path / "nothing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        config.load_experiment(tmp_path / "binary.toml")


def test_every_example_states_every_key():
    folder = Path(__file__).parent.parent / "examples"
    files = {path.name: tomllib.loads(path.read_text()) for path in folder.glob("*.toml")}
    experiments = {name for name, item in files.items() if "search" in item}
    assert experiments >= {"digits.toml", "temporal.toml", "cim.toml", "cifar.toml",
                           "spikenas.toml", "neuronas.toml", "autosnn.toml",
                           "autosnn-cifar.toml"}
    for name in experiments:
        config.load_experiment(folder / name)
        network = files[name]["space"]["network"]
        wanted = msgspec.to_builtins(config.experiment_from({"space": {"network": network}}))
        if set(files[name]["data"]) > {"name"}:
            wanted["data"] = msgspec.to_builtins(config.EventData())
        if "cim" in files[name]:
            wanted["cim"] = msgspec.to_builtins(Cim())
        if network == "cells":
            wanted["cells"] = msgspec.to_builtins(Cells())
        if network == "blocks":
            wanted["blocks"] = msgspec.to_builtins(Blocks())
            if "gateware" not in files[name]["blocks"]:  # without it, nothing is to be built
                del wanted["blocks"]["gateware"]
        assert {key: set(item) for key, item in files[name].items() if key != "train"} == {
            key: set(item) for key, item in wanted.items() if key != "train"}


def test_the_example_states_the_defaults():
    path = Path(__file__).parent.parent / "examples" / "digits.toml"
    found = config.load_experiment(path)
    assert found.train == msgspec.to_builtins(TrainSettings())
    assert msgspec.structs.replace(found, train={}) == config.Experiment()


def test_an_experiment_on_cells_has_defaults_of_its_own(tmp_path):
    found = config.load_experiment(write(tmp_path, "[space]\nnetwork = 'cells'"))
    assert (found.search.strategy, found.search.objectives) == ("spikenas", ("score",))
    assert found.search.population * found.search.generations == 5000
    assert config.experiment_from(tomllib.loads(config.to_toml(found))) == found
    assert config.load_experiment(None, ("space.network=cells",)) == found
