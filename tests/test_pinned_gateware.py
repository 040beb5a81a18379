"""The gateware of networks without weights in SPRAM, by the SHA-256 of its RTLIL.

What is built for SPRAM must leave it as it is. Where it is meant to change, or Amaranth does, renew
the digests, and say in the commit what they are of::

    python tests/test_pinned_gateware.py
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil
from networks import random_graph, residual_graph

from spikeloom.flow import lower
from spikeloom.flow.blocks import Largest
from spikeloom.flow.passes.compile import compile_graph

FILE = Path(__file__).with_name("cases") / "gateware.json"
#: What stands for the design's hash, which tells networks apart whatever is built of them.
HASH = bytes(range(8))

FOLDED = {"lowerings": ["folded"] * 2, "lanes": [3, 2]}
#: Options of `random_graph`, by name.
CHAINS = {
    "spatial stream": {"weight_bits": [3, 4], "lengths": [16, 8], "sng": "sobol2"},
    "spatial rate homeostatic": {"encoder": "rate", "kind": "homeostatic", "refractory": 1},
    "spatial spikes delays": {"encoder": "spikes", "delays": [0, 2], "readout": "spike_count",
                              "saturate_bits": 6, "kind": "fixed"},
    "shared stream": {"lanes": [3, 2], "lowerings": ["spatial"] * 2, "refractory": 2},
    "shared spikes": {"lanes": [2, 1], "lowerings": ["spatial"] * 2, "encoder": "spikes",
                      "reset": "zero"},
    "folded ebr stream": {**FOLDED, "memory": "ebr"},
    "folded lut rate": {**FOLDED, "memory": "lut", "encoder": "rate", "leak_shift": None},
    "folded behind spatial": {"lowerings": [None, "folded"], "lanes": [None, 2], "memory": "ebr",
                              "readout": "spike_count"},
}


def graphs():
    """Scheduled networks by name: chains, and a convolution, pools and a skip."""
    for name, options in CHAINS.items():
        yield name, compile_graph(random_graph(np.random.default_rng(10), **options))
    yield "folded maps", compile_graph(residual_graph(np.random.default_rng(10), shape=(4, 4),
                                                      channels=2, encoder="rate", num_steps=2))


def digest(design, ports) -> str:
    text = rtlil.convert(design, name="top", ports=ports, platform=Largest(), emit_src=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digests(graph) -> dict[str, str]:
    """Of the core by itself, and of the top with its link, as it is built for a board."""
    core = lower.core(graph)
    ports = [core.pixels.valid, core.pixels.payload, core.pixels.ready, core.start, core.restart,
             core.done, core.cls, core.select, core.score]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "design_hash", lambda graph: HASH)
        top = lower.top(graph)
    return {"core": digest(core, ports), "top": digest(top, top.ports)}


def found() -> dict:
    return {"amaranth": version("amaranth"),
            "networks": {name: digests(graph) for name, graph in graphs()}}


def test_it_is_what_it_was():
    assert found() == json.loads(FILE.read_text()), f"see {Path(__file__).name} on how to renew"


def test_a_digest_tells_a_neuron_from_another():
    graph = dict(graphs())["folded ebr stream"]
    bias = graph.layers[1][0].bias.copy()
    bias[0] += 1
    other = digests(compile_graph(graph.replace(fc2={"bias": bias})))
    assert set(other.values()).isdisjoint(digests(graph).values())


if __name__ == "__main__":
    FILE.write_text(json.dumps(found(), indent=1) + "\n")
