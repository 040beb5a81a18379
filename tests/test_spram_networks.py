"""Networks whose weights are loaded, against the reference model, with their cycle formula."""

import json

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from networks import maps, networks, random_graph, random_images
from test_folded_networks import check

from spikeloom.flow import blocks, export, lower, targets
from spikeloom.flow.cli import main
from spikeloom.flow.cost.structure import structure
from spikeloom.flow.errors import FitError, GraphError, ToolError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.flow.run import Run
from spikeloom.flow.synthesis import build_graph
from spikeloom.flow.weights_image import sections, sprams, weights_image
from spikeloom.hdl import sng
from spikeloom.hdl.spram import MOST, WIDTH
from spikeloom.nas.columns import price
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import ALL, compare
from spikeloom.sim.images import payload
from spikeloom.sim.levels import LEVELS, Setting
from spikeloom.sim.seen import cycles

BOARD = targets.board("icebreaker")


def graph_of(sizes, *, lanes, memories=None, seed=3, **options):
    """A compiled chain of folded layers, by default with all weights in SPRAM."""
    graph = random_graph(np.random.default_rng(seed), sizes=sizes,
                         lowerings=["folded"] * (len(sizes) - 1), **options)
    memories = memories or ["spram"] * len(graph.layers)
    return compile_graph(graph.replace(**{
        dense.name: {"memory": memory, "lanes": min(p, dense.out_features)}
        for (dense, _), memory, p in zip(graph.layers, memories, lanes)}))


def loaded(graph):
    """The same network with every folded layer in SPRAM, if it has as many lanes as fit there."""
    return compile_graph(graph.replace(**{
        layer.name: {"memory": "spram", "lanes": min(4, layer.bias_shape[0])}
        for layer, _ in graph.layers if layer.lowering == "folded"}))


@pytest.mark.parametrize("weight_bits", [[4, 4, 4], [3, 5, 2], [6, 4, 7], [10, 9, 10]])
@pytest.mark.parametrize("encoder,memories", [
    ("stream", "spram spram spram"), ("stream", "spram ebr lut"), ("stream", "lut spram spram"),
    ("rate", "spram lut spram"), ("spikes", "ebr spram spram")])
def test_widths_and_memories(encoder, weight_bits, memories):
    graph = graph_of((20, 9, 7, 4), lanes=(4, 5, 3), memories=memories.split(), encoder=encoder,
                     weight_bits=weight_bits, lengths=[2 ** max(3, w - 1) for w in weight_bits],
                     num_steps=1 + (encoder != "stream"))
    images = random_images(np.random.default_rng(0), graph, 2)
    if encoder == "stream":
        images[0] *= np.arange(20) % 3 == 1
        images[1] = 0
    check(graph, images)


@settings(max_examples=12, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(networks(served=True), st.integers(0, 2**32 - 1))
def test_beside_other_lowerings_and_behind_delays(graph, seed):
    try:
        graph = loaded(graph)
    except GraphError as error:  # a run for each layer with delays, with SPRAMs of its own
        assume("weights must fit" not in str(error))
        raise
    check(graph, random_images(np.random.default_rng(seed), graph, 2))


@settings(max_examples=8, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(maps(served=True), st.integers(0, 2**32 - 1))
def test_maps(graph, seed):
    try:
        graph = loaded(compile_graph(graph))
    except GraphError as error:
        assume("'folded' takes a skip" not in str(error) and "in SPRAM" not in str(error))
        raise
    check(graph, random_images(np.random.default_rng(seed), graph, 1))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))  # half a second each: no test takes minutes
@settings(max_examples=50, deadline=None, derandomize=False,
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(maps(served=True) | networks(served=True), st.integers(0, 2**32 - 1))
def test_many_networks(part, graph, seed):
    try:
        graph = loaded(compile_graph(graph))
    except GraphError as error:
        assume("'folded' takes a skip" not in str(error) and "SPRAM" not in str(error))
        raise
    assume(sprams(graph))
    check(graph, random_images(np.random.default_rng(seed), graph, 1))


def test_a_pixel_that_is_not_zero_costs_a_clock_for_each_group_and_others_none():
    """By hand: 30 pixels, 9 neurons on 4 lanes, so three groups of ``2 + pixels + neurons``."""
    graph = graph_of((30, 9, 3), lanes=(4, 3), num_steps=1)
    images = np.zeros((4, 30), np.int64)
    for image, bright in enumerate((0, 1, 12, 30)):
        images[image, 30 - bright:] = 255
        images[image, :30 - bright] = 10  # code 0 at L = 8
    wanted = reference.run(graph, images, trace=True)
    got, clocks = gateware.simulate(graph, images)
    assert compare(wanted, got, ("v", "spike")) == []
    spikes = [[max(1, int(w.sum())) for w in (s[:8], s[8:])] for s in wanted.spikes[0][0]]
    later = [2 + sum(words) + 3 + 5 for words in spikes]  # a group of three lanes
    first = [3 * 2 + 3 * max(1, bright) + 9 + 5 for bright in (0, 1, 12, 30)]
    assert clocks == [1 + a + b for a, b in zip(first, later)]
    assert clocks == cycles(graph, images) and clocks[3] <= inference_cycles(graph)


def test_the_image_has_the_fields_that_the_weights_say():
    """Written from what the contract says of rows, a second time."""
    graph = graph_of((10, 7, 3), lanes=(5, 3))
    image = weights_image(graph)
    assert image.dtype == np.uint16 and sections(graph)[0].layers == ("fc1", "fc2")
    rows = [image[k:k + 2] for k in range(0, len(image), 2)]  # 5 fields of 4 bits, two words
    numbers = [int(low) | int(high) << 16 for low, high in rows]

    def field(row, lane):
        value = numbers[row] >> 4 * lane & 15
        return -(value & 7) if value & 8 else value

    first, second = (dense.weight for dense, _ in graph.layers)
    for j in range(7):
        assert [field(j // 5 * 10 + i, j % 5) for i in range(10)] == first[j].tolist()
    # behind 20 rows, the next multiple of eight; the last spike of seven is the uppermost
    assert sections(graph)[0].rows == (0, 24) and len(rows) == 32
    for j in range(3):
        assert [field(24 + 1 + i, j) for i in range(7)] == second[j].tolist()
        assert field(24, j) == 0


def test_parts_of_a_network_are_loaded_behind_each_other():
    """Delays make runs of their own: each has its SPRAMs, and its words in one address space."""
    graph = graph_of((9, 7, 3), lanes=(3, 3), delays=[0, 1], encoder="rate")
    first, second = sections(graph)
    assert (first.base, second.base) == (0, first.shape.words)
    assert len(weights_image(graph)) == first.shape.words + second.shape.words
    check(graph, random_images(np.random.default_rng(2), graph, 2))


@pytest.mark.parametrize("encoder", ["stream", "rate"])
def test_a_restart_in_the_middle_of_an_inference_leaves_no_trace(encoder):
    graph = graph_of((8, 5, 3), lanes=(2, 1), encoder=encoder)
    first, second = random_images(np.random.default_rng(2), graph, 2)
    core = lower.core(graph)
    wanted = reference.run(graph, second[None])

    async def bench(ctx):
        await gateware.load(ctx, core, graph)
        for wait in range(1, inference_cycles(graph), 23):
            await gateware.send(ctx, core, payload(graph, first))
            await ctx.tick().repeat(wait)
            await gateware.send(ctx, core, payload(graph, second))
            await ctx.tick().until(core.done)
            for c in range(3):
                ctx.set(core.select, c)
                await ctx.tick()
                assert ctx.get(core.score) == wanted.scores[0, c]

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("layer", [0, 1])
def test_a_weight_that_was_loaded_wrong_is_seen(layer, monkeypatch):
    graph = graph_of((8, 5, 3), lanes=(4, 3))
    images = random_images(np.random.default_rng(1), graph, 2) | 128
    wanted = reference.run(graph, images, trace=True)
    image = weights_image(graph)
    fires = int(np.flatnonzero(wanted.spikes[0].any((0, 1)))[0])  # the last of five is uppermost
    image[sections(graph)[0].rows[layer] + (3 + fires if layer else 5)] ^= 2
    monkeypatch.setattr(gateware, "weights_image", lambda graph: image)
    got, _ = gateware.simulate(graph, images, currents=True)
    (first, *_) = compare(wanted, got, ALL)
    assert first["layer"] == layer


@pytest.mark.parametrize("level", ["rtl", pytest.param("netlist", marks=pytest.mark.slow)])
@pytest.mark.parametrize("encoder,weight_bits", [("stream", [4, 4]), ("rate", [6, 3])])
def test_levels_below_are_equal(level, encoder, weight_bits, tmp_path):
    graph = graph_of((12, 6, 3), lanes=(6, 3), encoder=encoder, weight_bits=weight_bits,
                     lengths=[32, 8], num_steps=2)
    images = random_images(np.random.default_rng(0), graph, 2)
    wanted = reference.run(graph, images, trace=True)
    got, _, sees = LEVELS[level].run(graph, images, Setting(folder=tmp_path, board=BOARD))
    assert sees == ALL and compare(wanted, got, sees) == []


def test_what_is_counted_is_what_is_built():
    graph = graph_of((40, 12, 4), lanes=(12, 4), num_steps=2)
    core = lower.core(graph)
    load, pixels = core.load, core.pixels
    found, = blocks.count(core, [
        load.valid, load.payload.as_value(), pixels.valid, pixels.payload, core.start,
        core.restart, core.done, core.cls, core.select, core.score]).values()
    counted = structure(graph)
    assert found.spram == counted.spram == sprams(graph) == 3
    assert found.ebr == counted.ebr
    without_link = counted.cells.lut - counted.parts["link"].lut
    assert found.lut4 == pytest.approx(without_link, rel=0.2)
    assert price(graph, BOARD)["spram"] == 3


@pytest.mark.parametrize("sizes,lanes,bits,message", [
    ((784, 600, 10), 16, 4, r"weights must fit 4 SPRAMs .* not take 8: fc1, fc2 8 \(31,592 rows"),
    ((20, 20, 10), 17, 4, "lanes must be at most 16 with weights of 4 bits in SPRAM"),
    ((20, 20, 10), 7, 10, "lanes must be at most 6 with weights of 10 bits in SPRAM")])
def test_what_no_sprams_hold_is_refused(sizes, lanes, bits, message):
    assert MOST * WIDTH == 64
    with pytest.raises(GraphError, match=message):
        graph_of(sizes, lanes=(lanes, 4), weight_bits=[bits] * 2, lengths=[512] * 2)


def test_boards_without_sprams_are_refused_by_name(tmp_path):
    graph = graph_of((8, 5, 3), lanes=(4, 3))
    board = targets.board("icestick")
    with pytest.raises(FitError, match=r"1 SPRAMs do not fit the HX1K's 0 .* UP5K, on board"):
        build_graph(graph, board)
    with pytest.raises(FitError, match="keep the weights in memory 'ebr' or 'lut'"):
        LEVELS["netlist"].run(graph, np.zeros((1, 8), int), Setting(folder=tmp_path, board=board))
    with pytest.raises(ToolError, match="uses 1 and 0; use --level netlist"):
        LEVELS["bitstream"].run(graph, np.zeros((1, 8), int), Setting(folder=tmp_path, board=BOARD))


def test_what_has_no_loader_is_refused_by_name():
    graph = graph_of((8, 5, 3), lanes=(4, 3))
    with pytest.raises(GraphError, match="whose 1 SPRAMs nobody would load"):
        export.export(graph, "core")


def test_estimate_shows_the_sprams_beside_the_weights(tmp_path, capsys):
    run = Run.create(tmp_path / "run")
    graph_of((8, 5, 3), lanes=(4, 3)).save(run.graph_file)
    command = ["estimate", "--run", str(run.path), "--board"]
    assert main([*command, "icebreaker"]) == 0
    out = capsys.readouterr().out
    assert "SPRAM" in out and "220 bits of weights; an SPRAM has 262,144" in out
    assert main([*command, "icestick", "--json"]) == FitError.exit_code
    data = json.loads(capsys.readouterr().out)
    assert data["estimate"]["spram"] == 1 and "1 SPRAMs do not fit" in data["problem"]


def test_the_table_of_products_is_that_of_the_generators():
    graph = graph_of((6, 4, 3), lanes=(4, 3), input_sng="sobol2", sng="lfsr", lengths=[16, 16])
    tables = sections(graph)[0].contents.tables
    assert np.array_equal(tables[0], sng.count_table("sobol2", "lfsr", 4, 4))
    check(graph, random_images(np.random.default_rng(1), graph, 2))
