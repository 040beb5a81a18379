"""Toggles of netlists in Python: against counts by hand, and against Icarus."""

import re
import shutil
import subprocess
from collections import Counter

import pytest

from spikeloom.flow import tools
from spikeloom.flow.errors import ToolError
from spikeloom.sim.cells import KINDS, Circuit
from spikeloom.sim.flat_netlist import read_netlist
from spikeloom.sim.netlist import DEFINES

COUNTER = """
module top(input clk, output [3:0] q);
  reg [3:0] n = 0;
  always @(posedge clk) n <= n + 1;
  assign q = n;
endmodule"""

#: A memory of words that are narrower than an EBR's, which is written and read; an enable, a reset.
MEMORY = """
module top(input clk, output reg [7:0] q, output reg [4:0] some);
  reg [8:0] n = 0;
  reg [7:0] words [0:511];
  integer k;
  initial for (k = 0; k < 512; k = k + 1) words[k] = k * 37;
  always @(posedge clk) begin
    n <= n + 5;
    if (n[1]) q <= words[n];
    if (n[0]) words[n ^ 9'd3] <= n[8:1] ^ {n[3:0], some[3:0]};
    if (n[2]) some <= n[3] ? 5'd0 : some + 3;
  end
endmodule"""


def netlist(source):
    return tools.yosys("top.v", source, "read_verilog top.v\nsynth_ice40 -top top\n"
                       "write_json top.json\n", "top.json", what="synthesise a test")


def run(data, clocks):
    circuit = Circuit(read_netlist(data))
    for _ in range(clocks):
        circuit.tick()
    return circuit


def test_the_toggles_of_a_counter_are_those_counted_by_hand():
    """In 16 clocks bit k of a counter changes 16 >> k times; so do the sums behind them."""
    circuit = run(netlist(COUNTER), 16)
    (toggles,) = circuit.seen().toggles
    counted = dict(zip(KINDS, toggles, strict=True))
    assert counted["ff"] == 16 + 8 + 4 + 2
    # after 16 clocks the next state, which LUTs make, has changed as often as the state
    assert counted["lut"] == counted["ff"] and counted["ram"] == counted["pin"] == 0
    assert circuit.flip_flops == [4] and circuit.seen().enabled == [64]
    assert circuit.seen().clock == 16


def test_an_enable_stops_the_clock_of_its_flip_flops_and_a_gate_counts_the_reads():
    circuit = run(netlist(MEMORY), 512)
    seen = circuit.seen()
    # n steps through all 512 values: n[1] and n[0] are high in half of the clocks
    assert (seen.reads, seen.writes) == ([256], [256])
    gated = circuit.flip_flops[0] - 9
    assert 0 < gated < 16 and seen.enabled == [9 * 512 + gated * 256]


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="iverilog is missing")
@pytest.mark.parametrize("source", [COUNTER, MEMORY])
def test_every_net_toggles_as_often_as_in_icarus(source, tmp_path):
    """From the 40th clock on: before, what has never been read is unknown in Icarus."""
    clocks, data = 300, netlist(source)
    (tmp_path / "top.v").write_text(tools.netlist_verilog(data))
    (tmp_path / "bench.v").write_text(
        "`timescale 1ns/1ps\nmodule bench; reg clk = 0; top dut(.clk(clk));\n"
        "initial begin #1 repeat (40) begin #5 clk = 1; #5 clk = 0; end\n"
        '$dumpfile("t.vcd"); $dumpvars(1, dut);\n'
        f"repeat ({clocks}) begin #5 clk = 1; #5 clk = 0; end $finish; end endmodule\n")
    files = [str(tools.ice40_cells()), str(tmp_path / "top.v"), str(tmp_path / "bench.v")]
    subprocess.run(["iverilog", *(f"-D{name}" for name in DEFINES), "-s", "bench", "-o",
                    str(tmp_path / "t.vvp"), *files], check=True)
    subprocess.run(["vvp", "-n", str(tmp_path / "t.vvp")], check=True, cwd=tmp_path,
                   capture_output=True)
    icarus = _toggles(tmp_path / "t.vcd")
    module = read_netlist(data)
    circuit = run(data, 40)
    before, mine = bytes(circuit.values), Counter()
    for _ in range(clocks):
        circuit.tick()
        mine.update(net for net, (a, b) in enumerate(zip(before, circuit.values, strict=True))
                    if a != b)
        before = bytes(circuit.values)
    clock = module.ports["clk"].bits[0]
    named = {(name, k): bit for name, net in module.netnames.items()
             for k, bit in enumerate(net.bits) if isinstance(bit, int) and bit != clock}
    shared = {key: bit for key, bit in named.items() if key in icarus}
    assert len(set(shared.values())) >= 0.9 * len(set(named.values()))
    assert {key: icarus[key] for key in shared} == {key: mine[bit] for key, bit in shared.items()}
    assert sum(mine[bit] for bit in set(shared.values())) > clocks


def _toggles(vcd):
    """Toggles of each bit of each name in a VCD, the first value not counted."""
    widths, names, last, found = {}, {}, {}, Counter()
    for line in vcd.read_text().splitlines():
        if declared := re.match(r"\$var \w+ (\d+) (\S+) \\?(\S+)( \[\d+:\d+\])? \$end", line):
            widths[declared[2]] = int(declared[1])
            names.setdefault(declared[2], []).append(declared[3])
        elif change := re.match(r"b(\S+) (\S+)$|([01xz])(\S+)$", line):
            text, code = (change[1], change[2]) if change[1] else (change[3], change[4])
            bits = text.rjust(widths[code], text[0] if text[0] in "xz" else "0")[::-1]
            for k, (old, new) in enumerate(zip(last.get(code, bits), bits, strict=True)):
                for name in names[code]:
                    found[name, k] += old != new
            last[code] = bits
    return found


def test_what_has_no_model_is_refused_by_name():
    latch = netlist("module top(input e, input d, output q); assign q = e ? d : q; endmodule")
    with pytest.raises(ToolError, match="combinational loop"):
        Circuit(read_netlist(latch))
    falling = netlist("module top(input c, input d, output reg q);"
                      "always @(negedge c) q <= d; endmodule")
    with pytest.raises(ToolError, match="SB_DFFN have no model here"):
        Circuit(read_netlist(falling))
    two = netlist("module top(input a, input b, input d, output reg p, output reg q);"
                  "always @(posedge a) p <= d; always @(posedge b) q <= p; endmodule")
    with pytest.raises(ToolError, match="must have one clock for its activity to be counted"):
        Circuit(read_netlist(two))
