"""Placement: tiles on a near-square mesh so that spikes travel over few of its links.

What is minimised are bit hops of a timestep: bits that a tile sends to another, times the links
between them, summed over the pairs. A layer's outputs are spread over its tiles in proportion to
their crossbars, and every tile of its reader takes the channels that its rows hold, so channels
travel once for each tile that reads them; the spikes of a skip travel once. Bits come as a map, one
or more of every value, spike or none, and take a shortest path. What comes from outside the tiles,
and partial sums on their way to the neurons, which belong to no tile, are not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np

from .array import Array
from .plan import Edge, Mapped, Placement, blocks_per_pe, pes_per_block

#: Tiles whose best exchange is looked for, how many times the tiles there are at most, and at most
#: so many times the places to look at.
MOVES = 4096
EACH = 64
WORK = 1 << 24
#: Exchanges at random that shake a placement out of a dead end.
SHAKES = 4
#: An exchange must save this share of all bit hops, or rounding could be taken for a gain.
LEAST_GAIN = 1e-12
#: Into how many strips the mesh is cut for a snake.
STRIPS = (1, 2, 3)


def place(layers: Sequence[Mapped], array: Array, count: int, *, seed: int = 0,
          moves: int = MOVES) -> tuple[Placement, list[tuple[int, int]]]:
    """Where `count` tiles lie: the placement, and (x, y) of each.

    Snakes, which fill the mesh in strips, forth and back, and row-major order are where the search
    starts, the best of them first, and then what is best so far, shaken a little. Tiles are taken
    in an order drawn from `seed`, and each is exchanged with the tile, or the free place, that
    saves most, until none saves any; then comes the next start, until `moves` tiles have been
    looked at, or fewer (`EACH`, `WORK`). With 0 moves it is the best start. Never worse than
    row-major order.
    """
    cols = isqrt(count - 1) + 1 if count else 0
    rows = ceil(count / cols) if count else 0
    flows = _flows(layers, array, count)
    straight = np.stack(np.unravel_index(np.arange(count), (rows, cols))[::-1])
    snakes = [_snake(rows, cols, strips)[:, :count] for strips in STRIPS if strips <= cols]
    ranked = sorted(((flows.total(order), index, order)
                     for index, order in enumerate([*snakes, straight])), key=lambda item: item[:2])
    best, _, found = ranked[0]
    rng = np.random.default_rng(seed)
    left = min(moves, EACH * count, WORK // max(1, rows * cols)) if best else 0
    starts = [order for _, _, order in ranked]
    while left > 0:
        start = starts.pop(0) if starts else _shaken(found, rows, cols, rng)
        improved, done = _improve(flows, start, rows, cols, rng, left)
        left -= done
        if (total := flows.total(improved)) < best:
            best, found = total, improved
    placement = Placement(
        mesh_rows=rows, mesh_cols=cols, row_major=flows.total(straight),
        snake=min(map(flows.total, snakes), default=0.0), bit_hops=best, seed=seed,
        edges=tuple(flows.edges(found)))
    return placement, [(int(x), int(y)) for x, y in found.T]


def _shaken(places: np.ndarray, rows: int, cols: int, rng: np.random.Generator) -> np.ndarray:
    """The same places after `SHAKES` exchanges of a tile with whatever lies at a random place."""
    shaken = places.copy()
    for _ in range(SHAKES):
        tile = int(rng.integers(places.shape[1]))
        target = np.array(divmod(int(rng.integers(rows * cols)), cols))[::-1]
        there = (shaken == target[:, None]).all(axis=0)
        shaken[:, there] = shaken[:, [tile]]
        shaken[:, tile] = target
    return shaken


def _snake(rows: int, cols: int, strips: int) -> np.ndarray:
    """Places (x, y) int64 [2, rows * cols]: strips of columns, one down and the next up, and in
    each strip one row forth and the next back.
    """
    path: list[tuple[int, int]] = []
    for strip in range(strips):
        band = range(strip * cols // strips, (strip + 1) * cols // strips)
        for step, y in enumerate(range(rows) if strip % 2 == 0 else reversed(range(rows))):
            path += [(x, y) for x in (band if step % 2 == 0 else reversed(band))]
    return np.array(path, int).reshape(-1, 2).T


@dataclass(frozen=True)
class _End:
    """One end of an edge: a layer, and the share of the edge's bits at each of its tiles."""

    layer: str
    tiles: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True)
class _Edge:
    source: _End
    target: _End
    bits: int


class _Flows:
    """All edges, and the kinds of tiles: those of one kind send and take the same.

    kind int64 [count]; weight [kinds + 1, kinds + 1], bits that a tile of one and a tile of the
    other exchange, in both directions; the last kind is a free place.
    """

    def __init__(self, items: list[_Edge], count: int) -> None:
        self.items, self.bits = items, np.array([item.bits for item in items], float)
        self.ends = [_flat([getattr(item, end) for item in items]) for end in ("source", "target")]
        roles: list[list[tuple]] = [[] for _ in range(count)]
        for index, item in enumerate(items):
            for sends, end in ((True, item.source), (False, item.target)):
                for tile, share in zip(end.tiles.tolist(), end.shares.tolist(), strict=True):
                    roles[tile].append((index, sends, share))
        known: dict[tuple, int] = {}
        self.kind = np.array([known.setdefault(tuple(role), len(known)) for role in roles], int)
        sent, taken = np.zeros((2, len(items), len(known) + 1))
        for role, kind in known.items():
            for index, sends, share in role:
                (sent if sends else taken)[index, kind] = share
        one = (self.bits[:, None] * sent).T @ taken
        self.weight = one + one.T

    def hops(self, places: np.ndarray) -> np.ndarray:
        """Bit hops of every edge with tiles at places int64 [2, count]: over each link between two
        neighbours of an axis goes what one side sends and the other takes.
        """
        found = np.zeros(len(self.items))
        for at in places if self.items else ():
            size = int(at.max()) + 1
            left, right = (np.cumsum(np.bincount(
                edge * size + at[tile], share, len(found) * size).reshape(-1, size), axis=1)
                for edge, tile, share in self.ends)
            found += (left * (right[:, -1:] - right) + right * (left[:, -1:] - left)).sum(axis=1)
        return self.bits * found

    def total(self, places: np.ndarray) -> float:
        """Bit hops of all edges."""
        return float(self.hops(places).sum())

    def edges(self, places: np.ndarray) -> list[Edge]:
        return [Edge(source=item.source.layer, target=item.target.layer, bits=float(item.bits),
                     delivered=item.bits * float(item.target.shares.sum()), bit_hops=hops)
                for item, hops in zip(self.items, self.hops(places).tolist(), strict=True)]


def _flat(ends: list[_End]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of the edge, tile and share, of every tile at one end of every edge."""
    if not ends:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    return (np.repeat(np.arange(len(ends)), [len(end.tiles) for end in ends]),
            np.concatenate([end.tiles for end in ends]),
            np.concatenate([end.shares for end in ends]))


def _flows(layers: Sequence[Mapped], array: Array, count: int) -> _Flows:
    made: dict[str, Mapped] = {}
    items = []
    for mapped in layers:
        layer = mapped.layer
        if layer.source in made:
            items.append(_Edge(_end(made[layer.source], array, _crossbars),
                               _end(mapped, array, _channels), layer.inputs * layer.input_bits))
        if layer.skip_source in made:
            items.append(_Edge(_end(made[layer.skip_source], array, _crossbars),
                               _end(mapped, array, _crossbars), layer.neurons))
        made[layer.name] = mapped
    return _Flows(items, count)


def _end(mapped: Mapped, array: Array, share) -> _End:
    tiles = np.arange(mapped.first_tile, mapped.first_tile + mapped.tiles)
    start = tiles * array.pes_per_tile - mapped.first_pe
    shares = share(mapped, array, np.maximum(start, 0),
                   np.minimum(start + array.pes_per_tile, mapped.pes))
    return _End(mapped.layer.name, tiles, shares)


def _crossbars(mapped: Mapped, array: Array, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Share of the layer's PEs in start..stop."""
    return (stop - start) / mapped.pes


def _channels(mapped: Mapped, array: Array, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Share of its input channels that PEs start..stop hold."""
    positions, rows = mapped.layer.kernel_size ** 2, mapped.row_blocks
    each, spread = blocks_per_pe(positions, array), pes_per_block(positions, array)
    first = start * each if each else start // spread
    last = np.minimum(stop * each, mapped.blocks) - 1 if each else (stop - 1) // spread
    total = mapped.layer.in_channels
    low = first % rows * mapped.inputs_per_crossbar
    high = np.minimum((last % rows + 1) * mapped.inputs_per_crossbar, total)
    some = np.where(low < high, high - low, high - low + total)
    return np.where(last - first + 1 >= rows, total, some) / total


def _improve(flows: _Flows, places: np.ndarray, rows: int, cols: int, rng: np.random.Generator,
             moves: int) -> tuple[np.ndarray, int]:
    """Exchange tiles while that saves; the places, and how many tiles were looked at.

    cost[axis][k, c] is what a tile of kind k pays on an axis at coordinate c, so that an exchange
    is weighed by a few look-ups: the pair's own distance stays, which the last term restores.
    """
    weight, free = flows.weight, len(flows.weight) - 1
    kind = np.full(rows * cols, free)
    tile = np.full(rows * cols, -1)
    spot = places[1] * cols + places[0]
    kind[spot], tile[spot] = flows.kind, np.arange(places.shape[1])
    x, y = np.arange(rows * cols) % cols, np.arange(rows * cols) // cols
    cost = []
    for axis, size in ((x, cols), (y, rows)):
        near = np.zeros((free + 1, size))
        np.add.at(near, kind, np.abs(axis[:, None] - np.arange(size)))
        cost.append(weight @ near)
    least = LEAST_GAIN * flows.total(places)
    done = idle = 0
    order: list[int] = []
    while done < moves and idle < len(spot):
        if not order:
            order = rng.permutation(spot.size).tolist()
            where = np.argsort(np.where(tile < 0, spot.size, tile), kind="stable")
        here = int(where[order.pop()])
        done, idle = done + 1, idle + 1
        mine, now = kind[here], cost[0][kind, x] + cost[1][kind, y]
        there_cost = cost[0][mine, x] + cost[1][mine, y]
        here_cost = cost[0][kind, x[here]] + cost[1][kind, y[here]]
        far = np.abs(x - x[here]) + np.abs(y - y[here])
        own = 2 * weight[mine, kind] - weight[mine, mine] - weight[kind, kind]
        change = there_cost - now[here] + here_cost - now + own * far
        there = int(change.argmin())
        if change[there] >= -least:
            continue
        idle = 0
        theirs = kind[there]
        for axis, table in ((x, cost[0]), (y, cost[1])):
            moved = np.abs(axis[there] - np.arange(table.shape[1])) \
                - np.abs(axis[here] - np.arange(table.shape[1]))
            table += np.outer(weight[:, mine] - weight[:, theirs], moved)
        kind[[here, there]], tile[[here, there]] = kind[[there, here]], tile[[there, here]]
        if tile[here] >= 0:
            where[tile[here]] = here
        where[tile[there]] = there
    found = np.empty_like(places)
    held = tile >= 0
    found[:, tile[held]] = np.stack([x[held], y[held]])
    return found, done
