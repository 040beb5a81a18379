"""`study autosnn`: what is varied, random networks of spaces, and one super-network's fronts."""

import json
import math

import numpy as np
import pytest
import tiny_cells

from spikeloom.flow import cli
from spikeloom.nas.blocks import fitness, fronts, spaces, trials
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.space import BlockSpace
from spikeloom.nas.pictures import Dots, Histogram, Scatter, draw

TINY = ("--data", "maps", "--channels", "2", "--voters", "1", "--num-steps", "2", "--jobs", "1",
        "--epochs", "1", "--train-images", "16", "--batch-size", "8")


@pytest.fixture(autouse=True)
def maps(monkeypatch):
    tiny_cells.install(monkeypatch)


@pytest.fixture
def study(tmp_path, capsys):
    """Run the study in a run directory; its JSON."""
    def run(*argv):
        assert cli.main(["study", "autosnn", "--run", str(tmp_path / "run"), "--json", *TINY,
                         *argv]) == 0
        return json.loads(capsys.readouterr().out)
    return run


def never(*args, **settings):
    raise AssertionError("it is known already")


def test_one_thing_at_a_time_is_varied(study, monkeypatch, tmp_path):
    found = study("--seeds", "2")
    assert [(row["varied"], row["is"]) for row in found["rows"]] == [
        ("global pooling", "none"), ("global pooling", "on"), ("down-sampling", "max"),
        ("down-sampling", "avg"), ("down-sampling", "strided"), ("block", "scb_k3"),
        ("block", "srb_k3"), ("block", "sib_k3_e1"), ("block", "sib_k3_e3"), ("lambda_reg", "0"),
        ("lambda_reg", "0.01"), ("lambda_reg", "0.1"), ("lambda_reg", "1")]
    rows = {(row["varied"], row["is"]): row for row in found["rows"]}
    first = {key: value for key, value in rows["block", "scb_k3"].items()
             if key not in ("varied", "is")}
    for key in (("global pooling", "none"), ("down-sampling", "max"), ("lambda_reg", "0")):
        assert {name: rows[key][name] for name in first} == first
    assert found["measured"] == 10 * 2  # what is the same is trained once
    assert len(found["trained"]) == 13 * 2
    for row in found["rows"]:
        own = [item for item in found["trained"]
               if (item["varied"], item["is"]) == (row["varied"], row["is"])]
        assert row["accuracy"] == pytest.approx(np.mean([item["accuracy"] for item in own]))
        assert row["spikes/image"] == pytest.approx(np.mean([item["spikes"] for item in own]))
    assert [(row["varied"], row["is"], row["for"]) for row in found["effects"]][:3] == [
        ("global pooling", "on", "none"), ("down-sampling", "avg", "max"),
        ("down-sampling", "strided", "max")]
    for row in found["effects"]:
        assert row["low"] <= row["accuracy"] <= row["high"] and row["seeds"] == 2
    assert {row["data"] for row in found["published"]} >= {"CIFAR-10, whole set, 600 epochs"}
    kept = tmp_path / "run" / "study" / "autosnn"
    assert {path.name for path in kept.iterdir()} >= {
        "points.json", *(f"{name}.{kind}" for name in ("autosnn", "effects", "published")
                         for kind in ("csv", "tex")), "autosnn.svg", "autosnn.png"}
    monkeypatch.setattr(trials, "trained", never)
    again = study("--seeds", "2")
    assert again["measured"] == 0 and again["rows"] == found["rows"]


def test_what_is_varied_can_be_chosen(study):
    found = study("--seeds", "1", "--varied", "block", "--blocks", "srb_k3,sib_k3_e1_dw")
    assert [row["is"] for row in found["rows"]] == ["srb_k3", "sib_k3_e1_dw"]
    (row,) = found["effects"]
    assert (row["is"], row["for"], row["seeds"], row["low"]) == ("sib_k3_e1_dw", "srb_k3", 1, None)


def test_published_networks_can_be_compared(study):
    found = study("--seeds", "1", "--varied", "network", "--networks", "snn-1,snn-3,autosnn")
    weights = {row["is"]: row["weights"] for row in found["rows"]}
    macro = Macro(channels=2, image_size=8, voters=1, num_steps=2)
    assert weights["autosnn"] == macro.weights(["srb_k5", "srb_k5", "skip", "srb_k3", "srb_k5"])
    assert weights["snn-3"] > weights["snn-1"] == macro.weights(["scb_k3"])


def test_random_networks_of_spaces(study, monkeypatch):
    found = study("--space", "3", "--spaces", "snn-1,snn-3", "--offered", "skip,srb_k3")
    assert [(row["space"], row["networks"]) for row in found["spaces"]] == [
        ("snn-1", 3), ("snn-3", 3)]
    own = [row for row in found["networks"] if row["space"] == "snn-1"]
    assert len({row["blocks"] for row in own}) == 3 and "M" in own[0]["blocks"]
    assert all(row["blocks"].replace(" M", "").count(" ") == 4 for row in own)
    three = [row for row in found["networks"] if row["space"] == "snn-3"]
    assert all(row["blocks"].count(" ") == 7 for row in three)
    assert found["spaces"][0]["accuracy"] == pytest.approx(
        np.mean([row["accuracy"] for row in own]))
    monkeypatch.setattr(trials, "trained", never)
    assert study("--space", "2", "--spaces", "snn-1", "--offered", "skip,srb_k3")["measured"] == 0


def test_one_super_network_and_many_lambdas(study, monkeypatch):
    argv = ("--lambdas=-0.16,0", "--super-epochs", "2", "--population", "4", "--rounds", "2",
            "--calibrate", "8")
    found = study(*argv)
    assert [row["lambda"] for row in found["lambdas"]] == [0.0, -0.16]
    assert found["average_spikes"] > 0
    assert found["measured"] == 1 + found["tried"] <= 1 + 2 * 8
    for row in found["lambdas"]:
        assert row["evaluations"] == 8 and row["fitness"] == pytest.approx(fitness.fitness(
            row["accuracy"], row["spikes/image"], found["average_spikes"], row["lambda"]))
    front = [(row["spikes/image"], row["accuracy"]) for row in found["front"]]
    assert front == sorted(front) and len({a for _, a in front}) == len(front)
    monkeypatch.setattr(fronts, "judged", never)
    monkeypatch.setattr(fronts, "_trained", never)
    more = study(*argv, "--train", "--seeds", "2")
    assert 1 <= more["measured"] // 2 <= 2 and more["measured"] % 2 == 0
    for row in more["lambdas"]:
        assert 0 <= row["accuracy alone"] <= 1 and row["sd"] is not None
    assert [row["blocks"] for row in more["lambdas"]] == [row["blocks"] for row in found["lambdas"]]


def test_evolution_finds_what_each_lambda_rewards():
    """Accuracy by residual blocks, spikes by all that is no skip: known best networks."""
    space = BlockSpace(("skip", "scb_k3", "srb_k3"), Macro())

    def judge(networks):
        return [{"accuracy": 0.5 + 0.08 * blocks.count("srb_k3"),
                 "spikes": 100.0 + 1000 * (5 - blocks.count("skip"))} for blocks in networks]

    for exponent, best in ((0.0, ("srb_k3",) * 5), (-2.0, ("skip",) * 5)):
        own = fronts.evolved(space, exponent, 1000.0, judge, 10, 12)
        assert len(own) == 120
        assert max(own, key=lambda blocks: fitness.fitness(
            own[blocks]["accuracy"], own[blocks]["spikes"], 1000.0, exponent)) == best


def test_the_front_is_what_no_other_beats():
    items = {("a",): (3, 0.5), ("b",): (1, 0.2), ("c",): (2, 0.2), ("d",): (4, 0.4),
             ("e",): (3, 0.6), ("f",): (1, 0.1)}
    tried = {name: {"spikes": spikes, "accuracy": accuracy}
             for name, (spikes, accuracy) in items.items()}
    assert [name for name, _ in fronts.pareto(tried)] == [("b",), ("e",)]


def test_paired_intervals_are_students():
    """By hand: differences 1, 2 and 3 have a mean of 2 and t(0.975, 2) = 4.3027 of 1/sqrt(3)."""
    mean, low, high = trials.paired([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    half = 4.30265 / math.sqrt(3)
    assert (mean, low, high) == pytest.approx((2, 2 - half, 2 + half), rel=1e-5)
    assert trials.paired([2.0, None], [1.0, 5.0]) == (1.0, None, None)
    assert trials.paired([None], [1.0]) == (None, None, None)


def test_networks_that_are_drawn_differ_and_are_the_same_each_time():
    macro = Macro(stages=(1, 1))
    every = spaces.draw(macro, ("skip", "srb_k3"), 4)
    assert len(set(every)) == 4 and spaces.draw(macro, ("skip", "srb_k3"), 4) == every
    assert spaces.draw(macro, ("skip", "srb_k3"), 2) == every[:2]


def test_histograms_and_named_dots(tmp_path):
    panels = [Histogram("accuracy", "share", (("one", (0.1, 0.2, 0.2)), ("other", (0.9,))),
                        percent=True, y_label="networks"),
              Histogram("all alike", "spikes", (("one", (5.0, 5.0)),), y_label="networks"),
              Scatter("front", "spikes", (Dots("found", (1.0, 2.0), (0.1, 0.2), ("-0.08", "0"),
                                               joined=True),), y_label="accuracy")]
    svg = draw(panels, "a title", "", tmp_path / "all")[0].read_text()
    for words in ("accuracy", "networks", "one", "other", "-0.08", "80%"):
        assert f"<!-- {words} -->" in svg, words


@pytest.mark.parametrize("argv, words", [
    (("--varied", "size"), "--varied must be of global-pooling, down-sampling, block, lambda_reg"),
    (("--networks", "snn-9"), "--networks: unknown network of blocks 'snn-9'"),
    (("--blocks", "scb_k9"), "--blocks: unknown block 'scb_k9'"),
    (("--blocks", "scb_k3,scb_k3"), "--blocks must be different blocks"),
    (("--regularisers", "-0.1"), "--regularisers must be different numbers above 0, not '-0.1'"),
    (("--regularisers", "much"), "--regularisers must be different numbers above 0"),
    (("--seeds", "0"), "--seeds must be in 1..100, not 0"),
    (("--channels", "0"), "study.channels must be in 1..4096, not 0"),
    (("--data", "temporal"), "--data must be a data set of images, not the events"),
    (("--learning-rate", "0"), "study.learning_rate must be"),
    (("--space", "0"), "--space must be in 1..10,000 networks, not 0"),
    (("--space", "33", "--offered", "skip,srb_k3"), "--space must be at most 32, the networks of"),
    (("--space", "2", "--spaces", "snn-9"), "--spaces: unknown network of blocks 'snn-9'"),
    (("--space", "2", "--lambdas"), "--space and --lambdas must be asked for one at a time"),
    (("--lambdas=0.08",), "--lambdas must be a finite number at most 0"),
    (("--lambdas=0,0",), "--lambdas must be different numbers, not '0,0'"),
    (("--lambdas=x",), "--lambdas must be different numbers, not 'x'"),
    (("--lambdas", "--population", "1"), "--population must be in 2..1,024, not 1"),
    (("--lambdas", "--calibrate", "100000"), "--calibrate must be in 0.."),
    (("--lambdas", "--offered", "srb"), "--offered: unknown block 'srb'")])
def test_what_is_wrong_is_one_line(argv, words, tmp_path, capsys):
    assert cli.main(["study", "autosnn", "--run", str(tmp_path), *TINY, *argv]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
