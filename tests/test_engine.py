"""The serial neuron engine against the reference neurons, in every membrane and spike."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from spikeloom.hdl.engine import CURRENT_LAG, LATENCY, NeuronEngine, Served, refusal
from spikeloom.hdl.neurons import FixedPointLif, HomeostaticLif, Lif
from spikeloom.sim import neurons

KINDS = {
    "if": Lif(v_threshold=9),
    "leak": Lif(v_threshold=14, leak_shift=3),
    "zero": Lif(v_threshold=11, leak_shift=2, reset="zero"),
    "resting": Lif(v_threshold=8, leak_shift=4, refractory=3),
    "fixed": FixedPointLif(v_threshold=12, beta=11, n=4),
}


def served(neuron, size, fires, rng):
    return Served(neuron, size, 12, rng.integers(-6, 7, size), fires)


def simulate(layers, currents, gap):
    """Spikes and membranes [image, T, total] of currents of the same shape, gap clocks a layer."""
    engine = NeuronEngine(layers, 8)
    images, steps, total = currents.shape
    spikes, v = np.zeros(currents.shape, int), np.zeros(currents.shape, int)
    seen = []

    async def drive(ctx):
        for image in range(images):
            for t in range(steps):
                j = 0
                for index, layer in enumerate(layers):
                    ctx.set(engine.layer, index)
                    for _ in range(layer.size):
                        ctx.set(engine.valid, 1)
                        ctx.set(engine.first, t == 0)
                        waiting.append((engine_clock[0] + CURRENT_LAG, currents[image, t, j]))
                        j += 1
                        await tick(ctx)
                    ctx.set(engine.valid, 0)
                    for _ in range(gap):
                        await tick(ctx)

    engine_clock, waiting = [0], []

    async def tick(ctx):
        for clock, current in waiting:
            if clock == engine_clock[0]:
                ctx.set(engine.current, int(current))
        if ctx.get(engine.o_valid):
            seen.append((ctx.get(engine.o_index), ctx.get(engine.o_spike), ctx.get(engine.o_v)))
        await ctx.tick()
        engine_clock[0] += 1

    simulator = Simulator(engine)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert [index for index, _, _ in seen] == list(range(total)) * (images * steps)
    spikes.flat = [spike for _, spike, _ in seen]
    v.flat = [value for _, _, value in seen]
    return spikes, v


def expected(layers, currents):
    images, steps, _ = currents.shape
    spikes, v = np.zeros(currents.shape, int), np.zeros(currents.shape, int)
    at = 0
    for layer in layers:
        state = neurons.KINDS[layer.neuron.kind](layer.neuron, images, layer.size)
        part = slice(at, at + layer.size)
        for t in range(steps):
            spikes[:, t, part] = state.step(currents[:, t, part], layer.constants, layer.fires)
            v[:, t, part] = state.v
        at += layer.size
    return spikes, v


@pytest.mark.parametrize("fires", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_one_layer(kind, fires):
    rng = np.random.default_rng(5)
    layers = [served(KINDS[kind], 7, fires, rng)]
    currents = rng.integers(-12, 13, (2, 12, 7))
    for got, wanted in zip(simulate(layers, currents, LATENCY), expected(layers, currents)):
        assert np.array_equal(got, wanted)
    assert expected(layers, currents)[0].any() == fires


def test_several_layers_of_several_kinds():
    rng = np.random.default_rng(6)
    layers = [served(neuron, 3 + k, k != 4, rng) for k, neuron in enumerate(KINDS.values())]
    currents = rng.integers(-12, 13, (2, 10, sum(layer.size for layer in layers)))
    for got, wanted in zip(simulate(layers, currents, LATENCY), expected(layers, currents)):
        assert np.array_equal(got, wanted)


def test_refusals_name_the_reason():
    assert refusal(KINDS["if"]) is None
    assert "saturate" in refusal(Lif(v_threshold=3, saturate_bits=8))
    homeostatic = HomeostaticLif(v_threshold=4, up=1, down=1, lo=1, hi=9)
    assert "homeostatic" in refusal(homeostatic)
