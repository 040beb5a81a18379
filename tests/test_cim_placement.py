"""Placement: bit hops as they are counted pair by pair, and a search that never makes it worse."""


import pytest
from cim_networks import arrays, conv, dense, network, networks
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.mapper import map_network


def counted(plan, edge):
    """Bit hops of an edge, pair by pair of tiles, from what each crossbar holds."""
    ends = {mapped.layer.name: mapped for mapped in plan.layers}
    source, target = ends[edge.source], ends[edge.target]
    skip = target.layer.skip_source == edge.source and target.layer.source != edge.source

    def held(mapped, what):
        found = {}
        for bar in mapped.crossbar_list(plan.array):
            found.setdefault(bar.pe // plan.array.pes_per_tile, set()).update(what(bar))
        return found

    sent = held(source, lambda bar: [bar.pe])
    taken = held(target, lambda bar: [bar.pe] if skip else range(*bar.inputs))
    whole = target.pes if skip else target.layer.in_channels
    hops = delivered = 0
    for there, channels in taken.items():
        delivered += edge.bits * len(channels) / whole
        for here, pes in sent.items():
            a, b = plan.tiles[here], plan.tiles[there]
            hops += (edge.bits * len(pes) / source.pes * len(channels) / whole
                     * (abs(a.x - b.x) + abs(a.y - b.y)))
    return hops, delivered


@settings(max_examples=40, deadline=None)
@given(networks(), arrays, st.integers(0, 3), st.integers(0, 60))
def test_hops_are_those_of_all_pairs_and_never_more_than_in_row_major_order(
        shapes, array, seed, moves):
    plan = map_network(shapes, array, seed=seed, moves=moves)
    placed = plan.placement
    assert placed.bit_hops <= placed.row_major and placed.bit_hops <= placed.snake
    assert len({(tile.x, tile.y) for tile in plan.tiles}) == len(plan.tiles)
    assert all(0 <= tile.x < placed.mesh_cols and 0 <= tile.y < placed.mesh_rows
               for tile in plan.tiles)
    assert 0 <= placed.mesh_cols - placed.mesh_rows <= 1
    assert placed.mesh_rows * placed.mesh_cols - len(plan.tiles) < max(1, placed.mesh_cols)
    for edge in placed.edges:
        assert (edge.bit_hops, edge.delivered) == pytest.approx(counted(plan, edge))
    assert placed.bit_hops == pytest.approx(sum(edge.bit_hops for edge in placed.edges))
    assert map_network(shapes, array, seed=seed, moves=moves) == plan


def test_two_layers_of_one_tile_each_are_neighbours():
    plan = map_network(network(dense("a", 8, 8), dense("b", 8, 8)), Array())
    placed = plan.placement
    assert (placed.mesh_rows, placed.mesh_cols) == (1, 2)
    (edge,) = placed.edges
    assert (edge.bits, edge.delivered, edge.bit_hops) == (8, 8, 8)


def test_channels_travel_once_for_each_tile_that_reads_them():
    array = Array(rows=8, cols=12, crossbars_per_pe=1, pes_per_tile=1)  # two weights a row
    plan = map_network(network(dense("a", 8, 2), dense("b", 2, 6, input_bits=2)), array)
    (edge,) = plan.placement.edges
    assert (len(plan.tiles), edge.bits, edge.delivered) == (4, 4, 12)
    assert edge.bit_hops == plan.placement.bit_hops == 4 * (1 + 1 + 2), "a and b on 2 x 2"


def test_layers_that_share_a_tile_send_nothing_inside_it():
    plan = map_network(network(dense("a", 8, 8), dense("b", 8, 8)), Array(share_tiles=True))
    assert len(plan.tiles) == 1 and plan.placement.bit_hops == 0
    assert plan.placement.edges[0].bits == 8


def test_the_search_shortens_paths_of_a_chain_and_of_a_skip():
    chain = [conv(f"c{n}", 16, 16, 8) for n in range(12)]
    skip = [*chain[:11], conv("c11", 16, 16, 8, skip=True, skip_source="c0")]
    for layers in (chain, skip):
        plan = map_network(network(*layers), Array())
        placed = plan.placement
        assert placed.bit_hops <= placed.snake < placed.row_major
    ring = placed.bit_hops
    bits = 16 * 8 * 8
    assert ring == 12 * bits, "each of the twelve is a neighbour of the next, and the last of c0"


def test_a_search_ends_whatever_its_size():
    shapes = network(*(dense(f"a{n}", 128, 512) for n in range(4)))
    plan = map_network(shapes, Array(rows=4, cols=8, crossbars_per_pe=2, pes_per_tile=2))
    assert len(plan.tiles) == 16384 and plan.placement.bit_hops < plan.placement.row_major
