"""What the cycle formula of `folded` layers needs to know of each image."""

import numpy as np

from ..flow.ir import Graph
from ..flow.passes.folding import Seen, event_driven
from ..flow.passes.schedule import inference_cycles
from . import reference
from .reference import Trace


def seen(graph: Graph, inputs: np.ndarray, trace: Trace | None = None) -> list[Seen]:
    """Input and spikes of each image, as the reference model has them; inputs as it takes them."""
    trace = trace or reference.run(graph, inputs, trace=True)
    if graph.input.encoder == "rate":
        inputs = reference.rate_spikes(np.asarray(inputs), graph.num_steps).transpose(1, 0, 2)
    return [Seen(np.asarray(image), [spikes[:, b] for spikes in trace.spikes])
            for b, image in enumerate(inputs)]


def cycles(graph: Graph, inputs: np.ndarray, trace: Trace | None = None, shift: int = 0
           ) -> list[int]:
    """Clocks of the inference of each image, exactly, at a shift of the bitstream lengths."""
    if not event_driven(graph):
        return [inference_cycles(graph, shift=shift)] * len(inputs)
    return [inference_cycles(graph, one) for one in seen(graph, inputs, trace)]
