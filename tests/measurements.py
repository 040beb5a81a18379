"""Measurements for tests: records, networks, and a store of them that can be damaged."""

import numpy as np

from spikeloom.flow import ir
from spikeloom.flow.cost.measured import Measurement
from spikeloom.flow.cost.store import MeasurementStore
from spikeloom.flow.nextpnr import CriticalPath
from spikeloom.hdl.neurons.lif import Lif

TOOLS = {"icepack": "icepack 1", "nextpnr-ice40": "nextpnr 0.11", "yosys": "yosys 0.70"}
NOTHING = dict.fromkeys(("lc", "lut4", "ff", "carry", "ebr", "spram", "dsp", "fmax_mhz",
                         "critical_path", "memory_bits"))


def graph(seed: int = 0, width: int = 3) -> ir.Graph:
    rng = np.random.default_rng(seed)
    return ir.chain(shape=(2, 2), encoder="rate", readout="membrane", num_steps=2, layers=[{
        "out_features": width, "weight_bits": 3, "bitstream_length": 8, "sng": "ramp",
        "neuron": Lif(v_threshold=5), "weight": rng.integers(-3, 4, (width, 4)).astype(np.int16),
        "bias": np.zeros(width, np.int32)}])


def measured(plan: str = "p", **changes) -> Measurement:
    """A measurement; without numbers if its status has none."""
    item = {
        "plan": plan, "seed": 1, "tools": TOOLS, "options": {"routers": "a,b"}, "design": "d",
        "network": "n" * 64, "board": "icebreaker", "device": "UP5K", "clock_mhz": 12.0,
        "lowering": "spatial", "variant": "proof", "status": "routed", "reason": "", "lc": 1234,
        "lut4": 2, "ff": 3, "carry": 4, "ebr": 5, "spram": 0, "dsp": 0, "fmax_mhz": 1 / 3,
        "critical_path": CriticalPath(37.4, 26.8, 10, "a", "b"), "weight_memory": 616,
        "memory_bits": 20480, "seconds": {"yosys": 0.1, "nextpnr": 2.5},
        "features": {"synapses": 12.5, "layers": 2.0}, "finished": 1.7e9 + 0.123456}
    status = changes.get("status", "routed")
    if status in ("failed", "timed-out", "cancelled"):
        item |= NOTHING
    elif status != "routed":
        item |= {"fmax_mhz": None, "critical_path": None}
    return Measurement(**(item | changes))


def fill(path, count: int, extra: int = 0) -> list[Measurement]:
    """A store of so many measurements, with `extra` characters in each, and one network each."""
    items = []
    with MeasurementStore(path) as store, store.transaction():
        for number in range(count):
            network = graph(number)
            items.append(measured(f"{number:064}", design=network.digest(), lc=number,
                                  reason="x" * extra, finished=float(number)))
            store._add(items[-1], network)
    return items
