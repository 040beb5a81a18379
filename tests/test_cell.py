"""Cells: what is live, what is the same, how many there are, and texts."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow.errors import ConfigError
from spikeloom.nas.cells.cell import MAX_NODES, OPERATIONS, Cell, every, pairs, parse
from spikeloom.nas.cells.count import distinct

SNASNET = OPERATIONS[:5]


def renamed(cell: Cell, order: tuple[int, ...]) -> Cell | None:
    """The cell with its inner nodes renamed; None where an edge that runs forward would run back,
    or the other way round.
    """
    name = (0, *order, cell.nodes - 1)
    operations, backward = {}, {}
    for edge in cell.edges:
        source, target = name[edge.source], name[edge.target]
        place = (min(source, target), max(source, target))
        if (source > target) != edge.backward:
            return None
        operations[place], backward[place] = edge.operation, edge.backward
    return Cell(tuple(operations[place] for place in pairs(cell.nodes)),
                tuple(backward[place] for place in pairs(cell.nodes)))


def test_all_of_snasnets_cells():
    cells = list(every(SNASNET))
    assert len(cells) == 15_625 == len(set(cells))
    assert len({cell.pruned() for cell in cells}) == 9_445
    assert sum(not cell.connected for cell in cells) == 341


@pytest.mark.parametrize("operations, classes", [
    (("skip", "conv3x3"), 39), (("skip", "conv3x3", "avgpool3x3"), 483)])
def test_isomorphism_classes(operations, classes):
    cells = list(every(operations))
    assert len(cells) == len(operations) ** 6
    by_form = {}
    for cell in cells:
        by_form.setdefault(cell.canonical, []).append(cell)
    assert len(by_form) == classes
    for members in by_form.values():  # what is the same costs the same
        assert len({tuple(sorted(edge.operation for edge in cell.live if edge.operation != "skip"))
                    for cell in members}) == 1


cells = st.integers(2, 6).flatmap(lambda nodes: st.builds(
    Cell, st.tuples(*(st.sampled_from(OPERATIONS) for _ in pairs(nodes))),
    st.one_of(st.just(()), st.tuples(*(st.booleans() for _ in pairs(nodes))))))


@given(cells)
@settings(max_examples=60, deadline=None)
def test_renaming_and_pruning_change_no_canonical_form(cell):
    assert cell.pruned().canonical == cell.canonical
    for order in permutations(range(1, cell.nodes - 1)):
        other = renamed(cell.pruned(), order)
        if other is not None:
            assert other.canonical == cell.canonical


def test_skips_make_sums_of_sums():
    """Node 2 is node 1 through a skip, so what reads it reads the same."""
    assert parse("3|01|300").canonical != parse("3|01|030").canonical
    assert parse("3|01|003").canonical == parse("3|00|030").canonical
    assert parse("1|00|030").canonical == parse("0|00|300").canonical


def test_many_alike_terms_are_told_apart_quickly():
    """Six convolutions side by side, each read by one of its own: 6! squared orders, but one
    form, whatever the order of the nodes.
    """
    def fan(order):
        found = {(0, k): "conv3x3" for k in range(1, 7)}
        found |= {(k, 7): OPERATIONS[2 + kind] for k, kind in enumerate(order, 1)}
        return Cell(tuple(found.get(pair, "zeroize") for pair in pairs(8)))

    assert fan((0, 1, 2, 3, 4, 0)).canonical == fan((4, 0, 3, 0, 2, 1)).canonical
    assert fan((1,) * 6).canonical != fan((1, 1, 1, 1, 1, 2)).canonical


def test_live_edges():
    cell = parse("3|04|000")
    assert not cell.connected and cell.live == () and cell.count("conv3x3") == 0
    cell = parse("3|30|010")
    assert [(edge.source, edge.target) for edge in cell.live] == [(0, 1), (1, 3)]
    assert str(cell.pruned()) == "3|00|010"


def test_backward_edges_are_live_where_their_way_leads_out():
    loop = parse("3|0~2|030")  # 2 to 1 does not lead anywhere new: nothing comes into 2
    assert [(edge.source, edge.target) for edge in loop.live] == [(0, 1), (1, 3)]
    loop = parse("1|0~3|013")
    assert len(loop.live) == 2 and not loop.pruned().backward
    whole = parse("1|3~2|033")
    assert {(edge.source, edge.target) for edge in whole.live if edge.backward} == {(2, 1)}
    assert len(whole.live) == 5
    back = parse("3|0~0|00~3")
    assert not back.connected


@given(cells)
@settings(max_examples=60, deadline=None)
def test_texts_read_back(cell):
    assert parse(str(cell)) == cell


@pytest.mark.parametrize("text", ["", "3|0", "3|012", "3|01|23", "9|01|234", "3|01|2 4", "3|~01|7",
                                  "3||01", "x"])
def test_texts_that_are_no_cells(text):
    with pytest.raises(ConfigError, match=r"cell must be numbers of operations in 0\.\.6, one for"):
        parse(text)


def test_cells_that_are_none():
    with pytest.raises(ConfigError, match="unknown operation 'conv3'; did you mean 'conv3x3'"):
        Cell(("conv3",))
    with pytest.raises(ConfigError, match=r"one of \[1, 3, 6, 10, 15, 21, 28\], not 2"):
        Cell(("skip", "skip"))
    with pytest.raises(ConfigError, match="backward must be one an edge, 3, not 1"):
        Cell(("skip",) * 3, (True,))
    with pytest.raises(ConfigError, match=r"2\.\.8 nodes"):
        Cell(("skip",) * len(pairs(MAX_NODES + 1)))


def test_replacing_an_operation():
    assert str(parse("3|01|234").replaced("conv3x3", "skip")) == "1|01|214"


@pytest.mark.parametrize("nodes, kinds, zeroize, backward", [
    *product((2, 3), (1, 2), (True, False), (True, False)), (3, 4, True, True),
    (4, 2, True, False), (4, 1, True, True), (4, 2, False, True)])
def test_counts_are_those_of_all_cells(nodes, kinds, zeroize, backward):
    operations = OPERATIONS[not zeroize:kinds + 1]
    found = {cell.pruned() for cell in every(operations, nodes, backward)}
    assert distinct(kinds, nodes, zeroize=zeroize, backward=backward) == len(found)


def test_counts_by_closed_form():
    assert distinct(4, 4, zeroize=True, backward=False) == 9_445
    assert distinct(3, 4, zeroize=False, backward=False) == 729
    assert distinct(2, 4, zeroize=True, backward=True) == 4_155
    assert distinct(6, MAX_NODES, zeroize=True, backward=True) > 10 ** 25
