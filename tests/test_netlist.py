"""The fewest cells of a netlist, on netlists that are written down and on one that is measured."""

import json

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import build, targets
from spikeloom.flow.lower import top
from spikeloom.flow.netlist import count_cells, floor
from spikeloom.flow.passes.compile import compile_graph


def netlist(*cells, outputs=()):
    """Cells as (type, {port: bit}); O, CO and Q are outputs."""
    return json.dumps({"modules": {"top": {
        "ports": {"o": {"direction": "output", "bits": list(outputs)}},
        "cells": {str(index): {
            "type": kind,
            "port_directions": {port: "output" if port in ("O", "CO", "Q") else "input"
                                for port in ports},
            "connections": {port: [bit] for port, bit in ports.items()}}
            for index, (kind, ports) in enumerate(cells)}}}}).encode()


def lut(o, i0="0", i1="0", i2="0", i3="0"):
    return "SB_LUT4", {"O": o, "I0": i0, "I1": i1, "I2": i2, "I3": i3}


def carry(i0, i1, co=90, ci="0"):
    return "SB_CARRY", {"I0": i0, "I1": i1, "CI": ci, "CO": co}


def ff(d, q=80, kind="SB_DFFESR"):
    return kind, {"D": d, "Q": q, "C": 1}


@pytest.mark.parametrize("cells, lc", [
    ([lut(10), lut(11)], 2),
    ([lut(10), ff(10)], 1),                               # the LUT's own flip-flop
    ([lut(10), ff(10), ff(10, kind="SB_DFF")], 3),        # one output cannot be both
    ([lut(10), ff(10), lut(11, i2=10)], 3),               # needed before and after the flip-flop
    ([ff(20), ff("1")], 2),                               # no LUT
    ([lut(10, i1=2, i2=3), carry(2, 3)], 1),              # an adder's bit
    ([lut(10, i1=3, i2=2), carry(2, 3)], 1),
    ([lut(10, i0=2, i3=3), carry(2, 3)], 2),              # on other inputs
    ([lut(10, i1=2, i2=3), carry(2, 3), carry(2, 3)], 2),  # one carry in a cell
    ([lut(10, i1=2, i2=3), carry(2, "1")], 1),            # perhaps
    ([lut(10, i1=4, i2=3), carry(2, "1")], 2),
    ([carry("0", "1")], 0),                               # perhaps with any
    ([lut(10, i1=2, i2=3), carry(2, 3), ff(10)], 1),      # all three
])
def test_logic_cells_that_there_must_be(cells, lc):
    assert floor(netlist(*cells)) == {"lc": lc, "ebr": 0, "spram": 0, "dsp": 0}


def test_an_output_of_the_design_is_a_use():
    assert floor(netlist(lut(10), ff(10), outputs=[10]))["lc"] == 2
    assert floor(netlist(lut(10), ff(10), outputs=[80]))["lc"] == 1


def test_blocks_are_exact():
    kinds = ["SB_RAM40_4K", "SB_RAM40_4KNRNW", "SB_MAC16", "SB_SPRAM256KA", "SB_IO", "SB_GB"]
    assert floor(netlist(*((kind, {}) for kind in kinds))) == {
        "lc": 0, "ebr": 2, "spram": 1, "dsp": 1}


def test_cells_are_counted_by_type():
    cells = (b'{"creator":"x","modules":{"top":{"cells":{"a":{"type":"SB_LUT4"},"b":{"type":'
             b'"SB_DFFE"},"c":{"type":"SB_LUT4"}}},"SB_LUT4":{"cells":{"d":{"type":"x"}}}}}')
    assert count_cells(cells) == {"SB_LUT4": 2, "SB_DFFE": 1}


@pytest.mark.parametrize("lowering", ["spatial", "folded"])
def test_place_and_route_counts_no_fewer(lowering):
    graph = compile_graph(random_graph(np.random.default_rng(3)).replace(
        fc1={"lowering": lowering}, fc2={"lowering": lowering}))
    board = targets.board("icebreaker")
    design = {"board": board, "design": graph.digest()}
    fewest = floor(build.netlist(top(graph, board.divisor), **design))
    used = build.build(top(graph, board.divisor), **design).used
    assert used["lc"] * 0.9 < fewest["lc"] <= used["lc"]
    assert fewest | {"lc": 0} == used | {"lc": 0}
