"""SPRAM and what is built around it, part by part: rows, lanes, products, the list of pixels."""

import subprocess

import numpy as np
import pytest
from amaranth.back import rtlil
from test_folded import layer, simulate

from spikeloom.flow import tools
from spikeloom.flow.blocks import Largest
from spikeloom.hdl import sng
from spikeloom.hdl.encoders.pixel_list import PixelList
from spikeloom.hdl.loaded import LoadedContents, LoadedLanes
from spikeloom.hdl.products import Products, ProductScanner
from spikeloom.hdl.spram import DEPTH, Shape, SpramRows
from spikeloom.hdl.words import WORD


@pytest.mark.parametrize("rows,bits,columns,banks,stride", [
    (6400, 64, 4, 1, 4), (16384, 16, 1, 1, 1), (16385, 16, 1, 2, 1), (20_000, 30, 2, 2, 2),
    (100, 48, 3, 1, 4), (1, 2, 1, 1, 1), (65_536, 9, 1, 4, 1)])
def test_rows_take_columns_side_by_side_and_banks_behind_each_other(rows, bits, columns, banks,
                                                                    stride):
    shape = Shape(rows, bits)
    assert (shape.columns, shape.banks, shape.stride) == (columns, banks, stride)
    assert shape.count == columns * banks and shape.words == rows * stride


@pytest.mark.parametrize("rows,bits", [(5, 64), (9, 37), (DEPTH + 3, 16), (DEPTH + 6, 20)])
def test_rows_are_read_as_they_were_loaded(rows, bits):
    """Whatever the order of the words; and what was read stays while nothing is."""
    shape, rng = Shape(rows, bits), np.random.default_rng(bits)
    memory = SpramRows(shape)
    some = sorted({*range(min(rows, 4)), *range(rows - 4, rows)})
    wanted = {row: int.from_bytes(rng.bytes(8), "little") % (1 << bits) for row in some}
    words = [(row * shape.stride + k, wanted[row] >> 16 * k & 0xffff)
             for row in some for k in range(shape.columns)]

    async def bench(ctx):
        ctx.set(memory.load.valid, 1)
        for number in rng.permutation(len(words)):
            address, word = words[number]
            ctx.set(memory.load.payload, {"address": address, "data": word})
            assert ctx.get(memory.load.ready)
            await ctx.tick()
        ctx.set(memory.load.valid, 0)
        for row in some:
            ctx.set(memory.row, row)
            ctx.set(memory.fetch, 1)
            await ctx.tick()
            assert ctx.get(memory.value) == wanted[row]
            ctx.set(memory.row, rows - 1 - row)
            ctx.set(memory.fetch, 0)
            await ctx.tick()
            assert ctx.get(memory.value) == wanted[row]

    simulate(memory, bench)


BENCH = """
module bench;
  reg clk = 0, valid = 0; reg [17:0] address = 0; reg [15:0] data = 0;
  reg [14:0] row = 0; reg fetch = 0;
  wire [19:0] value; wire ready; integer k;
  top dut(.clk(clk), .rst(1'b0), .load__valid(valid), .load__payload({data, address}),
          .load__ready(ready), .row(row), .fetch(fetch), .value(value));
  always #5 clk = ~clk;
  initial begin
    for (k = 0; k < 8; k = k + 1) begin
      @(negedge clk) valid = 1; address = 2 * (k * 5461) ; data = 1000 + k;
      @(negedge clk) address = address + 1; data = k;
    end
    @(negedge clk) valid = 0; fetch = 1;
    for (k = 7; k >= 0; k = k - 1) begin
      row = k * 5461;
      @(negedge clk) $display("%0d", value);
    end
    $finish;
  end
endmodule
"""


def test_the_device_s_own_memory_does_the_same(tmp_path):
    """Two banks of two, synthesised, with the vendor's model: what is not loaded is unknown."""
    memory = SpramRows(Shape(2 * DEPTH, 20))
    load = memory.load
    design = rtlil.convert(memory, name="top", platform=Largest(), emit_src=False, ports=[
        load.valid, load.ready, load.payload.as_value(), memory.row, memory.fetch, memory.value])
    netlist = tools.yosys("top.il", design, "read_rtlil top.il\nsynth_ice40 -top top\n"
                          "write_verilog -noattr top.v\n", "top.v", what="synthesise")
    assert netlist.count(b"SB_SPRAM256KA") == 4
    (tmp_path / "top.v").write_bytes(netlist)
    (tmp_path / "bench.v").write_text(BENCH)
    subprocess.run(["iverilog", "-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-o", "bench",
                    str(tools.ice40_cells()), "top.v", "bench.v"], cwd=tmp_path, check=True,
                   capture_output=True)
    out = subprocess.run(["vvp", "bench"], cwd=tmp_path, check=True, capture_output=True,
                         text=True).stdout.split()
    assert out == [str(1000 + k + (k << 16)) for k in range(7, -1, -1)]


@pytest.mark.parametrize("pixels,weights,bits,weight_bits", [
    ("ramp", "sobol1", 3, 4), ("lfsr", "debruijn", 4, 3), ("sobol1", "sobol2", 6, 5)])
def test_products_of_a_pixel_are_those_of_the_contract(pixels, weights, bits, weight_bits):
    """One clock each, in the clock after the threshold of a stream would be asked for."""
    table = sng.count_table(pixels, weights, bits, weight_bits)
    scanner = ProductScanner(Products(table))
    codes = [*range(2**bits + 1), 1, 0, 2**bits]

    async def bench(ctx):
        for code in codes:
            assert ctx.get(scanner.spent)
            ctx.set(scanner.value, code)
            ctx.set(scanner.take, 1)
            await ctx.tick()
            ctx.set(scanner.take, 0)
            assert ctx.get(scanner.any) == (code > 0)
            await ctx.tick()
            assert not ctx.get(scanner.any)
            width = scanner.products.bits
            found = [ctx.get(scanner.o) >> k * width & (1 << width) - 1
                     for k in range(table.shape[1] - 1)]
            if code:
                assert found == table[code, 1:].tolist()

    simulate(scanner, bench)


@pytest.mark.parametrize("n,bits", [(1, 3), (13, 3), (16, 6), (20, 8), (300, 3), (1024, 4)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_list_has_the_pixels_that_are_not_zero(n, bits, share):
    """A pixel whose code is zero is none of them, though it may be 10 of 255."""
    rng = np.random.default_rng(n)
    pixels = rng.integers(0, 256, n) * (rng.random(n) < share)
    codes = (pixels * 2**bits + 127) // 255
    wanted = [(i, int(code)) for i, code in enumerate(codes) if code] or [None]
    image = PixelList(n, bits)

    async def bench(ctx):
        ctx.set(image.accept, 1)
        for pixel in pixels:
            ctx.set(image.pixels.valid, int(rng.integers(0, 2)))
            ctx.set(image.pixels.payload, int(pixel))
            assert ctx.get(image.pixels.ready)
            if not ctx.get(image.pixels.valid):
                await ctx.tick()
                ctx.set(image.pixels.valid, 1)
            await ctx.tick()
        ctx.set(image.pixels.valid, 0)
        assert not ctx.get(image.pixels.ready)
        assert ctx.get(image.entries) == len(wanted)
        ctx.set(image.fetch, 1)
        for address, entry in enumerate(wanted):
            ctx.set(image.address, address)
            await ctx.tick()
            if entry is None:
                assert ctx.get(image.value) == 0
            else:
                assert (ctx.get(image.index), ctx.get(image.value)) == entry

    simulate(image, bench)


def loaded(layers, lanes):
    """Loaded lanes in a simulator, and what loads them."""
    made = LoadedLanes(layers, lanes)

    async def load(ctx):
        ctx.set(made.load.valid, 1)
        for address, word in enumerate(made.contents.words):
            ctx.set(made.load.payload, {"address": address, "data": int(word)})
            await ctx.tick()
        ctx.set(made.load.valid, 0)

    return made, load


@pytest.mark.parametrize("tabled", [False, True])
@pytest.mark.parametrize("memories", [("spram", "spram"), ("ebr", "spram"), ("spram", "lut")])
def test_loaded_lanes_add_what_codes_count(memories, tabled):
    """Of layers in one memory or in two, with a table for each or as numbers."""
    rng = np.random.default_rng(5)
    tables = [np.array([0, 3, 5, 8]), np.array([0, 1, 1, 4])]
    codes = [rng.integers(-3, 4, (2, 3, WORD, 3)), rng.integers(-3, 4, (1, 2, WORD, 3))]
    counts = [np.sign(c) * t[np.abs(c)] for c, t in zip(codes, tables)]
    layers = []
    for c, count, table, memory, sizes in zip(codes, counts, tables, memories, [(3, 2), (3,)]):
        one = layer(count, sizes, memory=memory)
        if tabled:
            object.__setattr__(one, "operands", c)
            object.__setattr__(one, "table", table)
        layers.append(one)
    lanes, load = loaded(layers, 3)
    assert (lanes.tables is not None) == tabled
    assert lanes.contents.field_bits == (3 if tabled else 5)

    async def bench(ctx):
        await load(ctx)
        for index, (one, count) in enumerate(zip(layers, counts)):
            ctx.set(lanes.layer, index)
            per_group = one.operands.shape[1] * WORD
            for group, size in enumerate(one.groups):
                ctx.set(lanes.clear, 1)
                await ctx.tick()
                ctx.set(lanes.clear, 0)
                named = np.flatnonzero(rng.random(per_group) < 0.4) + group * per_group
                ctx.set(lanes.add, 1)
                for row in named:
                    ctx.set(lanes.row, int(lanes.bases[index] + row))
                    await ctx.tick()
                ctx.set(lanes.add, 0)
                for lane in range(size):
                    ctx.set(lanes.lane, lane)
                    await ctx.tick().repeat(2)
                    wanted = int(count.reshape(-1, 3)[named, lane].sum())
                    less = lanes.contents.less(index)[group * 3 + lane]
                    assert ctx.get(lanes.current) - less == wanted

    simulate(lanes, bench)


def test_coded_lanes_without_a_table_add_the_sign_where_the_code_exceeds_the_threshold():
    rng = np.random.default_rng(3)
    codes = rng.integers(-100, 101, (1, 5, 4))
    plain = layer(rng.integers(-200, 201, (1, 1, WORD, 4)), (4,), memory="spram")
    first = layer(np.sign(codes) * 128, (4,), codes=True, memory="spram")
    object.__setattr__(first, "operands", codes)
    lanes, load = loaded([first, plain], 4)
    assert lanes.contents.field_bits == 9 and lanes.contents.code_bits == 7

    async def bench(ctx):
        await load(ctx)
        ctx.set(lanes.coded, 1)
        ctx.set(lanes.clear, 1)
        await ctx.tick()
        ctx.set(lanes.clear, 0)
        total = np.zeros(4, int)
        for tap in range(5):
            for threshold in range(0, 128, 9):
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


def test_fields_are_codes_below_their_sign_side_by_side():
    """By hand: codes 3 and -1 of two bits, lanes 0 and 1; the next lane's field is above."""
    one = layer(np.array([[[[3, -1, 0]] + [[0, 0, -2]] * 7]]), (3,), memory="spram",
                table=np.arange(4))
    words = LoadedContents.of([one], 3).words
    assert words.tolist() == [0b000_101_011] + [0b110_000_000] * 7
