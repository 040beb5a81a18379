"""The Verilog RTL of a design in cocotb and Icarus, driven through its UART pins."""

import json
import shutil
from pathlib import Path

import numpy as np

from ..flow import ir, tools
from ..flow.errors import SpikeloomError, ToolError
from ..flow.lower import top as lower_top
from ..hdl.uart import MIN_DIVISOR
from .images import payload
from .reference import Trace

BENCH = "spikeloom.sim.benches.replay"
CLOCK_NS = 10


def simulate(graph: ir.Graph, images: np.ndarray, folder: Path, *, waves: bool = False,
             currents: bool = False, note=None) -> tuple[Trace, dict]:
    """Replay images [batch, *input_shape] on the Verilog of a scheduled graph; divisor 4.

    Returns the trace in the reference model's form, and figures: `seconds`, `clock_edges`, `fst`
    (path of the waveforms, with `waves`). `folder` keeps the Verilog, the log and the results.
    Raises ToolError if Icarus or cocotb is missing or the simulation fails.
    """
    if shutil.which("iverilog") is None:
        raise ToolError("iverilog is missing, which simulates the RTL; install it with: "
                        "apt-get install iverilog")
    from cocotb_tools.runner import get_runner

    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    design = lower_top(graph, divisor=MIN_DIVISOR)
    source = folder / "top.v"
    source.write_text(tools.amaranth_verilog(
        design, ports=[design.rx, design.tx, design.busy, design.cls], note=note))
    layers = [{"name": f"layer{index}", "neurons": population.size,
               "excess": [cell.excess for cell in design.core.layers[index - 1].cells],
               "fires": graph.fires(index - 1)}
              for index, (_, population) in enumerate(graph.layers, 1)]
    frames = [np.frombuffer(payload(graph, image), np.uint8) for image in images]
    np.savez(folder / "images.npz", images=np.stack(frames))
    results = folder / "results.npz"
    results.unlink(missing_ok=True)
    job = {"layers": layers, "num_steps": graph.num_steps, "classes": graph.readout.size,
           "divisor": MIN_DIVISOR, "clock_ns": CLOCK_NS, "currents": currents}
    (folder / "job.json").write_text(json.dumps(job))
    runner = get_runner("icarus")
    log = folder / "icarus.log"
    environment = {"SPIKELOOM_REPLAY": str(folder), "COCOTB_ANSI_OUTPUT": "0"}
    try:
        runner.build(sources=[source], hdl_toplevel="top", build_dir=folder / "icarus",
                     timescale=("1ns", "1ps"), always=True, waves=waves, log_file=log)
        runner.test(hdl_toplevel="top", test_module=BENCH, build_dir=folder / "icarus",
                    test_dir=folder, extra_env=environment, waves=waves, log_file=log,
                    results_xml=str(folder / "results.xml"), timescale=("1ns", "1ps"))
    except (SystemExit, RuntimeError, OSError) as error:
        raise ToolError(f"the simulation failed ({error}); its log is {log}") from error
    if not results.exists():
        raise ToolError(f"the simulation wrote no results; its log is {log}")
    with np.load(results, allow_pickle=False) as data:
        trace = Trace(
            scores=data["scores"], classes=data["classes"],
            v=[data[f"v{k}"] for k in range(len(layers))],
            spikes=[data[f"spikes{k}"] for k in range(len(layers))],
            current=[data[f"current{k}"] for k in range(len(layers))] if currents else [])
        figures = {"seconds": float(data["seconds"]), "clock_edges": int(data["clock_edges"])}
    if waves:
        found = sorted(folder.rglob("*.fst"))
        if not found:
            raise SpikeloomError(f"{folder}: Icarus wrote no waveforms; see {log}")
        figures["fst"] = str(found[0])
    return trace, figures

