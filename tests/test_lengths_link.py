"""Run-time bitstream lengths from the command line and over the link."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import cli
from spikeloom.flow.errors import ConfigError
from spikeloom.flow.lower import core, design_hash
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.hdl import protocol
from spikeloom.hdl.protocol import Command, Features, Status
from spikeloom.hdl.top import Top
from spikeloom.hdl.uart import MIN_DIVISOR
from spikeloom.sim import reference
from spikeloom.sim.host import Device
from spikeloom.sim.simulated import SimTransport

MOST = 2


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(9)
    opened = Run.create(tmp_path / "run")
    graph = random_graph(rng, sizes=(12, 6, 3), num_steps=3)
    replace(graph, max_shift=MOST).save(opened.graph_file)
    opened.save_samples(rng.integers(0, 256, (5, 12)), rng.integers(0, 3, 5))
    return opened


def sim(run, capsys, level, shift):
    argv = ["sim", "--run", str(run.path), "--level", level, "--shift", str(shift), "--json"]
    code = cli.main([*argv, "--count", "3"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else said.err


def test_the_ladder_at_a_run_time_length(run, capsys):
    wanted = [sim(run, capsys, "reference", shift)[1] for shift in range(4)]
    assert [data["shift"] for data in wanted] == [0, 1, 2, 3]
    clocks = [data["expected_cycles"] for data in wanted]
    assert clocks == sorted(clocks, reverse=True) and clocks[0] > clocks[-1]
    code, data = sim(run, capsys, "amaranth", 1)
    assert code == 0 and data["images_equal"] == 3 and data["cycles"] == clocks[1]


def test_rtl_takes_the_length_over_its_link(run, capsys):
    code, data = sim(run, capsys, "rtl", MOST)
    assert code == 0 and data["images_equal"] == 3 and data["first"] is None
    assert "current" in data["sees"]


def test_a_shift_beyond_what_is_compiled_is_refused_before_anything_runs(run, capsys):
    for level in ("amaranth", "rtl"):
        code, said = sim(run, capsys, level, MOST + 1)
        assert code == 2 and "--shift must be in 0..2 at --level" in said
        assert "synth --max-shift" in said
    code, said = sim(run, capsys, "reference", 4)
    assert code == 2 and "shift must be at most 3 with a bitstream_length of 8, not 4" in said


def test_infer_at_every_length(run, capsys):
    classes = []
    for shift in range(MOST + 1):
        argv = ["infer", "--sim", "--run", str(run.path), "--count", "2"]
        argv += ["--length", "2"] if shift == MOST else ["--shift", str(shift)]
        assert cli.main([*argv, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["equal"] == data["count"] == 2
        classes.append([image["scores"] for image in data["images"]])
    assert classes[0] != classes[MOST]
    assert cli.main(["infer", "--sim", "--run", str(run.path), "--length", "5"]) == 2
    assert "must be one of 8, 4, 2, 1 for this network, not 5" in capsys.readouterr().err


def test_a_length_that_is_not_compiled_gets_an_error_code_and_the_next_frame_is_served(run):
    graph = compile_graph(run.graph())
    top = Top(core(graph), design_hash(graph), divisor=MIN_DIVISOR, silence_bits=6,
              features=Features(max_shift=MOST))
    found = Device(SimTransport(top, timeout=0.01), expect=design_hash(graph))
    p8, _ = run.samples()
    assert found.info().features.max_shift == MOST
    found.set_shift(1)
    with pytest.raises(ConfigError, match=r"must be in 0\.\.2, for which the device was compiled"):
        found.set_shift(MOST + 1)
    for number in (MOST + 1, 16, 1 << 15):
        request = protocol.frame(protocol.SYNC_REQUEST, Command.SHIFT, struct.pack("<H", number))
        found.transport.write(request)
        head = found.transport.read(4, 0.01)
        found.transport.read(2, 0.01)
        assert head[0] == protocol.SYNC_REPLY and head[1] == Status.REFUSED
        got, wanted = found.infer(p8[0]), reference.run(graph, p8[:1], shift=1)  # as it was
        assert list(got.scores) == wanted.scores[0].tolist()
    found.restore()
    assert list(found.infer(p8[0]).scores) == reference.run(graph, p8[:1]).scores[0].tolist()


def test_synth_refuses_what_the_network_does_not_allow_and_keeps_the_network(run, capsys):
    before = run.graph_file.read_bytes()
    assert cli.main(["synth", "--run", str(run.path), "--max-shift", "4"]) == 2
    assert "max_shift must be at most 3" in capsys.readouterr().err
    assert cli.main(["synth", "--run", str(run.path), "--max-shift", "-1"]) == 2
    assert "max_shift must be an integer in 0..15, not -1" in capsys.readouterr().err
    assert cli.main(["synth", "--run", str(run.path), "--max-shift", "2",
                     "--lowering", "folded"]) == 2
    assert "max_shift must be 0 with the lowering 'folded'" in capsys.readouterr().err
    assert cli.main(["synth", "--run", str(run.path), "--max-shift", "1",
                     "--target-ips", "1e11"]) == 2
    assert "--target-ips must be at most" in capsys.readouterr().err
    assert run.graph_file.read_bytes() == before
