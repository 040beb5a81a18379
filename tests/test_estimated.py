"""Estimates by synthesis alone: what is counted, what is refused, and what is said of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import cache, estimated
from spikeloom.flow.cli import main
from spikeloom.flow.errors import ConfigError, ToolError
from spikeloom.flow.estimated import TARGETS, read_cells, synthesise
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run

CELLS = {"artix7": {"LUT2": 3, "LUT6": 4, "INV": 1, "MUXF7": 9, "CARRY4": 2, "FDRE": 5, "FDSE": 1,
                    "RAM32M": 1, "RAMB18E1": 3, "RAMB36E1": 1, "DSP48E1": 1},
         "ecp5": {"LUT4": 7, "PFUMX": 3, "L6MUX21": 1, "CCU2C": 2, "TRELLIS_FF": 6,
                  "TRELLIS_DPR16X4": 1, "DP16KD": 3, "MULT18X18D": 2}}


@pytest.fixture
def graph():
    return random_graph(np.random.default_rng(3), sizes=(6, 4, 3))


@pytest.fixture
def mapped(monkeypatch, tmp_path):
    """Instead of Yosys, cells that are known; how often it was asked."""
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    asked = []

    def run(target, text, yosys, note):
        assert "attribute \\top 1" in text and "module \\core" in text
        asked.append(target.name)
        return estimated._Mapped(CELLS[target.name], 1.5)

    monkeypatch.setattr(estimated, "_map", run)
    return asked


# Yosys reads libraries of Xilinx for longer than all else takes
@pytest.mark.parametrize("name", [pytest.param("artix7", marks=pytest.mark.slow), "ecp5"])
def test_yosys_maps_a_core_and_its_cells_are_counted(name, graph, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    found = synthesise(graph, name)
    flip_flops = sum(count for kind, count in found.cells.items()
                     if kind.startswith(("FD", "TRELLIS_FF")))
    luts = sum(count for kind, count in found.cells.items() if kind.startswith(("LUT", "INV")))
    assert found.ffs == flip_flops > 10 and found.luts >= luts > 10
    assert found.fits and not found.problem and not found.cached and found.seconds > 0
    assert found.design == compile_graph(graph).digest() and "yosys" in found.tool
    assert "not placed and routed" in found.basis and "no clock" in found.basis
    again = synthesise(compile_graph(graph), name)
    assert again.cached and replace_cached(again) == found


def replace_cached(found):
    from msgspec.structs import replace as changed

    return changed(found, cached=False)


@pytest.mark.parametrize("name,used", [
    ("artix7", {"luts": 12, "ffs": 6, "carry": 2, "bram": 3, "dsp": 1}),
    ("ecp5", {"luts": 17, "ffs": 6, "carry": 2, "bram": 3, "dsp": 2})])
def test_what_cells_take_of_a_device(name, used):
    assert TARGETS[name].count(CELLS[name]) == used
    assert TARGETS[name].count({}) == dict.fromkeys(used, 0)
    with pytest.raises(ToolError, match="mapped 2 cells to SB_LUT4, of which spikeloom does not"):
        TARGETS[name].count({"SB_LUT4": 2})


def test_the_result_is_cached_by_design_and_target(graph, mapped):
    first = synthesise(graph, "ecp5")
    assert synthesise(graph, "ecp5").cached and mapped == ["ecp5"]
    assert not synthesise(graph, "artix7").cached
    other = random_graph(np.random.default_rng(4), sizes=(6, 4, 3))
    assert not synthesise(other, "ecp5").cached
    assert not synthesise(graph, "ecp5", use_cache=False).cached
    assert mapped == ["ecp5", "artix7", "ecp5", "ecp5"]
    for file in cache.Cache().path.rglob("mapped.json"):
        file.write_bytes(b"harmed")
    notes = []
    assert replace_cached(synthesise(graph, "ecp5", note=notes.append)) == first
    assert any("is corrupt" in note for note in notes) and len(mapped) == 5


def test_what_does_not_fit_is_an_estimate_that_says_by_how_much(graph, mapped, monkeypatch):
    small = replace(TARGETS["ecp5"], capacity=TARGETS["ecp5"].capacity | {"luts": 15, "bram": 2})
    monkeypatch.setitem(TARGETS, "ecp5", small)
    found = synthesise(graph, "ecp5")
    assert not found.fits
    assert found.problem == ("17 LUT4 do not fit the LFE5U-25F's 15 (2 too many) and 3 EBR do not "
                             "fit the LFE5U-25F's 2 (1 too many)")


def test_statistics_are_read_or_refused():
    text = b'{"design": {"num_cells_by_type": {"LUT4": 2, "$scopeinfo": 3}}}'
    assert read_cells(text) == read_cells(b"\n   " + text) == {"LUT4": 2}
    for bad in (b"", b"{}", b'{"design": {"num_cells_by_type": {"LUT4": "x"}}}', b"\xff{}",
                text[:-5]):
        with pytest.raises(ToolError, match="statistics that cannot be read"):
            read_cells(bad)


def test_an_unknown_target(graph):
    with pytest.raises(ConfigError, match="unknown target 'ecp6'; did you mean 'ecp5'"):
        synthesise(graph, "ecp6")


def test_the_command_prints_it_as_an_estimate(graph, mapped, tmp_path, capsys):
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    argv = ["estimate", "--target", "artix7", "--run", str(opened.path)]
    assert main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["synthesised"]["luts"] == 12 and found["synthesised"]["bram"] == 3
    assert found["synthesised"]["capacity"]["luts"] == 20_800 and not found["assumed"]
    assert found["synthesised"]["source"].endswith("DS180") and found["cycles"] > 0
    assert main(argv) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "ESTIMATE for Xilinx Artix-7 (XC7A35T): synthesised by Yosys, not placed and " in text
    assert "BRAM36" in text and "from the cache" in text and "makes no bitstream" in text
    assert main(["estimate", "--target", "ecp5", "--layers", "6-4-3"]) == 0
    assert "assumed weights" in capsys.readouterr().out


def test_the_command_exits_as_for_a_design_that_does_not_fit(graph, mapped, monkeypatch, capsys):
    small = replace(TARGETS["artix7"], capacity=TARGETS["artix7"].capacity | {"ffs": 5})
    monkeypatch.setitem(TARGETS, "artix7", small)
    assert main(["estimate", "--target", "artix7", "--layers", "6-4-3"]) == 2
    assert "does not fit: 6 flip-flops do not fit the XC7A35T's 5" in capsys.readouterr().out


@pytest.mark.parametrize("argv,text", [
    (["estimate", "--target", "ice40"], "unknown target 'ice40'"),
    (["estimate", "--target", "ecp5", "--activity"], "--target must not be used with --activity"),
    (["estimate", "--target", "ecp5", "--pins", "x"], "--target must not be used with --pins"),
    (["estimate", "--no-cache"], "--no-cache must be used with --target"),
    *((["estimate", "--board", name], f"not '{name}', which is only estimated")
      for name in TARGETS),
    (["synth", "--board", "artix7"], "'spikeloom estimate --target artix7'"),
    (["flash", "--board", "ecp5"], "'spikeloom estimate --target ecp5'"),
])
def test_what_is_refused(argv, text, capsys):
    assert main(argv) == 2
    assert text in capsys.readouterr().err


def test_the_targets_are_those_that_boards_refuse():
    from spikeloom.flow import targets

    assert set(targets.ESTIMATED) == set(TARGETS)
