"""The mapper: every weight has its cells, growth costs, and the shapes of published networks."""

import json
from math import ceil, prod
from pathlib import Path

import numpy as np
import pytest
from cim_networks import SINGLE, arrays, conv, dense, network, networks
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from spikeloom.flow import ir
from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.mapper import map_network, tile_layer
from spikeloom.flow.cim.plan import tile_cells
from spikeloom.flow.cim.shapes import of_graph
from spikeloom.flow.cim.weights import columns_per_weight
from spikeloom.flow.errors import ConfigError, FitError, GraphError
from spikeloom.hdl.neurons import Lif
from spikeloom.sim.random_maps import residual_graph

CASES = Path(__file__).parent / "cases"


def cases():
    for case in json.loads((CASES / "spikesim_ela.json").read_text())["cases"]:
        given_, layers = case["inputs"], []
        for index, (inputs, outputs, size) in enumerate(zip(
                given_["in_ch_list"], given_["out_ch_list"], given_["out_dim_list"], strict=True)):
            layers.append(conv(f"conv{index + 1}", inputs, outputs, size, given_["kernel_size"]))
        array = structs.replace(SINGLE, rows=given_["xbar_size"], cols=given_["xbar_size"],
                                pes_per_tile=given_["pe_per_tile"])
        yield pytest.param(network(*layers), array, case["outputs"], id=case["name"])


@pytest.mark.parametrize(("shapes", "array", "wanted"), list(cases()))
def test_published_networks_take_the_pes_and_tiles_of_the_released_script(shapes, array, wanted):
    alone, shared = (map_network(shapes, structs.replace(array, share_tiles=share))
                     for share in (False, True))
    assert columns_per_weight(3, array) == 1
    assert [mapped.pes for mapped in alone.layers] == wanted["pe_per_layer"]
    assert [mapped.crossbars for mapped in alone.layers] == [9 * n for n in wanted["pe_per_layer"]]
    # None: it refuses networks whose PE counts fall
    assert len(shared.tiles) == wanted["n_tiles"] or (wanted["n_tiles"] is None
                                                      and len(shared.tiles) == 2)
    form = wanted["closed_form"]
    if "n_tiles_if_layers_do_not_share" in form:
        assert len(alone.tiles) == form["n_tiles_if_layers_do_not_share"]
    assert [mapped.pes for mapped in shared.layers] == [mapped.pes for mapped in alone.layers]


def test_a_layer_is_counted_as_by_hand():
    array = Array(rows=16, cols=20, cell_bits=2)  # 3 bits: 2 cells of either sign
    found = tile_layer(conv("c", 40, 12, 7), array)
    assert (found.columns_per_weight, found.outputs_per_crossbar) == (4, 5)
    assert (found.row_blocks, found.col_blocks, found.crossbars, found.pes) == (3, 3, 81, 9)
    assert (found.row_sizes, found.output_sizes) == ((16, 16, 8), (5, 5, 2))
    assert found.column_sizes == (20, 20, 8)
    assert found.columns_used == 9 * 3 * 48 and found.rows_used == 9 * 3 * 40
    assert found.cells == 9 * 40 * 48
    grid = found.crossbar_utilizations(array)
    assert grid == [[1, 1, 0.4], [1, 1, 0.4], [0.5, 0.5, 0.2]]
    assert found.utilization(array) == pytest.approx(np.mean(grid))
    assert (found.first_tile, found.tiles) == (0, 2)


@pytest.mark.parametrize(("kernel_size", "blocks", "pes"), [
    (1, 9, 1), (1, 10, 2), (2, 2, 1), (2, 3, 2), (3, 1, 1), (3, 4, 4), (4, 1, 2), (5, 1, 3),
    (5, 2, 6), (7, 1, 6)])
def test_blocks_fill_a_pe_and_large_kernels_take_several(kernel_size, blocks, pes):
    found = tile_layer(conv("c", 64, 64 * blocks, 8, kernel_size), SINGLE)
    assert (found.blocks, found.crossbars, found.pes) == (blocks, blocks * kernel_size ** 2, pes)


@settings(max_examples=60, deadline=None)
@given(networks(), arrays)
def test_every_weight_has_its_cells_once_and_every_crossbar_its_slot(shapes, array):
    plan = map_network(shapes, array, moves=20)
    assert [m.layer.name for m in plan.layers] + [d.name for d in plan.digital] == [
        layer.name for layer in sorted(shapes.layers, key=lambda layer: bool(layer.digital))]
    slots, tiles = set(), {}
    for mapped in plan.layers:
        layer, extent, count = mapped.layer, mapped.layer.kernel_size, 0
        held = np.zeros((layer.out_channels, layer.in_channels, extent, extent), int)
        grid = mapped.crossbar_utilizations(array)
        assert all(0 < share <= 1 for row in grid for share in row)
        for bar in mapped.crossbar_list(array):
            held[slice(*bar.outputs), slice(*bar.inputs), bar.ky, bar.kx] += 1
            columns = bar.outputs_used * mapped.columns_per_weight
            assert 1 <= bar.rows_used <= array.rows and 1 <= columns <= array.cols
            assert bar.slot < array.crossbars_per_pe and (bar.pe, bar.slot) not in slots
            assert mapped.first_pe <= bar.pe < mapped.first_pe + mapped.pes
            slots.add((bar.pe, bar.slot))
            part = tiles.setdefault(bar.pe // array.pes_per_tile, {}).setdefault(
                layer.name, [set(), 0, 0])
            part[0].add(bar.pe)
            part[1] += 1
            part[2] += bar.rows_used * columns
            count += 1
        assert (held == 1).all() and count == mapped.crossbars
        assert 0 < mapped.utilization(array) <= 1
        assert mapped.utilization(array) == pytest.approx(np.mean(grid))
    found = {index: {part.layer: [part.pes, part.crossbars, part.cells] for part in tile.parts}
             for index, tile in enumerate(plan.tiles)}
    assert found == {index: {name: [len(pes), *rest] for name, (pes, *rest) in parts.items()}
                     for index, parts in tiles.items()}
    assert all(0 < tile.utilization(array) <= 1 for tile in plan.tiles)
    assert plan.cells == sum(prod((layer.weights, columns_per_weight(layer.magnitude_bits, array)))
                             for layer in shapes.layers if not layer.digital)
    if not array.share_tiles:
        assert all(len(tile.parts) == 1 for tile in plan.tiles)
    else:
        assert len(plan.tiles) == ceil(plan.pes / array.pes_per_tile)


@settings(max_examples=60, deadline=None)
@given(networks(), arrays, st.data())
def test_a_layer_that_grows_never_takes_less(shapes, array, data):
    index = data.draw(st.integers(0, len(shapes.layers) - 1))
    key = data.draw(st.sampled_from(("in_channels", "out_channels", "kernel_size",
                                     "magnitude_bits")))
    layer = shapes.layers[index]
    more = structs.replace(layer, **{key: getattr(layer, key) + data.draw(st.integers(0, 5))})
    grown = structs.replace(shapes, layers=(*shapes.layers[:index], more,
                                            *shapes.layers[index + 1:]))
    try:
        after = map_network(grown, array, moves=0)
    except FitError as error:
        assert more.name in str(error) and columns_per_weight(more.magnitude_bits,
                                                              array) > array.cols
        return
    before = map_network(shapes, array, moves=0)
    for key in ("crossbars", "pes", "cells"):
        assert getattr(after, key) >= getattr(before, key)
        assert all(getattr(b, key) >= getattr(a, key)
                   for a, b in zip(before.layers, after.layers, strict=True))
    assert len(after.tiles) >= len(before.tiles)
    assert array.share_tiles or all(b.tiles >= a.tiles
                                    for a, b in zip(before.layers, after.layers))


def test_what_stream_input_feeds_stays_digital_and_is_counted():
    lif = Lif(v_threshold=8)
    common = {"weight_bits": 4, "bitstream_length": 8, "sng": "sobol1", "neuron": lif}
    layers = [{"out_features": size, **common} for size in (20, 10)]
    kinds = {kind: map_network(of_graph(ir.chain(
        shape=(64,), encoder=kind, input_sng="ramp" if kind == "stream" else None, layers=layers,
        readout="membrane", num_steps=4)), Array()) for kind in ("stream", "rate")}
    (digital,) = kinds["stream"].digital
    assert digital.name == "fc1" and "streams of bits" in digital.digital
    assert (digital.weights, digital.neurons) == (1280, 20)
    assert [mapped.layer.name for mapped in kinds["stream"].layers] == ["fc2"]
    assert not kinds["rate"].digital and len(kinds["rate"].layers) == 2
    assert kinds["rate"].placement.edges[0].bits == 20, "spikes of fc1's neurons"
    assert not kinds["stream"].placement.edges, "fc2 reads what is not on a tile"


def test_a_network_of_digital_layers_alone_is_a_plan_without_tiles():
    plan = map_network(network(dense("fc1", 64, 10, digital="why")), Array())
    assert (plan.tiles, plan.utilization, plan.crossbars) == ((), 0, 0)
    assert plan.placement.bit_hops == 0 == plan.placement.mesh_rows


def test_the_layers_of_a_residual_graph_name_whose_spikes_they_read():
    graph = residual_graph(np.random.default_rng(1), encoder="rate")
    shapes = of_graph(graph)
    assert [layer.source for layer in shapes.layers] == ["input", "conv1", "conv2", "conv3"]
    assert [layer.skip_source for layer in shapes.layers] == ["", "", "conv1", ""]
    plan = map_network(shapes, Array(rows=4, cols=8, pes_per_tile=1))
    assert [(edge.source, edge.target) for edge in plan.placement.edges] == [
        ("conv1", "conv2"), ("conv2", "conv3"), ("conv1", "conv3"), ("conv3", "fc4")]
    assert plan.placement.edges[2].bits == shapes.layers[2].neurons


@pytest.mark.parametrize(("shapes", "message"), [
    (network(), "net: must have at least one layer"),
    (network(dense("a", 0, 3)), "a: in_channels must be at least 1, not 0"),
    (network(dense("a", 3, -1)), "a: out_channels must be at least 1, not -1"),
    (network(conv("a", 3, 3, 0)), "a: in_size must be at least 1 x 1, not 0 x 0"),
    (network(conv("a", 3, 3, 4, 0)), "a: kernel_size must be at least 1, not 0"),
    (network(dense("a", 3, 3, 0)), "a: magnitude_bits must be at least 1, not 0"),
    (network(dense("a", 3, 3), num_steps=0), "num_steps must be at least 1, not 0"),
    (network(dense("a", 3, 3), dense("a", 3, 3)), "not 'a' again"),
    (network(dense("a", 3, 3, source="b")), "a: source must be a layer before it, or 'input'"),
    (network(*(dense(f"a{n}", 1, 1) for n in range(1025))), "at most 1,024 layers, not 1,025"),
])
def test_shapes_that_no_layer_has_are_refused(shapes, message):
    with pytest.raises(GraphError) as raised:
        map_network(shapes, Array())
    assert message in str(raised.value)


def test_what_does_not_fit_is_refused_by_name_and_by_how_much():
    with pytest.raises(FitError, match=r"^b: a weight takes 126 columns .*at most the 64"):
        map_network(network(dense("a", 3, 3), dense("b", 3, 3, 63)), Array())
    shapes = network(dense("a", 9, 3), dense("b", 640, 64 * 80), name="wide")
    assert len(map_network(shapes, SINGLE, max_tiles=13).tiles) == 13
    with pytest.raises(FitError, match=r"^wide: takes 13 tiles, 3 more than the chip has \(10\); "
                                       r"b alone takes 12; .* or share_tiles$"):
        map_network(shapes, SINGLE, max_tiles=10)
    with pytest.raises(FitError, match=r"more than the chip has \(10\).* or fewer bits a weight$"):
        map_network(shapes, structs.replace(SINGLE, share_tiles=True), max_tiles=10)
    with pytest.raises(FitError, match=r"more than are ever mapped \(65,536\)"):
        map_network(network(dense("a", 1 << 20, 1 << 20)), Array())
    with pytest.raises(ConfigError, match=r"array\.rows must be in 1\.\.4096, not 0"):
        map_network(shapes, Array(rows=0))


def test_tiles_have_the_cells_of_the_array():
    assert tile_cells(Array()) == 8 * 9 * 64 * 64
