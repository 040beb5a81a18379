"""Models of what makes a clock on the chip, for Verilog of a netlist or a bitstream.

Yosys has none (its cells are empty). Clocks are what is compared, not seconds, so each passes on
the clock of the bench (`probe.BENCH`) whatever its frequency; a PLL is locked after a while, until
which the design must be kept in reset.
"""

import re

from .probe import BENCH

#: Clocks of the bench until a PLL is locked.
LOCK_CLOCKS = 50

_CELL = re.compile(r"\bSB_(PLL40_PAD|PLL40_CORE|HFOSC)\b")

_PLL = """
module SIM_PLL40_{kind}(input {pin}, output PLLOUTCORE, output PLLOUTGLOBAL, input EXTFEEDBACK,
    input [7:0] DYNAMICDELAY, output LOCK, input BYPASS, input RESETB, input LATCHINPUTVALUE,
    output SDO, input SDI, input SCLK);
  parameter FEEDBACK_PATH = "", DELAY_ADJUSTMENT_MODE_FEEDBACK = "",
    DELAY_ADJUSTMENT_MODE_RELATIVE = "", SHIFTREG_DIV_MODE = 0, FDA_FEEDBACK = 0, FDA_RELATIVE = 0,
    PLLOUT_SELECT = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0, ENABLE_ICEGATE = 0,
    TEST_MODE = 0, EXTERNAL_DIVIDE_FACTOR = 1;
  integer seen = 0;
  always @(posedge {bench}.clk) if (RESETB && seen < {clocks}) seen <= seen + 1;
  assign LOCK = seen == {clocks}, PLLOUTCORE = {bench}.clk, PLLOUTGLOBAL = {bench}.clk, SDO = 1'b0;
endmodule
"""

_HFOSC = """
module SIM_HFOSC(input CLKHFPU, input CLKHFEN, output CLKHF);
  parameter TRIM_EN = "", CLKHF_DIV = "";
  assign CLKHF = {bench}.clk;
endmodule
"""


def modelled(verilog: str) -> str:
    """The text with its sources of clocks as cells of these models, which follow if it has any."""
    text, count = _CELL.subn(r"SIM_\1", verilog)
    if not count:
        return verilog
    values = {"bench": BENCH, "clocks": LOCK_CLOCKS}
    return text + "".join((_PLL.format(kind="PAD", pin="PACKAGEPIN", **values),
                           _PLL.format(kind="CORE", pin="REFERENCECLK", **values),
                           _HFOSC.format(**values)))
