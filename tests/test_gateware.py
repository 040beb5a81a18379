"""The lowerings in Amaranth's simulator and as RTL in Icarus, against the reference model."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ladder import saved_on_failure
from networks import networks, random_graph, random_images

from spikeloom.flow import lower
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.hdl.encoders import memory
from spikeloom.hdl.packing import pack
from spikeloom.hdl.popcount import popcount
from spikeloom.sim import gateware, reference, rtl
from spikeloom.sim.compare import compare
from spikeloom.sim.seen import cycles


def check(graph, images) -> None:
    """Every membrane, spike and score is equal, and every image takes the formula's clocks."""
    wanted = reference.run(graph, images, trace=True)
    with saved_on_failure(graph, images, "amaranth"):
        got, clocks = gateware.simulate(graph, images)
        assert compare(wanted, got) == []
        assert clocks == cycles(graph, images, wanted)


@settings(max_examples=40, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.integers(0, 2**32 - 1))
def test_random_networks_are_equal_and_take_the_cycles_of_the_formula(graph, seed):
    graph = compile_graph(graph)
    images = random_images(np.random.default_rng(seed), graph, 2)
    check(graph, images)


@pytest.mark.parametrize("length", [8, 512])
def test_shortest_and_longest_bitstreams(length):
    rng = np.random.default_rng(length)
    graph = compile_graph(random_graph(rng, sizes=(5, 3, 2), lengths=[length, length],
                                       num_steps=2, sng="lfsr", input_sng="sobol2"))
    check(graph, rng.integers(0, 256, (1, 5)))


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.integers(0, 2**32 - 1))
def test_many_random_networks(graph, seed):
    graph = compile_graph(graph)
    images = random_images(np.random.default_rng(seed), graph, 1)
    check(graph, images)


CORNERS = {
    "one of each": {"sizes": (1, 1), "num_steps": 1, "lengths": [8], "weight_bits": [2]},
    "all weights zero": {"sizes": (9, 4, 3), "zeros": 1.1},
    "widest weights": {"sizes": (17, 5, 3), "lengths": [16, 8], "weight_bits": [5, 4],
                       "sng": "lfsr"},
    "many classes": {"sizes": (5, 255), "num_steps": 2},
    "many inputs": {"sizes": (300, 3), "num_steps": 2},
    "a slow layer behind": {"sizes": (6, 5, 4, 3), "lengths": [8, 128, 8]},
    "longest delays": {"sizes": (4, 18, 3), "num_steps": 12,
                       "delays": [0, (*range(9), *range(9))]},
}


@pytest.mark.parametrize("encoder", ["stream", "rate", "spikes"])
@pytest.mark.parametrize("what", CORNERS)
def test_corners(what, encoder):
    rng = np.random.default_rng(11)
    graph = compile_graph(random_graph(rng, encoder=encoder, **CORNERS[what]))
    check(graph, random_images(rng, graph, 1))


def test_a_restart_in_the_middle_of_an_inference_leaves_no_trace():
    rng = np.random.default_rng(3)
    graph = compile_graph(random_graph(rng, sizes=(8, 5, 3), num_steps=5, encoder="rate"))
    first, second = rng.integers(0, 256, (2, 8))
    core = lower.core(graph)
    wanted = reference.run(graph, second[None])

    async def bench(ctx):
        for wait in range(1, inference_cycles(graph), 7):
            await gateware.send(ctx, core, first.tobytes())
            await ctx.tick().repeat(wait)
            await gateware.send(ctx, core, second.tobytes())
            await ctx.tick().until(core.done)
            assert ctx.get(core.cls) == wanted.classes[0]
            for c in range(3):
                ctx.set(core.select, c)
                assert ctx.get(core.score) == wanted.scores[0, c]

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("encoder,readout", [("stream", "membrane"), ("rate", "spike_count"),
                                             ("spikes", "membrane")])
def test_rtl_in_icarus_is_equal(encoder, readout, tmp_path):
    rng = np.random.default_rng(7)
    graph = compile_graph(random_graph(rng, sizes=(12, 6, 3), encoder=encoder, readout=readout,
                                       num_steps=3))
    images = random_images(rng, graph, 3)
    got, figures = rtl.simulate(graph, images, tmp_path)
    wanted = reference.run(graph, images, trace=True)
    assert compare(wanted, got) == []
    assert figures["clock_edges"] > 0


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 12, 15, 30, 33])
def test_popcount_counts(n):
    m = Module()
    word, out = Signal(max(n, 1)), Signal(8)
    m.d.comb += out.eq(popcount(m, [word[k] for k in range(n)]))
    rng = np.random.default_rng(n)

    async def bench(ctx):
        for _ in range(50):
            value = int(rng.integers(0, 2 ** max(n, 1)))
            ctx.set(word, value)
            await ctx.tick()
            assert ctx.get(out) == (value.bit_count() if n else 0)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("bits", range(3, 10))
def test_stream_code_is_the_division(bits):
    m = Module()
    pixel, code = Signal(8), Signal(bits + 1)
    m.d.comb += code.eq(memory.stream_code(m, pixel, bits))

    async def bench(ctx):
        for p8 in range(256):
            ctx.set(pixel, p8)
            assert ctx.get(code) == (p8 * 2**bits + 127) // 255

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@given(st.lists(st.integers(0, 16), max_size=30))
def test_packed_slots_never_overlap_and_keep_every_synapse(weights):
    slots = pack(np.array(weights, np.int64), 16)
    seen = sorted(s for slot in slots for s in (slot.up, slot.down) if s)
    assert seen == sorted((i, w) for i, w in enumerate(weights) if w)
    assert all(slot.up[1] + (slot.down[1] if slot.down else 0) <= 16 for slot in slots)
