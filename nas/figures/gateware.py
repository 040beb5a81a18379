"""The reference model's speed, and the `spatial` lowering."""

import time
from collections.abc import Callable

from ...flow import targets
from ...flow.passes.compile import compile_graph
from ...flow.passes.schedule import inference_cycles
from ...flow.synthesis import build_graph
from ...sim import reference
from .. import datasets
from ..bench import Bench, group
from .networks import uniform


@group(reference__digits_seconds=("s", "<= 0.5"))
def reference_model(bench: Bench) -> dict:
    """1,000 digits through 64-32-10 with T = 8."""
    p8 = datasets.load("digits").final.inputs[:1000]
    graph = uniform((64, 32, 10))
    best = min(_timed(lambda: reference.run(graph, p8, trace=True)) for _ in range(3))
    return {"reference.digits_seconds": (best, "64-32-10, T = 8, 1,000 images in one batch, every "
                                               "membrane and spike kept; fastest of three")}


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


#: Of the layers of 64-32-10: the fewest logic cells, where few weights are zero.
LANES = (4, 3)


@group(spatial__lc_per_synapse=("LCs", "<= 1.5"), spatial__fmax_mhz=("MHz", ">= 50"))
def spatial(bench: Bench) -> dict:
    """64-32-10 with uniform weights on an HX8K, top level with link, encoder and all."""
    graph = compile_graph(uniform((64, 32, 10), lanes=LANES))
    report = build_graph(graph, targets.board("ice40_hx8k_b_evn"), use_cache=False,
                               note=bench.note)
    synapses = 64 * 32 + 32 * 10
    detail = (f"64-32-10, weights uniform over 15 values, L = 8, {LANES[0]} and {LANES[1]} lanes, "
              f"HX8K with link: {report.lc} LCs, {inference_cycles(graph)} clocks an inference, "
              f"seed {report.seed}, {report.router}")
    return {"spatial.lc_per_synapse": (report.lc / synapses, detail),
            "spatial.fmax_mhz": (report.fmax_mhz, detail)}
