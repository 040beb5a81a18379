"""The Verilog RTL of a design, before synthesis: every current, membrane and spike."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..boards.board import FLASH_PINS, WEIGHTS_AT
from ..flow import ir, tools
from ..flow.lower import top as lower_top
from ..hdl.uart import MIN_DIVISOR
from . import icarus
from .probe import Ports, hierarchical, wrapper
from .reference import Trace


def simulate(graph: ir.Graph, images: np.ndarray, folder: Path, *, waves: bool = False,
             shift: int = 0, power_lost: Sequence[int] = (), note=None) -> tuple[Trace, dict]:
    """Replay images [batch, *input_shape] on the Verilog of a scheduled graph (`icarus.simulate`).

    The UART's divisor is 4 from reset on; weights that are loaded come from a flash. `folder` keeps
    the Verilog. power_lost: after how many clocks the power is lost, again and again, before the
    images.
    """
    icarus.check()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    design = lower_top(graph, divisor=MIN_DIVISOR, weights_at=WEIGHTS_AT)
    source = folder / "top.v"
    source.write_text(tools.amaranth_verilog(design, ports=design.ports, note=note))
    layers = design.core.layers
    bench = folder / "bench.v"
    flash = {pin: f"flash__{pin}" for pin in FLASH_PINS} if hasattr(design, "flash") else None
    ports = Ports(clk="clk", rst="rst", rx="rx", tx="tx", flash=flash, weights_at=WEIGHTS_AT)
    bench.write_text(wrapper(ports, layers, hierarchical))
    return icarus.simulate(graph, images, folder, [source, bench], layers, divisor=MIN_DIVISOR,
                           waves=waves, shift=shift, weights_at=WEIGHTS_AT,
                           power_lost=power_lost)
