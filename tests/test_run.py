"""Run directories and files that are written whole or not at all."""

import errno
import os

import numpy as np
import pytest
from networks import random_graph
from safetensors.numpy import save

from spikeloom.flow import files
from spikeloom.flow.errors import RunError, SpikeloomError
from spikeloom.flow.files import write_atomic
from spikeloom.flow.run import Run


def test_a_run_keeps_graph_and_samples(tmp_path):
    run = Run.create(tmp_path / "a")
    graph = random_graph(np.random.default_rng(0))
    graph.save(run.graph_file)
    run.save_samples(np.arange(24).reshape(2, 3, 4), np.array([1, 0]))
    again = Run.open(tmp_path / "a")
    p8, labels = again.samples()
    assert again.graph().digest() == graph.digest()
    assert p8.shape == (2, 12) and p8.dtype == np.uint8 and labels.tolist() == [1, 0]
    assert Run.create(tmp_path / "a").path == run.path


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match="is not a run directory"):
        Run.open(tmp_path)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="exists and is not a run directory"):
        Run.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text,words", [
    ('{"format": 2}', "run format 2"), ("{", "is damaged"), ('{"other": 1}', "is damaged"),
    ("[]", "is damaged"),
])
def test_another_version_or_a_damaged_manifest(tmp_path, text, words):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=words):
        Run.open(tmp_path)


@pytest.mark.parametrize("content,words", [(None, "is missing"), (b"", "is damaged"),
                                           (b"abcdefgh" * 4, "is damaged")])
def test_missing_or_damaged_samples(tmp_path, content, words):
    run = Run.create(tmp_path / "a")
    if content is not None:
        run.samples_file.write_bytes(content)
    with pytest.raises(RunError, match=words):
        run.samples()


def test_samples_of_the_wrong_form(tmp_path):
    run = Run.create(tmp_path / "a")
    for p8, labels in ((np.zeros((3, 4), np.float32), np.zeros(3, np.int64)),
                       (np.zeros((3, 4), np.uint8), np.zeros(2, np.int64))):
        run.samples_file.write_bytes(save({"p8": p8, "labels": labels}))
        with pytest.raises(RunError, match="must hold p8 uint8"):
            run.samples()


def test_a_full_disk_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write_atomic(path, "old")

    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SpikeloomError, match="no space left") as caught:
        write_atomic(path, "new")
    assert "is unchanged" in str(caught.value)
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_an_interrupt_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "graph"
    write_atomic(path, b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["graph"]
