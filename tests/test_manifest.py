"""Manifests: what commands leave of themselves in a run, merged, and shown."""

import contextlib
import hashlib
import json
import subprocess
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from spikeloom.flow import manifest
from spikeloom.flow.cli import main
from spikeloom.flow.errors import ConfigError, RunError
from spikeloom.flow.manifest import Command, Facts, Subset, add, checkout, read, recorded
from spikeloom.flow.run import Run
from spikeloom.nas import datasets


def one(name="synth", **changes):
    return Command(**{"command": name, "arguments": ["--seed", "1"],
                      "began": "2026-01-02T03:04:05+00:00", "seconds": 1.5, "exit": 0,
                      "environment": "", **changes})


def test_commands_are_added_and_never_taken_away(tmp_path):
    Run.create(tmp_path)
    assert read(tmp_path).commands == []
    for name in ("train", "synth"):
        add(tmp_path, one(name))
    found = read(tmp_path)
    assert [item.command for item in found.commands] == ["train", "synth"]
    (key, here), = found.environments.items()
    assert {item.environment for item in found.commands} == {key}
    assert here.python.startswith("CPython 3.") and "numpy" in here.packages


def test_another_environment_stands_beside_the_first(tmp_path, monkeypatch):
    Run.create(tmp_path)
    add(tmp_path, one())
    monkeypatch.setattr(manifest, "_packages", lambda: {"numpy": "0.1"})
    add(tmp_path, one())
    found = read(tmp_path)
    assert len(found.environments) == 2
    assert found.commands[0].environment != found.commands[1].environment


def test_commands_that_end_together_are_all_there(tmp_path):
    Run.create(tmp_path)
    threads = [threading.Thread(target=add, args=(tmp_path, one(f"c{k}"))) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item.command for item in read(tmp_path).commands} == {f"c{k}" for k in range(6)}


def failing(error):
    def run():
        raise error
    return run


@pytest.mark.parametrize("run, code", [
    (lambda: None, 0), (lambda: 1, 1), (failing(KeyboardInterrupt()), 130),
    (failing(ValueError()), 1), (failing(ConfigError("no")), None)])
def test_how_a_command_ended(tmp_path, run, code):
    Run.create(tmp_path)
    (tmp_path / "experiment.toml").write_text("x = 1\n")
    facts = Facts()
    facts.add(seeds={"training": range(2)}, tools={"yosys": "yosys 0.7"})
    with contextlib.suppress(KeyboardInterrupt, ValueError, ConfigError):
        recorded(run, "train", ["--seed", "0"], tmp_path, facts, pytest.fail)
    found = read(tmp_path).commands
    if code is None:
        assert not found, "bad input did nothing"
        return
    assert [(item.exit, item.seeds, item.tools) for item in found] == [
        (code, {"training": [0, 1]}, {"yosys": "yosys 0.7"})]
    assert found[0].files == {"experiment.toml": hashlib.sha256(b"x = 1\n").hexdigest()}


def test_no_run_no_manifest_and_a_damaged_one_is_kept(tmp_path):
    recorded(lambda: None, "train", [], tmp_path / "none", Facts(), pytest.fail)
    assert not (tmp_path / "none").exists()
    Run.create(tmp_path / "run")
    path = tmp_path / "run" / manifest.FILE
    path.write_text("{")
    notes = []
    assert recorded(lambda: 0, "train", [], tmp_path / "run", Facts(), notes.append) == 0
    assert path.read_text() == "{" and "is damaged" in notes[0] and "rename it" in notes[0]
    path.write_text('{"format": 9}')
    with pytest.raises(RunError, match="has manifest format 9, this version reads 1"):
        read(tmp_path / "run")


def test_data_are_known_by_their_content():
    def split(*values, dtype=np.uint8):
        return SimpleNamespace(inputs=np.array([values], dtype), labels=np.zeros(1, np.int64))

    def digests(train):
        facts = Facts()
        facts.add(data=SimpleNamespace(name="d", train=train, validation=split(1), test=split(1)))
        return facts.data["d"]

    found = digests(split(1, 2))
    held = hashlib.sha256(b"|u1 [1, 2] \x01\x02" + b"<i8 [1] " + bytes(8))
    assert found["train"] == Subset(samples=1, sha256=held.hexdigest())
    assert found["validation"] == found["test"] != found["train"]
    assert digests(split(2, 1))["train"] != found["train"]
    assert digests(split(1, 2, dtype=np.int8))["train"] != found["train"]


def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path):
    assert checkout(tmp_path) == (None, None)

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e", *words],
                       check=True, capture_output=True)

    git("init")
    (tmp_path / "a").write_text("a")
    git("add", "a")
    git("commit", "-m", "a")
    commit, modified = checkout(tmp_path)
    assert len(commit) == 40 and not modified
    (tmp_path / "b").write_text("b")
    assert checkout(tmp_path) == (commit, False), "what git does not know of is nobody's change"
    (tmp_path / "a").write_text("b")
    assert checkout(tmp_path) == (commit, True)


def test_a_training_writes_one_that_is_shown(tmp_path, capsys):
    run = str(tmp_path / "run")
    words = ["--hidden", "4", "--epochs", "1", "--num-steps", "2", "--seeds", "2"]
    assert main(["train", "--run", run, *words]) == 0
    assert main(["train", "--run", run, "--hidden", "0"]) == 2
    assert main(["train", "--run", run, *words, "--seed", "3"]) == 0
    capsys.readouterr()
    assert main(["show", "manifest", "--run", run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(item["command"], item["seeds"], item["exit"]) for item in found["commands"]] == [
        ("train", {"training": [0, 1]}, 0), ("train", {"training": [3, 4]}, 0)]
    assert found["commands"][0]["arguments"] == ["--run", run, *words]
    digits = found["commands"][0]["data"]["digits"]
    assert {split: item["samples"] for split, item in digits.items()} == {
        "train": 1149, "validation": 288, "test": 360}
    train = datasets.load("digits").train
    held = hashlib.sha256(b"|u1 [1149, 64] " + train.inputs.tobytes()
                          + b"<i8 [1149] " + train.labels.tobytes())
    assert digits["train"]["sha256"] == held.hexdigest()
    graph = (tmp_path / "run" / "graph.safetensors").read_bytes()
    assert found["commands"][1]["files"]["graph.safetensors"] == hashlib.sha256(graph).hexdigest()
    assert main(["show", "manifest", "--run", run]) == 0
    text = capsys.readouterr().out
    assert f"spikeloom train --run {run}" in text and "training 3, 4" in text and "digits" in text
    assert held.hexdigest()[:12] in text and "torch 2." in text


def test_a_run_without_one_says_so(tmp_path, capsys):
    Run.create(tmp_path)
    assert main(["show", "manifest", "--run", str(tmp_path)]) == 0
    assert "no command has been recorded" in capsys.readouterr().out
