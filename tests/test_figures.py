"""Figures of the benchmark that are cheap enough to be tried at a small size."""

from spikeloom.nas import datasets
from spikeloom.nas.bench import Bench
from spikeloom.nas.figures import conv, pruning, rungs
from spikeloom.nas.train import TrainSettings


def test_the_digits_network_on_a_rung(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    equal, different, figures, detail = rungs.replay(Bench(lambda text: None), "rtl", 1)
    assert (equal, different) == (1, 0) and figures["clock_edges"] > 10_000
    assert f"{3 * 8 * 42 + 11:,} membranes, spikes, currents, scores and classes of 1 " in detail


def test_the_table_of_accuracy_against_zeros(monkeypatch):
    monkeypatch.setattr(pruning, "EPOCHS", 2)
    monkeypatch.setattr(pruning, "SHARES", (0.5, 0.9))
    words = pruning.table(datasets.load("digits")).split(": ", 1)
    assert words[0].startswith("validation accuracy by share of zeros, mean of 3 seeds")
    rows = [tuple(map(float, row.split(": "))) for row in words[1].split(", ")]
    assert [round(share, 1) for share, _ in rows] == [0.5, 0.9]
    assert 0.7 < rows[0][1] <= 1


def test_the_convolutional_network_learns(monkeypatch):
    monkeypatch.setattr(conv, "SETTINGS", TrainSettings(epochs=2, learning_rate=0.06))
    monkeypatch.setattr(conv, "SEEDS", range(1, 3))
    value, detail = conv.accuracy(Bench(lambda text: None))["conv.test_accuracy"]
    assert 0.7 < value < 1 and detail.startswith("stream residual 10w5/16-12w4/8-10w4/16-w3/16 T=3")
