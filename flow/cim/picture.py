"""The tile map as SVG: a square a tile, in the colour of its layer, as full as its cells are.

A tile of several layers is striped by their crossbars. What is filled is what is in use; the rest
of the square is pale. The legend has the letters of the printed table.
"""

import math
from pathlib import Path
from xml.sax.saxutils import escape

from ..files import write_atomic
from ..output import counted
from .plan import Plan, Tile
from .plan_text import percent, shape, symbol

TILE, GAP, MARGIN = 64, 6, 24
#: Heights of the title and of a row of the legend, and the least width of a picture.
HEAD, ROW, NARROW = 56, 26, 560
#: Pixels a character takes, plain, bold and in the title, and the longest name in the legend.
PLAIN, BOLD, LARGE, NAME = 6.6, 7.6, 9.5, 32
#: Tiles a side from which letters would not be legible, so that titles alone tell.
DENSE = 48
#: Longest side of a picture in pixels; tiles of a large mesh are smaller.
MOST = 4096
#: Hue steps by the golden angle, so that layers in a row differ, and lightness by turns.
GOLDEN, LIGHTNESS, CHROMA = 137.508, (0.75, 0.86, 0.67), 0.12


def save(plan: Plan, path: Path) -> None:
    write_atomic(path, svg(plan))


def svg(plan: Plan) -> str:
    """The picture."""
    placed = plan.placement
    side = max(placed.mesh_rows, placed.mesh_cols, 1)
    step = min(TILE + GAP, max(2, (MOST - 2 * MARGIN) // side))
    letters = side <= DENSE and step >= 40
    grid_width, grid_height = placed.mesh_cols * step, placed.mesh_rows * step
    legend_x = MARGIN + grid_width + (MARGIN if plan.tiles else 0)
    rows = 1 + len(plan.layers) + len(plan.digital)
    legend = _entries(plan)
    widths = _widths(legend)
    width = max(NARROW, legend_x + sum(widths) + MARGIN)
    height = HEAD + max(grid_height, rows * ROW + 8) + ROW + MARGIN
    colours = {mapped.layer.name: colour(index) for index, mapped in enumerate(plan.layers)}
    names = {mapped.layer.name: symbol(index) for index, mapped in enumerate(plan.layers)}
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           f'width="{width}" height="{height}" font-family="sans-serif" font-size="12" '
           'fill="#222">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           _text(MARGIN, 26, _fit(f"{plan.network}: {counted(len(plan.tiles), 'tile')}, "
                                  f"{percent(plan.utilization)} of all cells in use",
                                  (width - 2 * MARGIN) / LARGE),
                 'font-size="15" font-weight="bold"'),
           _text(MARGIN, 44, _fit(_array(plan), (width - 2 * MARGIN) / PLAIN), 'fill="#666"')]
    taken = {(tile.x, tile.y) for tile in plan.tiles}
    size = _size(step)
    out += [f'<rect x="{MARGIN + x * step:.1f}" y="{HEAD + y * step:.1f}" width="{size:.1f}" '
            f'height="{size:.1f}" fill="none" stroke="#ddd" stroke-dasharray="3 3"/>'
            for y in range(placed.mesh_rows) for x in range(placed.mesh_cols)
            if (x, y) not in taken]
    for tile in plan.tiles:
        x, y = MARGIN + tile.x * step, HEAD + tile.y * step
        out += _tile(tile, plan, x, y, step, colours, names if letters else None)
    out += _legend(legend, widths, legend_x, colours)
    if placed.row_major:
        out.append(_text(MARGIN, height - MARGIN / 2, _fit(
            f"bit hops a timestep: {placed.bit_hops:,.0f}, in row-major order "
            f"{placed.row_major:,.0f}", (width - 2 * MARGIN) / PLAIN), 'fill="#666"'))
    return "\n".join([*out, "</svg>", ""])


def colour(index: int) -> tuple[str, str]:
    """The colour of a layer and its pale kind, as #rrggbb."""
    hue = math.radians(index * GOLDEN + 250)
    light = LIGHTNESS[index % len(LIGHTNESS)]
    return _oklch(light, CHROMA, hue), _oklch(0.95, 0.025, hue)


def _tile(tile: Tile, plan: Plan, x: float, y: float, step: float,
          colours: dict[str, tuple[str, str]], names: dict[str, str] | None) -> list[str]:
    size = _size(step)
    share = tile.utilization(plan.array)
    total = sum(part.crossbars for part in tile.parts)
    words = ", ".join(f"{part.layer}: {part.pes} PEs, {part.crossbars} crossbars"
                      for part in tile.parts)
    out = [f"<g><title>{escape(f'{words}; {share:.1%} of the cells')}</title>"]
    left = x
    for part in tile.parts:
        wide = size * part.crossbars / total
        strong, pale = colours[part.layer]
        high = size * share
        out += [_rect(left, y, wide, size, pale), _rect(left, y + size - high, wide, high, strong)]
        left += wide
    strong = colours[max(tile.parts, key=lambda part: part.crossbars).layer][0]
    out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size:.1f}" fill="none" '
               f'stroke="{strong}"/>')
    if names:
        label = "+".join(names[part.layer] for part in tile.parts)
        middle = x + size / 2
        out += [_text(middle, y + size / 2 - 3, _fit(label, size / LARGE),
                      'text-anchor="middle" font-weight="bold"'),
                _text(middle, y + size / 2 + 13, percent(share), 'text-anchor="middle"')]
    return [*out, "</g>"]


def _size(step: float) -> float:
    """Side of a square on a mesh of that step."""
    return step - (GAP if step > 3 * GAP else 0.5)


#: What the last column of the legend tells of a layer on crossbars.
_TOLD = "tiles, cells in use"


def _entries(plan: Plan) -> list[tuple[str, str, str, str, str]]:
    """Rows of the legend: letter, empty for a digital layer, name, shape, what is told, tooltip."""
    return [*((symbol(index), mapped.layer.name, shape(mapped.layer),
               f"{counted(mapped.tiles, 'tile')}, {percent(mapped.utilization(plan.array))}",
               mapped.layer.name) for index, mapped in enumerate(plan.layers)),
            *(("", layer.name, shape(layer), "digital", f"{layer.name}: {layer.digital}")
              for layer in plan.digital)]


def _widths(legend: list[tuple[str, str, str, str, str]]) -> tuple[float, float, float, float]:
    """Pixels of the legend's columns: swatch, name, shape, what is told."""
    name, form, told = (max(len(row[column]) for row in legend) for column in (1, 2, 3))
    return (24, BOLD * min(name, NAME) + 12, PLAIN * form + 12, PLAIN * max(told, len(_TOLD)))


def _legend(legend: list[tuple[str, str, str, str, str]], widths: tuple[float, ...], x: float,
            colours: dict[str, tuple[str, str]]) -> list[str]:
    y, end = HEAD + 14, x + sum(widths)
    grey = 'text-anchor="end" fill="#666"'
    out = [_text(end, y, _TOLD, grey)] if legend[0][0] else []
    for letter, name, form, told, tip in legend:
        y += ROW
        if letter:
            out += [_rect(x, y - 12, 16, 16, colours[name][0]),
                    _text(x + 8, y, letter, 'text-anchor="middle" font-size="10"')]
        else:
            out.append(f'<rect x="{x:.1f}" y="{y - 12}" width="16" height="16" fill="none" '
                       'stroke="#666" stroke-dasharray="3 2"/>')
        out += [f"<g><title>{escape(tip)}</title>",
                _text(x + widths[0], y, _fit(name, NAME), 'font-weight="bold"'), "</g>",
                _text(x + widths[0] + widths[1], y, form), _text(end, y, told, grey)]
    return out


def _array(plan: Plan) -> str:
    array = plan.array
    return (f"crossbars of {array.rows} x {array.cols} cells of {array.cell_bits} bit, "
            f"{array.crossbars_per_pe} a PE, {array.pes_per_tile} PEs a tile, {array.encoding}")


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{fill}"/>')


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def _fit(words: str, most: float) -> str:
    """The words, cut off with an ellipsis where they have more characters than there is room."""
    return words if len(words) <= most else words[:max(1, int(most) - 1)] + "…"


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    """sRGB of a colour in OKLCH (B. Ottosson, "A perceptual color space for image processing",
    2020), where equal steps look equal; channels out of range are cut off.
    """
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long, medium, short = (value ** 3 for value in (
        lightness + 0.3963377774 * a + 0.2158037573 * b,
        lightness - 0.1055613458 * a - 0.0638541728 * b,
        lightness - 0.0894841775 * a - 1.2914855480 * b))
    linear = (4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
              -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
              -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short)
    coded = (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
             for value in (min(max(value, 0.0), 1.0) for value in linear))
    return "#" + "".join(f"{round(255 * value):02x}" for value in coded)
