"""The Verilog RTL of a design, before synthesis: every current, membrane and spike."""

from pathlib import Path

import numpy as np

from ..flow import ir, tools
from ..flow.lower import top as lower_top
from ..hdl.uart import MIN_DIVISOR
from . import icarus
from .probe import Ports, filled, hierarchical, wrapper
from .reference import Trace


def simulate(graph: ir.Graph, images: np.ndarray, folder: Path, *, waves: bool = False,
             shift: int = 0, note=None) -> tuple[Trace, dict]:
    """Replay images [batch, *input_shape] on the Verilog of a scheduled graph (`icarus.simulate`).

    The UART's divisor is 4 from reset on. `folder` keeps the Verilog.
    """
    icarus.check()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    design = lower_top(graph, divisor=MIN_DIVISOR)
    source = folder / "top.v"
    source.write_text(tools.amaranth_verilog(
        design, ports=[design.rx, design.tx, design.busy, design.cls], note=note))
    layers = design.core.layers
    bench = folder / "bench.v"
    bench.write_text(wrapper(Ports(clk="clk", rst="rst", rx="rx", tx="tx"), layers, hierarchical,
                             extra=filled(graph, folder, hierarchical)))
    return icarus.simulate(graph, images, folder, [source, bench], layers, divisor=MIN_DIVISOR,
                           waves=waves, shift=shift)
