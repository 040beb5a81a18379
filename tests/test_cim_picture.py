"""The picture of a tile map: valid SVG that shows every tile, inside its frame, in its colour."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from cim_networks import SINGLE, conv, dense, network
from msgspec import structs

from spikeloom.flow.cim import picture
from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.mapper import map_network

SVG = "{http://www.w3.org/2000/svg}"
NET = network(conv("conv1", 3, 64, 16), conv("a <very> long & odd name", 64, 1024, 16),
              dense("fc3", 4096, 10), dense("fc4", 10, 10, digital="be<cause"), name="x < y & z")


def drawn(plan):
    return ElementTree.fromstring(picture.svg(plan))


def luminance(colour):
    channels = (int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear))


def test_every_tile_is_drawn_with_its_letter_and_its_share():
    plan = map_network(NET, SINGLE)
    root = drawn(plan)
    tiles = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}rect") is not None]
    assert len(tiles) == len(plan.tiles) == 4
    for group, tile in zip(tiles, plan.tiles, strict=True):
        letter, share = (text.text for text in group.findall(f"{SVG}text"))
        (part,) = tile.parts
        index = [mapped.layer.name for mapped in plan.layers].index(part.layer)
        assert letter == "ABC"[index] and share == {"A": "<1%", "B": "100%", "C": "14%"}[letter]
        pale, strong, _ = group.findall(f"{SVG}rect")
        assert (strong.get("fill"), pale.get("fill")) == picture.colour(index)
        filled = float(strong.get("height")) / float(pale.get("height"))
        assert filled == pytest.approx(tile.utilization(SINGLE), abs=0.01)
        assert part.layer in group.find(f"{SVG}title").text
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words[0].startswith("x < y & z: 4 tiles") and "digital" in words
    assert "fc4: be<cause" in [title.text for title in root.iter(f"{SVG}title")]


@pytest.mark.parametrize("array", [
    SINGLE, structs.replace(SINGLE, share_tiles=True), Array(rows=4, cols=8),
    structs.replace(SINGLE, crossbars_per_pe=1, pes_per_tile=1)])
def test_nothing_lies_outside_the_frame_or_on_top_of_something_else(array):
    root = drawn(map_network(NET, array, moves=0))
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = {tuple(float(rect.get(key)) for key in ("x", "y", "width", "height"))
             for rect in root.iter(f"{SVG}rect") if rect.get("x")}
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    for text in root.iter(f"{SVG}text"):
        x, y, wide = float(text.get("x")), float(text.get("y")), 6.5 * len(text.text)
        anchor = {"end": 1, "middle": 0.5}.get(text.get("text-anchor"), 0)
        assert 0 <= x - anchor * wide and x + (1 - anchor) * wide <= width + 1 and y <= height
    frames = sorted({(float(rect.get("x")), float(rect.get("y")), float(rect.get("width")))
                     for rect in root.iter(f"{SVG}rect") if rect.get("fill") == "none"})
    if len(frames) < 200:
        assert all(abs(a[0] - b[0]) >= a[2] or abs(a[1] - b[1]) >= a[2]
                   for a, b in combinations(frames, 2))


def test_colours_differ_and_dark_words_can_be_read_on_them():
    colours = [picture.colour(index) for index in range(12)]
    for strong, pale in colours:
        assert re.fullmatch("#[0-9a-f]{6}", strong)
        for shade in (strong, pale):
            assert (luminance(shade) + 0.05) / (luminance("#222222") + 0.05) > 4.5
    for (a, _), (b, _) in combinations(colours, 2):
        assert sum(abs(int(a[at:at + 2], 16) - int(b[at:at + 2], 16)) for at in (1, 3, 5)) > 40


def test_a_chip_without_tiles_is_a_legend(tmp_path):
    plan = map_network(network(dense("fc1", 4, 2, digital="why"), name="none"), Array())
    picture.save(plan, tmp_path / "a" / "plan.svg")
    words = [text.text for text in
             ElementTree.parse(tmp_path / "a" / "plan.svg").iter(f"{SVG}text")]
    assert words[0].startswith("none: 0 tiles") and "fc1" in words and "digital" in words
