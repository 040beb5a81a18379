"""Data sets of recordings: splits, frames and their cache, and files that are not there."""

import os
import re
from pathlib import Path

import event_files as made
import numpy as np
import pytest
from event_files import at, bar
from msgspec.structs import replace

from spikeloom.flow import cli
from spikeloom.flow.errors import ConfigError, RunError
from spikeloom.flow.events import Data, EventData
from spikeloom.nas import datasets
from spikeloom.nas.datasets import cifar10_dvs, dvs128_gesture, images, nmnist, recorded, shd
from spikeloom.nas.problem import problem
from spikeloom.sim.recordings.frames import frames

FEW = made.FEW


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    yield from made.places(tmp_path, monkeypatch)


@pytest.fixture
def digits(root, monkeypatch):
    return made.nmnist_folder(root, monkeypatch)


@pytest.fixture
def objects(root, monkeypatch):
    return made.cifar10_dvs_folder(root, monkeypatch)


@pytest.fixture
def trials(root, monkeypatch):
    return made.gesture_folder(root, monkeypatch)


def splits(data):
    return {name: getattr(data, name) for name in images.SPLITS}


def sizes(data) -> tuple[int, ...]:
    return tuple(map(len, splits(data).values()))


def test_nmnist_holds_out_the_last_training_images(digits):
    data = datasets.load("nmnist")
    assert sizes(data) == nmnist.sizes("nmnist") == (40, 10, 20)
    assert (data.name, data.shape, data.num_steps) == ("nmnist[T=16 time 1/2]", (2, 17, 17), 16)
    assert data.encoders == ("spikes",) and data.recorded.data.downsample == 2
    for seed, split in ((0, data.train), (40, data.validation), (100, data.test)):
        assert split.labels.tolist() == [k % 10 for k in range(len(split))]
        for k in (0, 7):
            wanted = frames(bar(k, 10, 34, seed + k), data.recorded.data, (2, 34, 34))
            np.testing.assert_array_equal(split.inputs[k], wanted)
    small = datasets.load("nmnist-small")
    assert sizes(small) == nmnist.sizes("nmnist-small") == (30, 10, 20)
    assert (np.bincount(small.train.labels) == 3).all()
    held = {bytes(item) for item in data.validation.inputs}
    assert {bytes(item) for item in small.validation.inputs} == held
    assert not {bytes(item) for item in small.train.inputs} & held


def test_settings_make_other_frames_of_another_name(digits):
    settings = EventData(name="nmnist", num_steps=5, binning="window", window_us=10_000,
                         downsample=4, polarity="merged", values="counts")
    data = datasets.asked(settings)
    assert data.name == "nmnist[T=5 10000 us 1/4 merged counts]"
    assert data.shape == (1, 9, 9) and data.train.inputs.max() > 1
    with pytest.raises(ConfigError, match="values must be 'binary' for the 'spikes' encoder, not"):
        data.encoders  # noqa: B018


def test_frames_are_made_once(digits, monkeypatch, root):
    monkeypatch.setattr(recorded, "PART", 7)
    first = datasets.load("nmnist")
    read, calls = recorded._framed, []
    monkeypatch.setattr(recorded, "_framed", lambda part, how: calls.append(len(part)) or
                        read(part, how))

    def again(*changed):
        datasets.load.cache_clear()
        calls.clear()
        data = datasets.load("nmnist", *changed)
        return data, list(calls)

    data, parts = again()
    assert parts == []
    for ours, theirs in zip(splits(first).values(), splits(data).values()):
        np.testing.assert_array_equal(ours.inputs, theirs.inputs)
    assert again(EventData(name="nmnist", num_steps=16, downsample=2))[1] == []
    assert again(EventData(name="nmnist", values="counts"))[1] == [7] * 5 + [5, 7, 3, 7, 7, 6]
    path = digits / "Train" / "9" / "00010.bin"
    path.write_bytes(made.atis(bar(3, 10, 34, 0)))
    data, parts = again()
    assert parts == [7], "what is of another file is made again, and no more"
    np.testing.assert_array_equal(
        data.train.inputs[9], frames(bar(3, 10, 34, 0), data.recorded.data, (2, 34, 34)))
    for entry in (root / "cache" / "frames").rglob("frames.safetensors"):
        entry.write_bytes(entry.read_bytes()[:-1] + b"!")
    assert sum(again()[1]) == 70, "and what is damaged"


def test_a_kill_costs_a_part(digits, monkeypatch):
    monkeypatch.setattr(recorded, "PART", 10)
    read, calls = recorded._framed, []

    def killed(part, how):
        calls.append(part)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(part, how)
    monkeypatch.setattr(recorded, "_framed", killed)
    with pytest.raises(KeyboardInterrupt):
        datasets.load("nmnist")
    datasets.load("nmnist")
    assert len(calls) == 2 + 1 + 5


def test_a_smaller_subset_of_cifar10_dvs_keeps_to_the_splits_of_the_whole(objects):
    whole, small = datasets.load("cifar10-dvs"), datasets.load("cifar10-dvs-small")
    assert whole.shape == (2, 16, 16) and sizes(whole) == (80, 10, 30)
    assert sizes(small) == cifar10_dvs.sizes("cifar10-dvs-small") == (30, 10, 20)
    rows = {name: {bytes(item) for item in split.inputs} for name, split in splits(whole).items()}
    assert len(rows["train"] | rows["validation"] | rows["test"]) == 120
    for name, split in splits(small).items():
        assert {bytes(item) for item in split.inputs} <= rows[name]
        assert (np.bincount(split.labels) == getattr(FEW, name)).all()
    assert [item.path.stem[-2:] for item in recorded.of_classes(
        objects, ["airplane"], ".aedat", cifar10_dvs.ORIGIN)][-3:] == ["_9", "10", "11"]


def test_gestures_are_split_by_trials(trials):
    data = datasets.load("dvs128-gesture")
    assert sizes(data) == dvs128_gesture.sizes("dvs128-gesture") == (24, 12, 12)
    assert data.validation.labels.tolist() == [*range(11), 0]
    for user, split in ((3, data.validation), (24, data.test)):
        wanted = frames(at(bar(4, 11, 128, user), 1_400_000), data.recorded.data, (2, 128, 128))
        np.testing.assert_array_equal(split.inputs[4], wanted)


def test_spoken_digits_hold_out_as_many_of_each(root, monkeypatch):
    made.shd_folder(root, monkeypatch)
    data = datasets.load("shd")
    assert data.shape == (70,) and sizes(data) == shd.sizes("shd") == (60, 20, 40)
    assert (np.bincount(data.validation.labels) == 1).all()
    assert data.test.labels.tolist() == [k % 20 for k in range(40)]
    assert data.test.inputs[5].sum(0).nonzero()[0].tolist() == sorted(
        {x // 10 for x in made.sweep(5, 20, 105).x.tolist()})


# What is refused


def test_an_image_data_set_takes_no_settings_of_recordings(digits):
    words = "(num_steps, binning, window_us, downsample, polarity, values, threshold, faults)"
    with pytest.raises(ConfigError, match=re.escape(words) + " must be left out for 'digits'; "
                       "data sets of recordings are cifar10-dvs, "):
        datasets.asked(EventData(name="digits", binning="count"))
    assert datasets.asked(Data(name="nmnist")).name == datasets.load("nmnist").name
    with pytest.raises(ConfigError, match="unknown dataset 'nmist'; did you mean 'nmnist'"):
        datasets.asked(EventData(name="nmist"))


@pytest.mark.parametrize("kind,gone,words", [
    ("digits", "Test", "Test/0: cannot be read"),
    ("digits", "Train/3/00004.bin", "Train: must have 50 recordings, not 49"),
    ("objects", "dog", "dog: cannot be read"),
    ("objects", "frog/cifar10_frog_3.aedat", "must have 12 images of class 6, not 11"),
    ("trials", "trials_to_test.txt", "trials_to_test.txt: cannot be read"),
    ("trials", "user24_led_labels.csv", "user24_led_labels.csv: cannot be read")])
def test_a_split_that_is_not_there(request, kind, gone, words):
    folder = request.getfixturevalue(kind)
    path = folder / gone
    os.rename(path, folder / "aside") if path.is_dir() else path.unlink()
    name = {"digits": "nmnist", "objects": "cifar10-dvs", "trials": "dvs128-gesture"}[kind]
    with pytest.raises(ConfigError, match=re.escape(words)) as error:
        datasets.load(name)
    assert str(error.value).startswith(str(folder)) and "it comes from " in str(error.value)


def test_lists_of_trials_name_files_beside_them(trials):
    (trials / "trials_to_test.txt").write_text("../../passwd.aedat")
    with pytest.raises(ConfigError, match=r"names of \.aedat files, not '../../passwd.aedat'"):
        datasets.load("dvs128-gesture")
    (trials / "trials_to_train.txt").write_text("user01_led.aedat\n" * 3)
    with pytest.raises(ConfigError, match="must name 3 different trials, not 1 in 3 lines"):
        datasets.load("dvs128-gesture")
    (trials / "trials_to_test.txt").write_text("user24_led.aedat")
    (trials / "trials_to_train.txt").write_text("user01_led.aedat\nuser02_led.aedat\nuser09.aedat")
    with pytest.raises(ConfigError, match=r"user09_labels.csv: cannot be read"):
        datasets.load("dvs128-gesture")


def test_a_damaged_recording_names_itself_and_can_be_mended(digits, capsys):
    path = digits / "Train" / "4" / "00005.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RunError, match=re.escape(f"{path}: event ")):
        datasets.load("nmnist")
    mended = datasets.asked(EventData(name="nmnist", faults="mend"))
    assert mended.name.endswith(" mended]")
    path.write_bytes(b"")
    datasets.load.cache_clear()
    with pytest.raises(RunError, match=f"{path}: must have events, not none"):
        datasets.asked(EventData(name="nmnist", faults="mend"))
    where = ["train", "--data", "nmnist", "--run", str(digits.parent / "run")]
    for more, words in (([], f"{path}: must have events"),
                        (["--set", "data.binning=events"], "--set: data.binning must be one of"),
                        (["--set", "space.layers=[1]"], "or be data.KEY=VALUE, of a data set")):
        assert cli.main([*where, *more]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


def test_too_many_frames_are_refused_before_anything_is_read(root):
    with pytest.raises(ConfigError, match=r"at most 8 GiB, not 150\.\d; raise data\.down"):
        datasets.asked(EventData(name="nmnist", num_steps=1000, downsample=1))


def test_data_sets_are_listed(capsys):
    assert cli.main(["show", "data"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "dvs128-gesture │ 2 x 128 x 128 │ 11 │ 960 │ 216 │ 288 │ missing" in text
    assert "nmnist/Train is missing; it comes from Train.zip and Test.zip of https" in text
    assert "the last 18 of 98 training trials" in datasets.described("dvs128-gesture")


def test_a_search_keeps_the_settings_it_was_made_with(digits):
    from spikeloom.flow import config

    space = {"num_steps": [16], "encoders": ["spikes"], "layers": [1], "max_width": 8}
    task = problem(config.experiment_from({"data": {"name": "nmnist"}, "space": space}))
    kept = task.experiment.data
    assert isinstance(kept, EventData) and (kept.downsample, kept.num_steps) == (2, 16)
    assert "downsample = 2\n" in config.to_toml(task.experiment)
    again = problem(config.experiment_from({"data": {"name": "nmnist"}, "space": space}))
    other = problem(config.experiment_from(
        {"data": {"name": "nmnist", "binning": "count"}, "space": space}))
    assert again.data.name == task.data.name != other.data.name
    assert replace(kept, binning="count") == other.experiment.data
    with pytest.raises(ConfigError, match=r"space.num_steps must be of \[16\] for the inputs of"):
        problem(config.experiment_from({"data": {"name": "nmnist"}, "space":
                                        {**space, "num_steps": [8]}}))
    with pytest.raises(ConfigError, match=r"data\.values must be 'binary' for the 'spikes'"):
        problem(config.experiment_from({"data": {"name": "nmnist", "values": "counts"},
                                        "space": space}))


def test_the_example_is_a_search_on_recordings(digits):
    """Its networks, the smallest and the largest, are priced and fit the board."""
    from spikeloom.flow import config

    path = Path(__file__).parents[1] / "examples" / "nmnist.toml"
    task = problem(config.load_experiment(path), str(path))
    assert task.data.shape == (2, 9, 9) and (
        task.experiment.data == config.load_experiment(path).data)
    for side in (0, 1):
        vector = {name: bounds[side] for name, bounds in task.space.bounds.items()}
        genome = task.space.genome(task.space.sample(np.random.default_rng(0), 0) | vector)
        assert task.space.graph(genome).input.encoder == "spikes" and task.excess(genome) == 0
