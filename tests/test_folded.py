"""The parts of the `folded` lowering, each against what its contract says."""

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.hdl import sng
from spikeloom.hdl.engine import Served
from spikeloom.hdl.lanes import FoldedLayer, Lanes
from spikeloom.hdl.neurons import Lif
from spikeloom.hdl.streams import Streams, StreamScanner
from spikeloom.hdl.walk import Tap, Walk, Walker
from spikeloom.hdl.words import (
    WORD,
    InputWords,
    SpikeWords,
    VectorToWords,
    WordScanner,
    words,
    words_layout,
)

PAIRS = [(x, w) for x in ("ramp", "lfsr", "debruijn", "sobol1", "sobol4")
         for w in ("ramp", "lfsr", "debruijn", "sobol1", "sobol3")]


def simulate(design, bench):
    """Run a testbench until it ends."""
    m = Module()
    m.domains.sync = ClockDomain()
    m.submodules.design = design
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_a_scanner_names_the_ones_of_word_after_word_and_loses_no_clock():
    scanner = WordScanner()
    given_words = [*range(256), 0, 0, 255]
    seen, clocks = [], 0

    async def bench(ctx):
        nonlocal clocks
        for word in given_words:
            ctx.set(scanner.word, word)
            ctx.set(scanner.take, 1)
            await ctx.tick()
            ctx.set(scanner.take, 0)
            found = []
            while True:
                clocks += 1
                if ctx.get(scanner.any):
                    found.append(ctx.get(scanner.index))
                if ctx.get(scanner.spent):
                    break
                await ctx.tick()
            seen.append(found)

    simulate(scanner, bench)
    assert seen == [[k for k in range(8) if word >> k & 1] for word in given_words]
    assert clocks == sum(max(1, word.bit_count()) for word in given_words)


@pytest.mark.parametrize("limits", [(1,), (7, 3), (8, 16), (9, 17, 2), (12, 5)])
def test_spikes_of_a_position_are_words_and_the_last_one_is_filled_from_above(limits):
    rng = np.random.default_rng(0)
    positions = 3
    counts = [positions * words(n) for n in limits]
    memory = SpikeWords(counts, max(limits))
    spikes = [rng.integers(0, 2, (positions, n)) for n in limits]
    read = []

    async def bench(ctx):
        for _ in range(2):  # a second timestep writes over the first
            read.clear()
            ctx.set(memory.rewind, 1)
            await ctx.tick()
            ctx.set(memory.rewind, 0)
            for n, part in zip(limits, spikes):
                ctx.set(memory.limit, n - 1)
                for spike in part.flat:
                    ctx.set(memory.valid, 1)
                    ctx.set(memory.spike, int(spike))
                    await ctx.tick()
                    ctx.set(memory.valid, 0)
                    if rng.integers(0, 2):
                        await ctx.tick()
            ctx.set(memory.fetch, 1)
            for address in range(memory.depth):
                ctx.set(memory.address, address)
                await ctx.tick()
                read.append(ctx.get(memory.word))

    simulate(memory, bench)
    wanted = []
    for n, part in zip(limits, spikes):
        for row in part:
            bits = np.zeros(words(n) * WORD, int)
            bits[[SpikeWords.place(channel, n) for channel in range(n)]] = row
            wanted += [int(sum(b << k for k, b in enumerate(w))) for w in bits.reshape(-1, WORD)]
    assert read == wanted


def test_words_of_a_map_are_appended_whole():
    memory = SpikeWords([2, 1], 8)

    async def bench(ctx):
        ctx.set(memory.append, 1)
        for word in (0x81, 0x42, 0x24):
            ctx.set(memory.appended, word)
            await ctx.tick()
        ctx.set(memory.append, 0)
        ctx.set(memory.fetch, 1)
        for address, word in enumerate((0x81, 0x42, 0x24)):
            ctx.set(memory.address, address)
            await ctx.tick()
            assert ctx.get(memory.word) == word

    simulate(memory, bench)


@pytest.mark.parametrize("n", [1, 8, 13])
def test_input_words_take_two_timesteps_ahead_and_no_more(n):
    """What is not taken stays with the one in front, and nothing is lost or seen twice."""
    rng = np.random.default_rng(n)
    m = Module()
    m.submodules.vector = vector = VectorToWords(n)
    m.submodules.inputs = inputs = InputWords(words(n))
    wiring.connect(m, vector.o, inputs.i)
    steps = [int(x) for x in rng.integers(0, 2**n, 12)]
    got, ahead = [], []

    async def send(ctx):
        for t, spikes in enumerate(steps):
            ctx.set(vector.i.valid, 1)
            ctx.set(vector.i.payload, {"spikes": spikes, "first": t == 0,
                                       "last": t == len(steps) - 1})
            await ctx.tick().until(vector.i.ready)
            ctx.set(vector.i.valid, 0)
            ahead.append(t)
            if rng.integers(0, 2):
                await ctx.tick().repeat(2)

    async def take(ctx):
        for t in range(len(steps)):
            while not ctx.get(inputs.arrived):
                await ctx.tick()
            await ctx.tick().repeat(60)
            assert len(ahead) == min(t + 2, len(steps)), "two timesteps are there, and no third"
            assert (ctx.get(inputs.first), ctx.get(inputs.last)) == (t == 0, t == len(steps) - 1)
            word = 0
            ctx.set(inputs.fetch, 1)
            for k in range(words(n)):
                ctx.set(inputs.address, k)
                await ctx.tick()
                word |= ctx.get(inputs.word) << WORD * k
            ctx.set(inputs.fetch, 0)
            got.append(word)
            ctx.set(inputs.done, 1)
            await ctx.tick()
            ctx.set(inputs.done, 0)

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(take)
    simulator.run()
    assert got == steps


def test_words_take_axons_in_an_order_with_gaps():
    order = [4, -1, 0, 2, -1, -1, 1, 3, 5]
    vector = VectorToWords(6, order)

    async def bench(ctx):
        ctx.set(vector.i.valid, 1)
        ctx.set(vector.i.payload, {"spikes": 0b110101, "first": 1, "last": 0})
        ctx.set(vector.o.ready, 1)
        found = []
        for last in (0, 1):
            found.append(ctx.get(vector.o.payload.word))
            assert ctx.get(vector.i.ready) == last
            await ctx.tick()
        bits = [found[k // 8] >> k % 8 & 1 for k in range(16)]
        assert bits == [1, 0, 1, 1, 0, 0, 0, 0, 1] + [0] * 7

    simulate(vector, bench)
    assert words_layout().size == WORD + 2


@st.composite
def walks(draw):
    """One that starts anywhere, over a map that it may leave."""
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 200))
    pitch, base = draw(st.integers(1, 3)), draw(st.integers(0, 20))
    stride = draw(st.integers(1, 3))
    places = draw(st.lists(st.tuples(st.integers(-2, 4), st.integers(-3, 150)), min_size=1,
                           max_size=5))
    taps = tuple(Tap(base + (y * width + x) * pitch, y, x, draw(st.booleans()))
                 for y, x in places)
    return Walk(taps, draw(st.integers(1, 3)), draw(st.integers(1, 4)), stride, pitch, height,
                width, width)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(walks(), min_size=1, max_size=3))
def test_a_walk_reads_every_tap_at_every_position(several):
    walker = Walker(several)

    async def bench(ctx):
        for index, walk in enumerate(several):
            ctx.set(walker.layer, index)
            ctx.set(walker.begin, 1)
            await ctx.tick()
            ctx.set(walker.begin, 0)
            for row in range(walk.rows):
                for column in range(walk.columns):
                    for k, tap in enumerate(walk.taps):
                        ctx.set(walker.tap, k)
                        await ctx.delay(1e-9)
                        on_map = (0 <= row * walk.stride + tap.y < walk.height
                                  and 0 <= column * walk.stride + tap.x < walk.width)
                        assert ctx.get(walker.inside) == on_map
                        assert ctx.get(walker.outer) == tap.outer
                        at = tap.address + (row * walk.across + column) * walk.stride * walk.pitch
                        if on_map:
                            assert ctx.get(walker.address) == at
                    end = (row, column) == (walk.rows - 1, walk.columns - 1)
                    assert ctx.get(walker.final) == end
                    ctx.set(walker.advance, 1)
                    await ctx.tick()
                    ctx.set(walker.advance, 0)

    simulate(walker, bench)


@pytest.mark.parametrize("bits", [3, 4, 6])
@pytest.mark.parametrize("pixels,weights", PAIRS)
def test_ones_of_streams_count_what_the_table_says(pixels, weights, bits):
    weight_bits = min(bits + 1, 4)
    streams = Streams.of(sng.sequence(pixels, bits), sng.sequence(weights, bits), weight_bits)
    table = sng.count_table(pixels, weights, bits, weight_bits)
    for p in range(2**bits + 1):
        seen = streams.thresholds[:streams.ones(p)]
        assert [(c > seen).sum() for c in range(2 ** (weight_bits - 1))] == table[p].tolist()


@pytest.mark.parametrize("pixels", ["ramp", "lfsr"])
def test_a_stream_scanner_shows_the_ones_of_every_code(pixels):
    streams = Streams.of(sng.sequence(pixels, 4), sng.sequence("sobol2", 4), 4)
    scanner = StreamScanner(streams)
    codes = [*range(17), 0, 16, 5]
    seen = []

    async def bench(ctx):
        for code in codes:
            ctx.set(scanner.value, code)
            ctx.set(scanner.take, 1)
            await ctx.tick()
            ctx.set(scanner.take, 0)
            found = []
            while True:
                shown, spent = ctx.get(scanner.any), ctx.get(scanner.spent)
                if spent and not shown:
                    break
                await ctx.tick()
                if shown:
                    found.append(ctx.get(scanner.threshold))
                if spent:
                    break
            seen.append(found)

    simulate(scanner, bench)
    assert seen == [streams.thresholds[:streams.ones(code)].tolist() for code in codes]
    assert [len(found) for found in seen[:17]] == [
        int((sng.sequence(pixels, 4) < code).sum()) for code in range(17)]


def test_a_cleared_stream_scanner_shows_nothing():
    scanner = StreamScanner(Streams(False, np.arange(8)))

    async def bench(ctx):
        ctx.set(scanner.value, 7)
        ctx.set(scanner.take, 1)
        await ctx.tick()
        ctx.set(scanner.take, 0)
        assert ctx.get(scanner.any) and not ctx.get(scanner.spent)
        ctx.set(scanner.clear, 1)
        await ctx.tick()
        assert not ctx.get(scanner.any) and ctx.get(scanner.spent)

    simulate(scanner, bench)


def layer(operands, sizes, **options):
    """A layer of one position whose operands are int [groups, taps, WORD, P], or with codes less.
    """
    size = sum(sizes)
    served = Served(Lif(v_threshold=1), size, 12, np.zeros(size, int), True)
    taps = tuple(Tap(k) for k in range(operands.shape[1]))
    axes = tuple(range(1, operands.ndim - 1))
    reach = np.array([np.minimum(operands, 0).sum(axis=axes).reshape(-1),
                      np.maximum(operands, 0).sum(axis=axes).reshape(-1)])[:, :size]
    return FoldedLayer(served, Walk(taps), operands, sizes, reach, **options)


@pytest.mark.parametrize("memory", ["ebr", "lut"])
def test_lanes_add_the_rows_that_are_named(memory):
    rng = np.random.default_rng(2)
    layers = [layer(rng.integers(-9, 10, (2, 3, WORD, 3)), (3, 1), scale=2),
              layer(rng.integers(-100, 101, (1, 2, WORD, 3)), (3,))]
    layers[0].operands[1, :, :, 1:] = 0
    lanes = Lanes(layers, 3, memory)

    async def bench(ctx):
        for index, one in enumerate(layers):
            ctx.set(lanes.layer, index)
            rows = one.operands.reshape(-1, 3)
            per_group = one.operands.shape[1] * WORD
            for group in range(len(one.groups)):
                ctx.set(lanes.clear, 1)
                await ctx.tick()
                ctx.set(lanes.clear, 0)
                named = np.flatnonzero(rng.random(per_group) < 0.4) + group * per_group
                ctx.set(lanes.add, 1)
                for row in named:
                    ctx.set(lanes.row, int(lanes.bases[index] + row))
                    await ctx.tick()
                ctx.set(lanes.add, 0)
                ctx.set(lanes.row, 0)
                for lane in range(one.groups[group]):
                    ctx.set(lanes.lane, lane)
                    await ctx.tick().repeat(2)
                    wanted = int(rows[named, lane].sum()) << one.scale
                    less = lanes.contents.less(index)[group * 3 + lane]
                    assert ctx.get(lanes.current) - less == wanted

    simulate(lanes, bench)


def test_accumulators_are_as_wide_as_what_they_count():
    operands = np.zeros((1, 2, WORD, 3), np.int64)
    operands[0, 0, :, 0], operands[0, 1, :, 0] = 7, -8  # -64..56: a sign would take one bit more
    operands[0, :, :, 1] = 3
    lanes = Lanes([layer(operands, (3,))], 3)
    assert lanes.start == [64, 0, 0] and lanes.acc_bits == [7, 6, 1]
    assert lanes.contents.less(0).tolist() == [64, 0, 0]

    async def bench(ctx):
        ctx.set(lanes.clear, 1)
        await ctx.tick()
        ctx.set(lanes.clear, 0)
        for lane, start in enumerate(lanes.start):
            ctx.set(lanes.lane, lane)
            await ctx.tick().repeat(2)
            assert ctx.get(lanes.current) == start

    simulate(lanes, bench)


def test_coded_lanes_add_the_sign_where_the_code_exceeds_the_threshold():
    rng = np.random.default_rng(3)
    codes = rng.integers(-7, 8, (1, 5, 4))
    lanes = Lanes([layer(codes, (4,), codes=True)], 4)

    async def bench(ctx):
        ctx.set(lanes.coded, 1)
        ctx.set(lanes.clear, 1)
        await ctx.tick()
        ctx.set(lanes.clear, 0)
        total = np.zeros(4, int)
        for tap in range(5):
            for threshold in range(8):
                ctx.set(lanes.row, tap)
                ctx.set(lanes.add, 1)
                await ctx.tick()
                ctx.set(lanes.add, 0)
                ctx.set(lanes.threshold, threshold)
                total += np.sign(codes[0, tap]) * (np.abs(codes[0, tap]) > threshold)
        await ctx.tick()
        for lane in range(4):
            ctx.set(lanes.lane, lane)
            await ctx.tick().repeat(2)
            assert ctx.get(lanes.current) - lanes.contents.less(0)[lane] == total[lane]

    simulate(lanes, bench)
