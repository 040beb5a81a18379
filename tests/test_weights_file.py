"""Weights beside the bitstream: written by synth, checked and programmed by flash, loaded by infer.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from networks import random_images
from pseudo_board import pseudo_board
from test_commands_build import programmer
from test_spram_networks import graph_of

from spikeloom.boards import BOARDS
from spikeloom.flow import build, targets, weights_file
from spikeloom.flow.cli import main
from spikeloom.flow.commands import flash
from spikeloom.flow.errors import ConfigError, ToolError
from spikeloom.flow.lower import design_hash, top
from spikeloom.flow.run import Run
from spikeloom.flow.weights_image import weights_image
from spikeloom.hdl.boot import boot_clocks
from spikeloom.hdl.flash_image import pack, unpack
from spikeloom.hdl.uart import MIN_DIVISOR
from spikeloom.sim import probe, readback, reference, rtl, spi_flash
from spikeloom.sim.compare import ALL, compare
from spikeloom.sim.spi_flash import SpiFlash

BOARD = targets.board("icebreaker")
#: 104,090 bytes of bitstream end below.
AT = 0x20000


def small(seed=3):
    return graph_of((12, 6, 3), lanes=(6, 3), num_steps=2, seed=seed)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A run directory with a network in SPRAM, built for the iCEBreaker."""
    path = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_CACHE", str(path / "cache"))
        run, graph = Run.create(path / "run"), small()
        graph.save(run.graph_file)
        images = random_images(np.random.default_rng(0), graph, 3)
        run.save_samples(images, reference.run(graph, images).classes)
        assert main(["synth", "--run", str(run.path), "--board", "icebreaker", "--json"]) == 0
    return path


@pytest.fixture
def run(built, monkeypatch, tmp_path):
    """A copy of it, to be harmed; the board's programmer only records."""
    monkeypatch.setenv("SPIKELOOM_CACHE", str(built / "cache"))
    monkeypatch.setenv("ICEPROG", programmer(tmp_path / "prog"))
    shutil.copytree(built / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def command(capsys):
    """Run a command line; returns (exit code, stdout, stderr)."""
    def call(*argv):
        code = main([str(arg) for arg in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.strip()
    return call


def test_synth_writes_the_weights_beside_the_bitstream(run):
    graph = small()
    data = (run / "build/icebreaker/weights.bin").read_bytes()
    assert data == weights_file.packed(graph) == pack(weights_image(graph), design_hash(graph))
    assert unpack(data).tolist() == weights_image(graph).tolist()
    report = json.loads((run / "build/icebreaker/report.json").read_text())
    assert report["spram"] == 2


def test_a_build_without_such_weights_leaves_no_old_ones(run):
    folder = run / "build/icebreaker"
    weights_file.write(folder, graph_of((12, 6, 3), lanes=(6, 3), memories=["ebr", "ebr"]))
    assert not (folder / "weights.bin").exists()


def test_flash_writes_the_weights_to_their_place_before_the_bitstream(run, command, monkeypatch):
    folder, called = run / "build/icebreaker", []
    monkeypatch.setattr(flash, "_program", lambda argv, out: called.append(argv[1:]))
    code, out, _ = command("flash", "--run", run)
    assert code == 0 and "weights: " in out and "at 0x20000 of the flash" in out
    assert called == [["-o", "0x20000", str(folder / "weights.bin")], [str(folder / "top.bin")]]
    assert out.index("weights.bin") < out.index("top.bin")


def test_flash_writes_both_as_one_image(run, command):
    folder = run / "build/icebreaker"
    code, out, _ = command("flash", "--run", run, "--one-image", "--json")
    data = json.loads(out)
    assert code == 0 and [argv[1:] for argv in data["commands"]] == [[str(folder / "flash.bin")]]
    whole = (folder / "flash.bin").read_bytes()
    assert whole[:104090] == (folder / "top.bin").read_bytes()
    assert set(whole[104090:AT]) == {0xFF}
    assert whole[AT:] == (folder / "weights.bin").read_bytes()


def _edit(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("harm,message", [
    (lambda path: path.unlink(), "cannot be read"),
    (lambda path: path.write_bytes(b"\x7e\xaa" * 50), "is no image of weights"),
    (lambda path: _edit(path, lambda b: b[:3] + b"\2" + b[4:]), "has another format than"),
    (lambda path: path.write_bytes(weights_file.packed(small(seed=4))), "of another network"),
    (lambda path: _edit(path, lambda b: b[:-1]), "damaged or was cut short"),
    (lambda path: _edit(path, lambda b: b + b"\0"), "damaged or was cut short"),
    (lambda path: _edit(path, lambda b: b[:30] + bytes([b[30] ^ 1]) + b[31:]), "is damaged or"),
], ids=["missing", "other", "version", "network", "truncated", "longer", "changed"])
@pytest.mark.parametrize("arguments", [[], ["--one-image"]], ids=["two", "one"])
def test_flash_refuses_weights_that_are_not_right(run, command, harm, message, arguments, tmp_path):
    harm(run / "build/icebreaker/weights.bin")
    code, out, err = command("flash", "--run", run, *arguments)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert f"run 'spikeloom synth --run {run} --board icebreaker' again" in err
    assert not (tmp_path / "prog.args").exists()


def test_one_image_is_for_flashes_that_take_it_and_networks_that_need_it():
    for name, why in (("icebreaker_bitsy", "takes bitstream and weights one by one"),
                      ("icestick", "is given weights over its link")):
        with pytest.raises(ConfigError, match=why):
            weights_file.one_image(b"", b"", BOARDS[name])


@pytest.mark.parametrize("arguments,message", [
    (["--one-image", "--sram", "--board", "ice40_up5k_b_evn"], "must not be used with --sram")])
def test_flash_refuses_options_that_exclude_each_other(run, command, arguments, message):
    code, _, err = command("flash", "--run", run, *arguments)
    assert code == 2 and message in err


@pytest.mark.parametrize("arguments", [[], ["--load"]], ids=["flash", "link"])
def test_infer_equals_the_reference_with_weights_from_both_places(run, command, arguments):
    code, out, _ = command("infer", "--sim", "--run", run, "--count", 1, "--json", *arguments)
    data = json.loads(out)
    assert code == 0 and (data["count"], data["equal"], data["correct"]) == (1, 1, 1)


def test_infer_says_in_words_why_there_is_no_class(run, command, monkeypatch):
    monkeypatch.setattr(spi_flash, "packed", lambda graph: weights_file.packed(graph)[:-1])
    code, out, err = command("infer", "--sim", "--run", run, "--count", 1)
    assert (code, out) == (1, "") and len(err.splitlines()) == 1
    assert "DAMAGED: the weights that it was given are damaged or were cut short" in err
    assert "'spikeloom flash' writes, 'spikeloom infer --load' sends" in err


def test_load_is_for_networks_that_need_it(run, command):
    graph_of((12, 6, 3), lanes=(6, 3), memories=["lut", "lut"], num_steps=2).save(
        Run.open(run).graph_file)
    code, _, err = command("infer", "--sim", "--run", run, "--load")
    assert code == 2 and "--load must be used with a network of which a layer has" in err


def test_verify_asks_for_the_weights_too(tmp_path):
    graph = small()
    design = top(graph, MIN_DIVISOR, weights_at=0)
    with pseudo_board(design, flash=SpiFlash.of(design, graph)) as port:
        assert readback.readback(graph, BOARD, port) == design_hash(graph).hex()
    design = top(graph, MIN_DIVISOR, weights_at=0)
    with pseudo_board(design, flash=SpiFlash(b"")) as port, pytest.raises(
            readback.LinkError, match=r"not verified: .*MISSING"):
        readback.readback(graph, BOARD, port)


def test_a_board_without_a_flash_is_given_weights_over_the_link(tmp_path, monkeypatch):
    graph = small()
    monkeypatch.setattr(rtl, "WEIGHTS_AT", None)
    images = random_images(np.random.default_rng(0), graph, 1)
    got, figures = rtl.simulate(graph, images, tmp_path)
    assert compare(reference.run(graph, images, trace=True), got, ALL) == []
    assert "load_clocks" not in figures and "flash" not in (tmp_path / "bench.v").read_text()


def test_power_that_is_lost_in_the_middle_of_loading_costs_no_class(tmp_path):
    """In waking the flash, in its command, in the header, in the words, and in the checksum."""
    graph = small()
    images = random_images(np.random.default_rng(0), graph, 2)
    loading = boot_clocks(len(weights_image(graph)))
    lost = (20, 2100, 2250, loading // 2 + 1200, loading - 30)
    got, figures = rtl.simulate(graph, images, tmp_path, power_lost=lost)
    assert compare(reference.run(graph, images, trace=True), got, ALL) == []
    assert figures["load_clocks"] == loading > max(lost)


def test_a_flash_that_is_asked_too_early_ends_the_simulation_with_its_reason(tmp_path, monkeypatch):
    graph = small()
    monkeypatch.setattr(probe, "WAKING", 1e-3)
    with pytest.raises(ToolError, match="flash: it is selected before it is ready for another"):
        rtl.simulate(graph, random_images(np.random.default_rng(0), graph, 1), tmp_path)


#: Pins of the flash by the boards' schematics, which are those of the UP5K's configuration.
PINS = {"cs": "16", "clk": "15", "copi": "14", "cipo": "17"}


@pytest.mark.parametrize("name", [name for name, board in BOARDS.items() if board.device == "UP5K"])
def test_every_board_with_sprams_has_its_flash_on_the_pins_of_its_configuration(name):
    board, graph = BOARDS[name], small()
    plan = build.prepare(top(graph, board.divisor, weights_at=board.weights_at), board, design="d")
    pcf = dict(line.split()[1:3] for line in plan.files[build.CONSTRAINTS].splitlines()
               if line.startswith("set_io"))
    found = {pin.removesuffix("_n"): pcf[port] for pin, port in board.flash_ports.items()}
    assert found == PINS
    assert len(set(pcf.values())) == len(pcf), "a pin has two uses"
    assert board.weights_at >= targets.device("UP5K").bitstream_bytes
    assert board.weights_at % 0x10000 == 0, "programmers erase blocks of 64 kB"


def test_boards_without_sprams_have_no_weights_to_read():
    for board in BOARDS.values():
        assert (board.flash is None) == (targets.device(board.device).spram == 0)
    assert replace(BOARD, flash=None).weights_at is None
