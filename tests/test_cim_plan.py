"""Plans as files and as text: what is read back, what is refused, and what a person sees."""

import json

import pytest
from cim_networks import SINGLE, arrays, conv, dense, network, networks
from hypothesis import given, settings
from msgspec import structs

from spikeloom.flow.cim import plan_text
from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.mapper import map_network
from spikeloom.flow.cim.plan import load_plan
from spikeloom.flow.errors import RunError

SMALL = network(conv("conv1", 3, 64, 16), conv("conv2", 64, 256, 16),
                dense("fc3", 65536, 10, digital="so that it is seen"), name="small")


@settings(max_examples=25, deadline=None)
@given(networks(), arrays)
def test_a_plan_reads_back_as_it_was(tmp_path_factory, shapes, array):
    plan = map_network(shapes, array, moves=5)
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    plan.save(path)
    assert load_plan(path) == plan


def test_the_file_can_be_read_by_a_person(tmp_path):
    plan = map_network(SMALL, SINGLE)
    plan.save(tmp_path / "a" / "plan.json")
    text = (tmp_path / "a" / "plan.json").read_text()
    data = json.loads(text)
    assert (data["format"], data["network"], data["num_steps"]) == (1, "small", 5)
    assert data["array"]["rows"] == 64 and data["layers"][1]["col_blocks"] == 4
    assert data["layers"][1]["layer"]["source"] == "conv1"
    assert data["digital"][0]["digital"] == "so that it is seen"
    assert max(map(len, text.splitlines())) < 100
    plan.save(tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text() == text, "the same bytes every time"


def changed(tmp_path, **changes):
    """The saved plan with some values replaced, by dotted key."""
    path = tmp_path / "plan.json"
    map_network(SMALL, SINGLE).save(path)
    data = json.loads(path.read_text())
    for key, value in changes.items():
        at = data
        *before, last = (int(word) if word.isdigit() else word for word in key.split("__"))
        for word in before:
            at = at[word]
        at[last] = value
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(("changes", "message"), [
    ({"format": 2}, "has plan format 2, this version reads 1"),
    ({"array__rows": 0}, "is damaged .*rows must be in 1..4096"),
    ({"array__rows": "x"}, "is damaged .*Expected `int`, got `str`"),
    ({"array__rwos": 1}, "is damaged .*unknown field `rwos`"),
    ({"layers__0__pes": 2}, "is damaged .*conv1: tiles must hold its 2 pes, not 1"),
    ({"layers__1__crossbars": 1}, "is damaged .*conv2: tiles must hold its 1 crossbars, not 36"),
    ({"tiles__0__x": 1}, "tiles must have places of their own on 1 x 2"),
    ({"tiles__0__y": 7}, "tiles must have places of their own on 1 x 2"),
    ({"tiles": []}, "tiles must hold its 1 pes, not 0"),
    ({"layers": 3}, "is damaged"),
])
def test_a_damaged_plan_is_refused(tmp_path, changes, message):
    with pytest.raises(RunError, match=message):
        load_plan(changed(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b"\xff\xfe", b'{"format": 1}'])
def test_what_is_no_plan_is_refused(tmp_path, content):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        load_plan(path)


def test_a_missing_plan_is_named(tmp_path):
    with pytest.raises(RunError, match=r"no\.json: cannot be read .*'spikeloom map' writes it"):
        load_plan(tmp_path / "no.json")


def test_the_map_shows_every_tile_in_its_place():
    plan = map_network(SMALL, SINGLE)
    rows = [line.split("  ") for line in plan_text.tile_map(plan).splitlines()]
    cells = {(tile.x, tile.y): tile for tile in plan.tiles}
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            letter, share = cell.split()
            assert letter == {"conv1": "A", "conv2": "B"}[cells[x, y].parts[0].layer]
            assert share == {"A": "<1%", "B": "50%"}[letter], "27 x 64 cells, and half of the PEs"
    assert sum(map(len, rows)) == len(plan.tiles) == 2


def test_the_map_shows_shared_tiles_and_free_places_and_says_what_is_too_wide():
    shared = map_network(SMALL, structs.replace(SINGLE, share_tiles=True))
    assert plan_text.tile_map(shared) == "B+ 51%"
    three = map_network(network(*(dense(f"a{n}", 64, 64) for n in range(3))), SINGLE)
    assert sorted(plan_text.tile_map(three).split()) == [".", "1%", "1%", "1%", "A", "B", "C"]
    wide = map_network(network(dense("a", 64, 64 * 72 * 15)), SINGLE, moves=0)
    assert plan_text.tile_map(wide).count("A 100%") == 15
    wider = structs.replace(SINGLE, crossbars_per_pe=1, pes_per_tile=1)
    middle = map_network(network(dense("a", 64, 64 * 200)), wider, moves=0)
    assert plan_text.tile_map(middle).count("A") == 200 and "%" not in plan_text.tile_map(middle)
    large = map_network(network(dense("a", 64, 64 * 1000)), wider, moves=0)
    assert plan_text.tile_map(large) == "a mesh of 32 x 32 is too wide for the terminal"
    nothing = map_network(network(dense("a", 2, 2, digital="why")), Array())
    assert plan_text.tile_map(nothing) == "no tiles"


def test_lines_say_what_the_table_does_not():
    lines = plan_text.lines(map_network(SMALL, SINGLE))
    assert lines[0] == ("fc3 stays digital (655,360 synapses, 10 neurons): so that it is seen")
    assert "25% of all cells of 2 tiles are in use, and layers never share a tile" in lines[1]
    assert "placed on a mesh of 1 x 2: 16,384 bit hops a timestep, as in row-major" in lines[2]
    alone = plan_text.lines(map_network(network(dense("a", 2, 2, digital="why")), Array()))
    assert alone == ["a stays digital (4 synapses, 2 neurons): why", "nothing is on crossbars"]


def test_letters_and_shares_are_short():
    assert [plan_text.symbol(index) for index in (0, 25, 26, 51, 52, 701, 702)] == [
        "A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]
    assert [plan_text.percent(share) for share in (0, 1e-9, 0.0099, 0.01, 0.5, 1)] == [
        "0%", "<1%", "<1%", "1%", "50%", "100%"]
