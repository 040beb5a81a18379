"""The lowering chosen to fit, on builds that are made up."""

import numpy as np
import pytest
from amaranth.hdl import Fragment
from networks import random_graph

from spikeloom.boards import BOARDS
from spikeloom.flow import fit
from spikeloom.flow.errors import FitError
from spikeloom.flow.lower import top
from spikeloom.flow.run import Run
from spikeloom.nas.figures import boards


class Built:
    """A report as `build_graph` gives it."""

    clock_mhz, needed_mhz, ebr, fmax_mhz = 12.0, 12.0, 3, 20.0

    def __init__(self, lc, capacity):
        self.lc, self.fits, self.meets_clock = lc, lc <= capacity, lc != 999
        self.problem = "" if self.fits else f"{lc:,} LCs do not fit"


@pytest.fixture
def sizes(monkeypatch):
    """What each choice takes, against the LCs there are."""
    def use(capacity, **lcs):
        def build(graph, board, *, must_fit, note):
            assert not must_fit and graph.stage == "scheduled"
            layer, _ = graph.layers[0]
            return Built(lcs[f"{layer.lowering}{layer.lanes or ''}"], capacity)
        monkeypatch.setattr(fit, "build_graph", build)
    return use


@pytest.fixture
def graph():
    return random_graph(np.random.default_rng(3))  # 12-7-4


def test_the_first_that_fits_is_taken(sizes, graph):
    sizes(1280, spatial=1281, folded7=1280, folded1=100)
    found = fit.fit(graph, BOARDS["icestick"])
    assert found.choice == "folded, 32 lanes" and found.report.lc == 1280
    assert found.tried == {"spatial": "1,281 LCs do not fit"}
    assert [layer.lanes for layer, _ in found.graph.layers] == [7, 4]
    assert boards.line("icestick", found) == (
        "icestick folded, 32 lanes, 1,280 LCs, 3 EBRs, 20.0 MHz (12 needed)")
    sizes(5280, spatial=1281)
    assert fit.fit(graph, BOARDS["icebreaker"]).tried == {}


def test_what_misses_the_clock_is_not_taken(sizes, graph):
    sizes(5280, spatial=999, folded7=800)
    found = fit.fit(graph, BOARDS["icebreaker"])
    assert found.choice == "folded, 32 lanes"
    assert found.tried == {"spatial": "20.0 MHz misses the board's 12 MHz"}


def test_a_board_that_nothing_fits_says_why(sizes, graph):
    sizes(10, spatial=40, folded7=30, folded4=25, folded1=20)
    found = fit.fit(graph, BOARDS["icestick"])
    assert found.report is None and list(found.tried) == [
        "spatial", "folded, 32 lanes", "folded, 4 lanes", "folded, 1 lane"]
    with pytest.raises(FitError, match="icestick: spatial: 40 LCs do not fit; folded, 32"):
        fit.must_fit(graph, BOARDS["icestick"])
    assert "folded, 1 lane: 20 LCs do not fit" in boards.line("icestick", found)


def test_a_memory_that_was_kept_is_no_obstacle(graph):
    kept = fit.lowered(graph.replace(fc1={"lowering": "folded", "memory": "lut"},
                                     fc2={"lowering": "folded", "memory": "lut"}), "folded", 2)
    spatial = fit.lowered(kept, "spatial", None)
    assert [layer.memory for layer, _ in spatial.layers] == [None, None]
    assert [layer.memory for layer, _ in fit.lowered(kept, "folded", 4).layers] == ["lut", "lut"]


def test_the_choice_is_kept_in_the_run(sizes, graph, tmp_path):
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    sizes(1280, spatial=1281, folded7=1280)
    found = fit.must_fit(opened.graph(), BOARDS["icestick"])
    opened.keep(found.graph)
    assert opened.graph().digest() == found.graph.digest() != graph.digest()
    sizes(1280, spatial=1280)  # a larger board later
    assert fit.must_fit(opened.graph(), BOARDS["icebreaker"]).choice == "spatial"


@pytest.mark.parametrize("choice", fit.CHOICES)
def test_every_choice_can_be_lowered(graph, choice):
    lowered = fit.lowered(graph, *choice)
    assert {layer.lowering for layer, _ in lowered.layers} == {choice[0]}
    assert fit.lowered(lowered, "spatial", None).digest() == fit.lowered(
        graph, "spatial", None).digest()
    Fragment.get(top(lowered), None)
