"""Axonal delays in flip-flops and in block memory: the same spikes, and the cheaper one chosen."""

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator
from networks import random_graph, random_images

from spikeloom.flow.errors import GraphError
from spikeloom.flow.memories import delay_budget, image_blocks, place_delays
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.hdl.delay import SpikeDelay, delay_blocks, delay_cells
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import compare

MIXED = [0, 3, 1, 8, 8, 2, 0, 5, 8, 1, 1, 7, 6, 4, 8, 8, 0, 2] * 2


@pytest.mark.parametrize("blocks", [0, 1, 3, 99])
def test_inferences_of_any_length_one_after_the_other(blocks):
    """With pauses of the source and the sink, marks in order, and a reset in mid-inference."""
    rng = np.random.default_rng(blocks)
    delay, restart = SpikeDelay(MIXED, blocks), Signal()
    n = len(MIXED)
    got = []

    async def bench(ctx):
        for steps in (1, 2, 9, 40, 3, 17, 5, 12):
            spikes = rng.integers(0, 2, (steps, n))
            cut = 4 if steps == 17 else steps
            for t in range(cut):
                for _ in range(rng.integers(0, 3)):
                    await ctx.tick()
                payload = delay.i.payload
                ctx.set(payload.spikes, int("".join(map(str, spikes[t, ::-1])), 2))
                ctx.set(payload.first, t == 0)
                ctx.set(payload.last, t == steps - 1)
                ctx.set(delay.i.valid, 1)
                while True:
                    ctx.set(delay.o.ready, int(rng.integers(0, 3) == 0))
                    if ctx.get(delay.o.valid & delay.o.ready):
                        assert ctx.get(delay.i.ready)
                        word = ctx.get(delay.o.payload.spikes)
                        got.append([word >> i & 1 for i in range(n)])
                        assert ctx.get(delay.o.payload.last) == (t == steps - 1)
                        await ctx.tick()
                        break
                    await ctx.tick()
                ctx.set(delay.i.valid, 0)
            wanted = reference.delayed(spikes[:, None], np.array(MIXED))[:cut, 0]
            assert got == wanted.tolist()
            got.clear()
            if cut < steps:
                ctx.set(restart, 1)
                await ctx.tick()
                ctx.set(restart, 0)

    simulator = Simulator(ResetInserter(restart)(delay))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("encoder", ["stream", "rate", "spikes"])
def test_both_kinds_of_delay_are_equal_in_a_network(encoder):
    """And neither takes a clock that the cycle formula does not count."""
    rng = np.random.default_rng(8)
    first = [0] * 20 if encoder == "stream" else rng.integers(0, 4, 20)
    graph = random_graph(rng, sizes=(20, 24, 3), encoder=encoder, num_steps=20, delays=[
        tuple(map(int, first)), tuple(rng.integers(0, 9, 24).tolist())])
    images = random_images(rng, graph, 2)
    wanted = reference.run(graph, images, trace=True)
    assert 0 < wanted.spikes[0].mean() < 1
    digests = set()
    for share in (0, 0.5, 1):
        blocks = {dense.name: {"delay_blocks": round(share * len(delay_blocks(dense.delays)))}
                  for dense, _ in graph.layers if dense.max_delay}
        compiled = compile_graph(graph.replace(**blocks))
        digests.add(compiled.digest())
        got, clocks = gateware.simulate(compiled, images)
        assert compare(wanted, got) == []
        assert clocks == [inference_cycles(compiled)] * 2
    assert len(digests) == 3


def placed(delays, **kwargs):
    graph = random_graph(np.random.default_rng(0), sizes=(len(delays[0]), *map(len, delays[1:]), 2),
                         num_steps=40, delays=delays, **{"encoder": "rate", **kwargs})
    return list(place_delays(graph.verify()).values())


def test_memories_are_taken_where_they_save_cells():
    """The break-even is 18 cells for a layer's first memory, and 16 axons fill one."""
    assert placed([(1,) * 16]) == [0]
    assert placed([(2,) * 9]) == [0] and placed([(2,) * 10]) == [1]
    assert placed([(1,) * 32]) == [2]
    assert placed([(8,) * 33]) == [3]
    # A second delay costs five cells more: 2 axons of delay 2 save four, of delay 3 six.
    assert placed([(*[8] * 16, 2, 2)]) == [1] and placed([(*[8] * 16, 3, 3)]) == [2]
    assert delay_cells([8] * 16, 0) == 128 and delay_cells([8] * 16, 1) == 18


def test_memories_leave_room_for_the_image():
    """The smallest device has 16 EBRs; one of them holds the image here."""
    assert placed([(8,) * 256]) == [15]
    assert placed([(8,) * 160, (7,) * 160]) == [10, 5]
    wide = random_graph(np.random.default_rng(0), sizes=(128, 160, 2), delays=[0, 8], num_steps=9)
    assert image_blocks(wide) == 17 and delay_budget(wide) == 30 - 17
    assert list(place_delays(wide).values()) == [10]


def test_the_choice_is_part_of_the_scheduled_graph():
    graph = random_graph(np.random.default_rng(1), sizes=(8, 32, 2), delays=[0, 4], num_steps=6)
    compiled = compile_graph(graph)
    assert " delay=4 lowering=spatial delay_blocks=2 " in compiled.text()
    assert "delay_blocks" not in graph.text()
    assert compile_graph(compiled).digest() == compiled.digest()
    mine = compile_graph(graph.replace(fc2={"delay_blocks": 0}))
    assert " delay_blocks=0 " in mine.text() and mine.digest() != compiled.digest()
    with pytest.raises(GraphError, match=r"delay_blocks must be an integer in 0\.\.2, not 3"):
        graph.replace(fc2={"delay_blocks": 3}).verify()
