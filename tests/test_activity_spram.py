"""Actions and energy of a network whose weights are loaded, which no inference pays for."""

import json

import msgspec
import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import activity, fold, targets
from spikeloom.flow.cli import main
from spikeloom.flow.cost.actions import read_actions, write_actions
from spikeloom.flow.cost.prices import shipped
from spikeloom.flow.errors import FitError, ToolError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.folding import Seen, run_clocks
from spikeloom.flow.run import Run
from spikeloom.flow.weights_image import sections
from spikeloom.sim import activity as simulated
from spikeloom.sim import preset, reference
from spikeloom.sim.flat_netlist import Cell
from spikeloom.sim.single_port import SinglePort

BOARD = targets.board("icebreaker")
#: Dark, in between, and as bright as can be.
IMAGES = np.stack([np.zeros(40), np.arange(40) * 6, np.full(40, 255)]).astype(np.uint8)


@pytest.fixture(scope="module")
def graph():
    chain = random_graph(np.random.default_rng(3), sizes=(40, 12, 4), num_steps=2,
                         lowerings=["folded"] * 2, lanes=[7, 4], memory="spram")
    return compile_graph(chain)


@pytest.fixture(scope="module")
def found(graph):
    return simulated.count(graph, IMAGES, BOARD)


def test_each_addition_reads_each_spram_of_a_row_once(graph, found):
    section, = sections(graph)
    assert section.shape.columns == 2 and section.shape.banks == 1
    trace = reference.run(graph, IMAGES, trace=True)
    for number, image in enumerate(found.images):
        seen = Seen(IMAGES[number], [spikes[:, number] for spikes in trace.spikes])
        adding = run_clocks(graph, fold.runs(graph)[0], seen).adding.sum()
        assert sum(image.compute.spram_reads.values()) == 2 * adding
        assert not image.compute.spram_writes and not image.transfer.spram_reads
    assert found.images[0].compute.spram_reads == {}
    assert found.images[2].compute.spram_reads.keys() == {"run1"}
    assert found.cells["SB_SPRAM256KA"] == 2 and found.groups["run1"] == "compute"
    # a loader that has nothing to do is still
    assert found.idle.toggles["link"] > 0.95 * sum(found.idle.toggles.values())


def test_weights_that_were_put_there_are_those_that_are_loaded(graph, monkeypatch):
    """Nothing that is counted tells one from the other."""
    sent = []
    load = preset.Device.load
    monkeypatch.setattr(preset.Device, "load", lambda self, image, *rest: (
        sent.append(len(image)), load(self, image, *rest)))
    put = simulated.count(graph, IMAGES[1:2], BOARD)
    monkeypatch.setattr(preset, "_bits", lambda module: [])
    assert simulated.count(graph, IMAGES[1:2], BOARD) == put
    short, whole = sent
    assert short == 256 + 16 + 4 < whole == 16 + 2 * sections(graph)[0].shape.words + 4


def test_reads_of_spram_are_priced_apart(found):
    prices = shipped().of("UP5K")
    whole = activity.priced(found, prices, divisor=104).split
    span = whole.total("compute")
    assert span.low < span.high
    reads = sum(sum(image.compute.spram_reads.values()) for image in found.images) / 3
    memory = whole.compute["spram"]
    assert memory.low == 0 and memory.high == pytest.approx(86e-3 * reads)
    free = msgspec.structs.replace(prices.spram_read, high=0.0)
    cheap = activity.priced(found, msgspec.structs.replace(prices, spram_read=free), divisor=104)
    assert span.high - cheap.split.total("compute").high == pytest.approx(memory.high)


def test_estimate_tells_them(graph, found, tmp_path, capsys, monkeypatch):
    run = Run.create(tmp_path / "run")
    graph.save(run.graph_file)
    run.save_samples(IMAGES, np.zeros(3, np.int64))
    monkeypatch.setattr(simulated, "count", lambda *_, **__: found)
    assert main(["estimate", "--run", str(run.path), "--images", "3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["activity"]
    assert data["nj"]["compute"]["spram"][1] > 0 and data["nj"]["transfer"]["spram"] == [0, 0]
    assert main(["estimate", "--run", str(run.path), "--activity"]) == 0
    out = capsys.readouterr().out
    assert "spram" in out and "block memory and SPRAM, of which no figure" in out
    currents = tmp_path / "mine.toml"
    currents.write_text("volts = 1.2\n[idle]\nma = 0.7\nmhz = 12\n")
    assert main(["estimate", "--run", str(run.path), "--measured", str(currents), "--json"]) == 0
    fitted = json.loads(capsys.readouterr().out)["activity"]
    assert 0 < fitted["nj"]["compute"]["spram"][1] <= data["nj"]["compute"]["spram"][1]
    assert read_actions(activity.actions_file(run, BOARD)) == found


def test_actions_of_a_version_without_spram_are_read(found, tmp_path):
    path = tmp_path / "actions.json"
    write_actions(found, path)
    data = json.loads(path.read_text())
    for phase in (data["waiting"], data["idle"],
                  *(image[key] for image in data["images"] for key in ("transfer", "compute"))):
        del phase["spram_reads"], phase["spram_writes"]
    path.write_text(json.dumps(data))
    older = read_actions(path)
    assert older.images[1].compute.spram_reads == {}
    assert older.images[1].compute.toggles == found.images[1].compute.toggles


def test_a_board_without_sprams_is_refused(graph):
    with pytest.raises(FitError, match="2 SPRAMs do not fit"):
        simulated.count(graph, IMAGES[:1], targets.board("ice40_hx8k_b_evn"))


def cell(**changes):
    nets = iter(range(2, 100))
    ports = {"ADDRESS": 14, "DATAIN": 16, "MASKWREN": 4, "WREN": 1, "CHIPSELECT": 1, "CLOCK": 1,
             "DATAOUT": 16}
    return Cell("SB_SPRAM256KA", {
        **{port: [next(nets) for _ in range(width)] for port, width in ports.items()},
        "STANDBY": ["0"], "SLEEP": ["0"], "POWEROFF": ["1"], **changes})


def test_a_single_port_memory_reads_and_writes_nibbles():
    memory = SinglePort("ram", cell())
    levels = bytearray(100)

    def clock(address, data, mask, write, select=1):
        for nets, value in ((memory.address, address), (memory.data, data), (memory.mask, mask)):
            for k, net in enumerate(nets):
                levels[net] = value >> k & 1
        levels[memory.write], levels[memory.select] = write, select
        out = dict(memory.clock(levels))
        return sum(out[net] << k for k, net in enumerate(memory.out)) if out else None

    assert clock(16383, 0xABCD, 0b1111, 1) is None
    assert clock(16383, 0x1234, 0b0101, 1) is None
    assert clock(16383, 0x5678, 0b1111, 1, select=0) is None
    assert clock(16383, 0, 0, 0) == 0xA2C4 and clock(1, 0, 0, 0) == 0
    assert clock(16383, 0, 0, 0, select=0) is None
    assert (memory.reads, memory.writes) == (2, 2)


def test_a_memory_that_may_sleep_is_refused():
    with pytest.raises(ToolError, match="ram: SLEEP must be 0"):
        SinglePort("ram", cell(SLEEP=[40]))
