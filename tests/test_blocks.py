"""What blocks cost, by Yosys' count."""

import json

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from networks import random_graph

from spikeloom.flow import blocks
from spikeloom.flow.cli import main
from spikeloom.flow.run import Run


class Xor(wiring.Component):
    """One LUT and one flip-flop."""

    def __init__(self):
        super().__init__({"a": In(3), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.a.xor())
        return m


class Pair(wiring.Component):
    """Two of them, and one more flip-flop."""

    def __init__(self):
        super().__init__({"a": In(3), "b": In(3), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.left = left = Xor()
        m.submodules.right = right = Xor()
        held = Signal()
        m.d.comb += [left.a.eq(self.a), right.a.eq(self.b), self.o.eq(held)]
        m.d.sync += held.eq(left.o & right.o)
        return m


def test_blocks_are_counted_with_what_is_in_them():
    pair = Pair()
    found = blocks.count(pair, [pair.a, pair.b, pair.o], flatten=False)
    assert found == {"": blocks.Count(lut4=3, ff=3), "left": blocks.Count(lut4=1, ff=1),
                     "right": blocks.Count(lut4=1, ff=1)}
    flat = Pair()
    assert blocks.count(flat, [flat.a, flat.b, flat.o]) == {"": blocks.Count(lut4=3, ff=3)}


def test_show_blocks_lists_every_part_of_a_design(tmp_path, capsys):
    run = Run.create(tmp_path / "run")
    random_graph(np.random.default_rng(0), sizes=(6, 3, 2)).save(run.graph_file)
    assert main(["show", "blocks", "--run", str(run.path), "--json"]) == 0
    rows = {row["block"]: row for row in json.loads(capsys.readouterr().out)["blocks"]}
    assert {"all", "core.encoder", "core.layer1", "core.layer2", "core.readout", "link",
            "uart"} <= set(rows)
    parts = ("core.encoder", "core.layer1", "core.layer2", "core.readout")
    assert 0 < sum(rows[part]["lut4"] for part in parts) <= rows["core"]["lut4"]
    assert rows["all"]["lut4"] >= rows["core"]["lut4"] + rows["link"]["lut4"]
