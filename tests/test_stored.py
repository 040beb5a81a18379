"""Stored images: what a core gets from them, beside what the link sends."""

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator
from networks import random_graph

from spikeloom.flow import blocks
from spikeloom.flow.lower import core as lower_core
from spikeloom.flow.lower import design_hash
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl.protocol import Features
from spikeloom.hdl.stored import StoredImages
from spikeloom.hdl.top import Top
from spikeloom.hdl.uart import MIN_DIVISOR
from spikeloom.sim import reference
from spikeloom.sim.gateware import send
from spikeloom.sim.host import Device
from spikeloom.sim.images import coarse, payload
from spikeloom.sim.random_networks import random_images
from spikeloom.sim.simulated import SimTransport

IMAGES = [bytes([10 * k + j for j in range(3)]) for k in range(1, 4)]
PERIOD = 8


class Taker:
    """Drives a StoredImages as a button and a link, and keeps what would reach a core."""

    def __init__(self, images=IMAGES, every=1):
        self.dut = StoredImages(images, debounce_bits=3)
        self.every = every
        self.events = []

    async def take(self, ctx):
        """Take a byte in one clock of `every`."""
        dut, clock = self.dut, 0
        async for _, reset, valid, ready, byte, restart, start in ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload, dut.o_restart, dut.o_start):
            assert not reset
            if restart:
                self.events.append("restart")
            if valid and ready:
                self.events.append(byte)
            if start:
                self.events.append("start")
            clock += 1
            ctx.set(dut.o.ready, clock % self.every == 0)

    async def press(self, ctx, clocks=4 * PERIOD):
        ctx.set(self.dut.button, 1)
        await ctx.tick().repeat(clocks)
        ctx.set(self.dut.button, 0)
        await ctx.tick().repeat(3 * PERIOD)

    def run(self, drive):
        async def bench(ctx):
            ctx.set(self.dut.o.ready, self.every == 1)
            await drive(ctx)

        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(bench)
        sim.add_testbench(self.take, background=True)
        sim.run()
        return self.events


def image(k):
    return ["restart", *IMAGES[k], "start"]


@pytest.mark.parametrize("every", [1, 3])
def test_each_press_sends_the_next_image(every):
    taker = Taker(every=every)

    async def drive(ctx):
        for _ in range(4):
            await taker.press(ctx)

    assert taker.run(drive) == [*image(0), *image(1), *image(2), *image(0)]


def test_a_bouncing_button_is_one_press():
    taker = Taker()

    async def drive(ctx):
        rng = np.random.default_rng(0)
        for clock in range(12 * PERIOD):
            bouncing = clock % (6 * PERIOD) < PERIOD // 2  # when it goes down, and when it goes up
            ctx.set(taker.dut.button, int(rng.integers(2)) if bouncing else clock < 6 * PERIOD)
            await ctx.tick()

    assert taker.run(drive) == image(0)


def test_what_the_link_sends_passes_and_a_busy_link_is_not_disturbed():
    taker = Taker()

    async def drive(ctx):
        dut = taker.dut
        ctx.set(dut.busy, 1)
        ctx.set(dut.button, 1)
        ctx.set(dut.restart, 1)
        await ctx.tick()
        ctx.set(dut.restart, 0)
        for byte in (7, 8, 9):
            ctx.set(dut.pixels.valid, 1)
            ctx.set(dut.pixels.payload, byte)
            await ctx.tick().until(dut.pixels.ready)
            ctx.set(dut.pixels.valid, 0)
            await ctx.tick().repeat(PERIOD)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick()
        ctx.set(dut.busy, 0)
        await ctx.tick().repeat(3 * PERIOD)
        ctx.set(dut.button, 0)
        await ctx.tick().repeat(3 * PERIOD)
        await taker.press(ctx)

    assert taker.run(drive) == ["restart", 7, 8, 9, "start", *image(0)]


def test_a_request_takes_precedence_over_an_image_on_its_way():
    taker = Taker(every=2 * PERIOD)

    async def drive(ctx):
        dut = taker.dut
        ctx.set(dut.button, 1)
        while "restart" not in taker.events:
            await ctx.tick()
        ctx.set(dut.restart, 1)
        await ctx.tick()
        ctx.set(dut.restart, 0)
        ctx.set(dut.button, 0)
        for byte in (7, 8, 9):
            ctx.set(dut.pixels.valid, 1)
            ctx.set(dut.pixels.payload, byte)
            await ctx.tick().until(dut.pixels.ready)
        ctx.set(dut.pixels.valid, 0)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await ctx.tick().repeat(2 * PERIOD)
        await taker.press(ctx, clocks=20 * PERIOD)

    assert taker.run(drive) == ["restart", "restart", 7, 8, 9, "start", *image(1)]


def test_eight_digits_cost_one_block_memory_and_little_logic():
    rng = np.random.default_rng(0)
    dut = StoredImages([rng.bytes(64) for _ in range(8)])
    ports = [dut.restart, dut.start, dut.busy, dut.button, dut.o_restart, dut.o_start,
             *(part for port in (dut.pixels, dut.o)
               for part in (port.payload, port.valid, port.ready))]
    found = blocks.count(dut, ports)[""]
    assert found.ebr == 1 and found.lut4 <= 75 and found.ff <= 40


@pytest.mark.parametrize("encoder,bits", [("stream", 8), ("rate", 8), ("spikes", 8), ("rate", 2)])
def test_a_core_classifies_stored_images_as_the_reference_model_does(encoder, bits):
    rng = np.random.default_rng(5)
    graph = compile_graph(random_graph(rng, encoder=encoder))
    images = coarse(graph, random_images(rng, graph, 3), bits)
    wanted = reference.run(graph, images).classes
    core = lower_core(graph, features=Features(pixel_bits=bits))
    dut = StoredImages([payload(graph, image, bits) for image in images[:2]], debounce_bits=3)
    assert dut.n == core.n_inputs
    m = Module()
    m.submodules.core, m.submodules.dut = core, dut
    wiring.connect(m, dut.o, core.pixels)
    m.d.comb += [core.restart.eq(dut.o_restart), core.start.eq(dut.o_start)]
    found = []

    async def drive(ctx):
        async def answer():
            for _ in range(100_000):
                if ctx.get(core.done):
                    return ctx.get(core.cls)
                await ctx.tick()
            raise AssertionError("no answer")

        for _ in range(3):
            ctx.set(dut.button, 1)
            await ctx.tick().until(dut.o_restart)
            ctx.set(dut.button, 0)
            await ctx.tick().repeat(3 * PERIOD)
            found.append(await answer())
        await send(ctx, dut, payload(graph, images[2], bits))
        found.append(await answer())

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.run()
    assert found == [wanted[0], wanted[1], wanted[0], wanted[2]]


class Restless(Top):
    """A board whose button is pressed all the time."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        timer = Signal(9)
        m.d.sync += timer.eq(timer + 1)
        m.d.comb += self.button.eq(timer[-1])
        return m


def test_a_host_gets_its_own_answers_while_someone_plays_with_the_button():
    rng = np.random.default_rng(5)
    graph = compile_graph(random_graph(rng))
    images = random_images(rng, graph, 6)
    wanted = reference.run(graph, images)
    stored = StoredImages([payload(graph, image) for image in images[:2]], debounce_bits=3)
    top = Restless(lower_core(graph), design_hash(graph), MIN_DIVISOR, stored=stored)
    transport = SimTransport(top)
    device = Device(transport, expect=design_hash(graph))
    for index, image in enumerate(images):
        result = device.infer(image)
        assert result.cls == wanted.classes[index]
        assert list(result.scores) == wanted.scores[index].tolist()
        assert transport.read(1, 1e-3 * (1 + index)) == b"", "an answer that nobody asked for"
