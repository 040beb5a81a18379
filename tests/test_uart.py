import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from spikeloom.hdl.uart import MAX_DIVISOR, FullDuplex, HalfDuplex

CLOCK = 1e-6
BITS = 12


@pytest.fixture(params=[HalfDuplex, FullDuplex], ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def simulate(dut, *benches):
    sim = Simulator(dut)
    sim.add_clock(CLOCK)
    for bench in benches:
        sim.add_testbench(bench)
    sim.run()


def levels(byte: int) -> list[int]:
    return [0, *(byte >> k & 1 for k in range(8)), 1]


async def drive(ctx, rx, bits, clocks_per_bit):
    for bit in bits:
        ctx.set(rx, bit)
        await ctx.delay(clocks_per_bit * CLOCK)


async def watch(ctx, uart, clocks):
    """Bytes and the number of framing errors seen in so many clocks."""
    seen, errors = [], 0
    async for _, _, valid, payload, error in ctx.tick().sample(
            uart.o.valid, uart.o.payload, uart.error):
        if valid:
            seen.append(payload)
        errors += error
        clocks -= 1
        if clocks <= 0:
            return seen, errors


def received(kind, divisor, bits, clocks_per_bit, offset=0.0):
    """What a UART makes of the line levels `bits`, each `clocks_per_bit` long."""
    uart = kind(BITS)
    found = []

    async def sender(ctx):
        ctx.set(uart.divisor, divisor)
        ctx.set(uart.rx, 1)
        await ctx.delay((20 + offset) * CLOCK)
        await drive(ctx, uart.rx, bits, clocks_per_bit)

    async def watcher(ctx):
        found.extend(await watch(ctx, uart, int(len(bits) * clocks_per_bit) + 40))

    simulate(uart, sender, watcher)
    return tuple(found)


@pytest.mark.parametrize("divisor", [4, 5, 6, 7, 16, 104])
def test_two_uarts_talk(kind, divisor):
    sent = [0x00, 0xFF, 0x55, 0xA5, *np.random.default_rng(divisor).integers(0, 256, 8).tolist()]
    m = Module()
    m.submodules.a = a = kind(BITS)
    m.submodules.b = b = kind(BITS)
    m.d.comb += [b.rx.eq(a.tx), a.divisor.eq(divisor), b.divisor.eq(divisor)]
    found = []

    async def send(ctx):
        ctx.set(a.i.valid, 1)
        for byte in sent:
            ctx.set(a.i.payload, byte)
            await ctx.tick().until(a.i.ready)
        ctx.set(a.i.valid, 0)

    async def watcher(ctx):
        found.extend(await watch(ctx, b, (10 * divisor + 2) * len(sent) + 20))

    simulate(m, send, watcher)
    assert found == [sent, 0]


def test_the_line_carries_8n1(kind):
    uart, divisor = kind(BITS), 5
    seen = []

    async def send(ctx):
        ctx.set(uart.divisor, divisor)
        ctx.set(uart.i.payload, 0b1100_1010)
        ctx.set(uart.i.valid, 1)
        await ctx.tick().until(uart.i.ready)
        ctx.set(uart.i.valid, 0)
        for _ in range(10 * divisor):
            seen.append(ctx.get(uart.tx))
            await ctx.tick()
        assert ctx.get(uart.i.ready)

    simulate(uart, send)
    assert seen == [bit for bit in levels(0b1100_1010) for _ in range(divisor)]


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("divisor,off", [
    (4, 0.0), (5, 0.0), (16, -0.02), (16, 0.02), (33, -0.02), (33, 0.02), (104, -0.03),
    (104, 0.03)])
def test_senders_off_the_rate_and_between_clocks(kind, divisor, off, offset):
    sent = [0x00, 0xFF, 0x81, 0x7E, 0xA5]
    bits = [bit for byte in sent for bit in levels(byte)]
    assert received(kind, divisor, bits, divisor * (1 + off), offset) == (sent, 0)


@pytest.mark.parametrize("idle", range(16))
def test_a_byte_may_start_at_any_time(kind, idle):
    assert received(kind, 8, [1] * idle + [bit for bit in levels(0x96) for _ in range(8)], 1) == (
        [0x96], 0)


def test_the_slowest_rate(kind):
    assert received(kind, MAX_DIVISOR, levels(0x5A), MAX_DIVISOR) == ([0x5A], 0)


def test_a_byte_without_stop_bit_is_dropped_and_flagged(kind):
    broken = [0, *[1, 0] * 4, 0]
    assert received(kind, 8, [*broken, 1, 1, *levels(0x42)], 8) == ([0x42], 1)


def test_a_break_is_one_error(kind):
    assert received(kind, 8, [0] * 50 + [1, 1] + levels(0x42), 8) == ([0x42], 1)


def test_a_glitch_is_no_start_bit(kind):
    divisor = 16
    glitch = [0] * 5 + [1] * 40
    bits = glitch + [bit for bit in levels(0x42) for _ in range(divisor)]
    assert received(kind, divisor, bits, 1) == ([0x42], 0)


def test_tick_comes_once_per_bit(kind):
    uart = kind(BITS)
    ticks = []

    async def count(ctx):
        ctx.set(uart.divisor, 7)
        await ctx.tick().repeat(20)
        clocks = 0
        async for _, _, tick in ctx.tick().sample(uart.tick):
            if tick:
                ticks.append(clocks)
            clocks += 1
            if clocks == 71:
                return

    simulate(uart, count)
    assert set(np.diff(ticks)) == {7} and len(ticks) in (10, 11)


@pytest.mark.parametrize("lag", range(0, 44, 3))
def test_both_directions_at_once(lag):
    """A byte sent against one received, in any phase; neither disturbs the other."""
    uart, divisor, found, line = FullDuplex(BITS), 4, [], []

    async def send(ctx):
        ctx.set(uart.divisor, divisor)
        await ctx.tick().repeat(10)
        ctx.set(uart.i.payload, 0x35)
        ctx.set(uart.i.valid, 1)
        await ctx.tick()
        ctx.set(uart.i.valid, 0)
        for _ in range(10 * divisor):
            line.append(ctx.get(uart.tx))
            await ctx.tick()

    async def arrive(ctx):
        await ctx.delay(lag * CLOCK)
        await drive(ctx, uart.rx, levels(0xC9), divisor)

    async def watcher(ctx):
        found.extend(await watch(ctx, uart, 110))

    simulate(uart, send, arrive, watcher)
    assert found == [[0xC9], 0]
    assert line == [bit for bit in levels(0x35) for _ in range(divisor)]


def test_the_bits_themselves_are_shown(kind):
    """Those that arrive before their byte, those that leave after theirs, and no others."""
    uart, divisor, came, left = kind(BITS), 5, [], []

    async def drives(ctx):
        ctx.set(uart.divisor, divisor)
        ctx.set(uart.rx, 1)
        await ctx.tick().repeat(20)
        await drive(ctx, uart.rx, levels(0x92), divisor)
        await ctx.tick().repeat(20)
        ctx.set(uart.i.payload, 0x5C)
        ctx.set(uart.i.valid, 1)
        await ctx.tick()
        ctx.set(uart.i.valid, 0)
        await ctx.tick().repeat(20 * divisor)

    async def watcher(ctx):
        samples = ctx.tick().sample(uart.o_strobe, uart.o_bit, uart.i_strobe, uart.i_bit,
                                    uart.o.valid)
        async for _, _, arrives, bit, leaves, out, valid in samples:
            if arrives:
                came.append(bit)
            if leaves:
                left.append(out)
            assert not valid or len(came) == 8

    sim = Simulator(uart)
    sim.add_clock(CLOCK)
    sim.add_testbench(drives)
    sim.add_testbench(watcher, background=True)
    sim.run()
    assert (came, left) == (levels(0x92)[1:9], levels(0x5C)[1:9])
