"""A design's Verilog in cocotb and Icarus, driven through its UART pins by the host's driver."""

import json
import re
import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from ..flow import fold, ir
from ..flow.errors import SpikeloomError, ToolError
from ..flow.lower import PROOF_PACE, design_hash
from ..flow.passes.schedule import inference_cycles, load_cycles
from ..flow.weights_file import WEIGHTS, packed
from ..flow.weights_image import weights_image
from ..hdl.boot import boot_clocks
from .images import payload
from .probe import BENCH, CLOCK_NS, FLASH_MODEL, read_log
from .reference import Trace

_BENCH = "spikeloom.sim.benches.replay"


def check() -> None:
    """Raise ToolError if Icarus is missing, ModuleNotFoundError if cocotb is."""
    import_module("cocotb_tools.runner")
    if shutil.which("iverilog") is None:
        raise ToolError("iverilog is missing, which simulates the Verilog; install it with: "
                        "apt-get install iverilog")


def simulate(graph: ir.Graph, images: np.ndarray, folder: Path, sources: Sequence[Path],
             layers: list, *, divisor: int, fast_divisor: int | None = None, settle: int = 0,
             logs: bool = True, waves: bool = False, defines: Sequence[str] = (),
             shift: int = 0, weights_at: int | None = None, power_lost: Sequence[int] = ()
             ) -> tuple[Trace, dict]:
    """Replay images [batch, *input_shape] on the Verilog `sources`, whose top is `probe.BENCH`.

    layers: the design's, whose `logs` are read where the wrapper writes them. divisor: clocks per
    bit after reset; the driver changes to fast_divisor. settle: clocks before the first byte.
    shift: what the driver sets, of the bitstream lengths. weights_at: where in a flash a network
    finds the weights that are loaded; the driver sends them for None. power_lost: clocks after each
    reset at which there is another one, and the last one counts.
    Returns the trace in the reference model's form (v and spikes empty without logs; `crcs` of a
    proof build), and figures: `seconds`, `clock_edges`, `load_clocks` (from the flash, before
    these), `fst` (path of the waveforms, with `waves`). `folder` keeps the logs and results. Raises
    ToolError if Icarus or cocotb is missing or the simulation fails.
    """
    check()
    from cocotb_tools.runner import get_runner

    folder = Path(folder).resolve()
    frames = [np.frombuffer(payload(graph, image), np.uint8) for image in images]
    np.savez(folder / "images.npz", images=np.stack(frames))
    results = folder / "results.npz"
    results.unlink(missing_ok=True)
    clocks, loading = most_clocks(graph), 0
    weights = packed(graph)
    (folder / WEIGHTS).write_bytes(weights)
    if weights and weights_at is not None:
        loading = boot_clocks(len(weights_image(graph)))
    job = {"divisor": divisor, "fast_divisor": fast_divisor, "clock_ns": CLOCK_NS,
           "settle": settle + loading, "shift": shift, "design": design_hash(graph).hex(),
           "weights": None if loading else str(folder / WEIGHTS), "power_lost": list(power_lost),
           "timeout": 2e-9 * CLOCK_NS * (clocks + 10_000)}
    (folder / "job.json").write_text(json.dumps(job))
    runner = get_runner("icarus")
    log = folder / "icarus.log"
    environment = {"SPIKELOOM_REPLAY": str(folder), "COCOTB_ANSI_OUTPUT": "0"}
    try:
        runner.build(sources=[Path(s).resolve() for s in (*sources, FLASH_MODEL)],
                     hdl_toplevel=BENCH,
                     build_dir=folder / "icarus", timescale=("1ns", "1ps"), always=True,
                     waves=waves, log_file=log, defines=dict.fromkeys(defines, 1))
        runner.test(hdl_toplevel=BENCH, test_module=_BENCH, build_dir=folder / "icarus",
                    test_dir=folder, extra_env=environment, waves=waves, log_file=log,
                    results_xml=str(folder / "results.xml"), timescale=("1ns", "1ps"))
    except (SystemExit, RuntimeError, OSError) as error:
        raise ToolError(f"the simulation failed{_reason(log) or f' ({error})'}; its log is {log}"
                        ) from error
    if not results.exists():
        raise ToolError(f"the simulation wrote no results{_reason(log)}; its log is {log}")
    with np.load(results, allow_pickle=False) as data:
        trace = Trace(scores=data["scores"], classes=data["classes"],
                      crcs=list(data["crcs"].T.astype(np.int64)), orders=fold.orders(graph))
        figures = {"seconds": float(data["seconds"]), "clock_edges": int(data["clock_edges"])}
    if loading:
        figures["load_clocks"] = loading
    if logs:
        found = [read_log(folder, index, layer, graph, len(images))
                 for index, layer in enumerate(layers, 1)]
        trace.v, trace.spikes, trace.current = (list(part) for part in zip(*found, strict=True))
    if waves:
        files = sorted(folder.rglob("*.fst"))
        if not files:
            raise SpikeloomError(f"{folder}: Icarus wrote no waveforms; see {log}")
        figures["fst"] = str(files[0])
    return trace, figures


def most_clocks(graph: ir.Graph) -> int:
    """Clocks from an image to its answer, in a proof build too, at most."""
    return inference_cycles(graph) + load_cycles(graph) + witness_clocks(graph)


def witness_clocks(graph: ir.Graph) -> int:
    """Clocks that an inference takes more in a proof build, at most."""
    clocks = 0
    for synapses, population in graph.layers:
        if synapses.lowering == "folded":  # once more for the currents of `stream` input
            clocks += (graph.num_steps + 1) * (PROOF_PACE - 1) * population.size
        else:
            clocks += graph.num_steps * (9 * population.size + 8)
    return clocks


def _reason(log: Path) -> str:
    """The driver's last error in a log, in brackets."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    errors = [line for line in lines if re.match(r"([a-z_]+\.)*\w*Error: ", line)]
    return f" ({errors[-1].split('Error: ', 1)[1]})" if errors else ""
