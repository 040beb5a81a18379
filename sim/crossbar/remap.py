"""Remapping: digits placed so that stuck cells fall where they hold what is wanted anyway.

Which cells are stuck is known of a chip once it has been tested. Within a crossbar any row may take
any input, and any column any digit: spikes and codes of converters go by address, and rows and
columns without weights are spares. Rows, then columns, are assigned at the least squared error of
the weights (J. Munkres' problem, `scipy.optimize.linear_sum_assignment`), in turns, until nothing
improves.
"""

from dataclasses import replace

import numpy as np

from .effects import conductances, faults, generator
from .layer import CrossbarLayer, Order
from .network import Chip

#: Turns of rows and columns; nearly all is won in the first two.
MOST_TURNS = 8


def remapped(chip: Chip) -> Chip:
    """The same chip, with all that is random about it, its weights written around stuck cells."""
    effects = chip.effects
    if not (effects.stuck_on or effects.stuck_off):
        return chip
    return replace(chip, layers={name: _remapped(item) for name, item in chip.layers.items()})


def stuck(item: CrossbarLayer) -> np.ndarray:
    """A layer's stuck cells as they lie in crossbars: `effects.faults`."""
    return faults(item.digits.cells.shape, item.effects,
                  generator(item.seed, item.draw, item.index, "stuck"))


def misfit(item: CrossbarLayer) -> float:
    """Summed squares of what stuck cells make wrong in a layer's digits, by what they are worth."""
    where = stuck(item)
    if item.order is not None:
        where = item.order.found(where)
    on, off = _costs(item)
    return float((on * (where > 0)).sum() + (off * (where < 0)).sum())


def _remapped(item: CrossbarLayer) -> CrossbarLayer:
    shape = item.digits.cells.shape
    where = stuck(item).reshape(-1, *shape[-2:])
    on, off = (cost.reshape(where.shape) for cost in _costs(item))
    rows, cols = zip(*(_order(*crossbar) for crossbar in zip(on, off, where)))
    order = Order(np.reshape(rows, shape[:-1]), np.reshape(cols, (*shape[:-2], shape[-1])))
    G = conductances(order.placed(item.digits.cells), item.cells, item.effects, item.seed,
                     item.draw, item.index)
    return replace(item, order=order, G=G)


def _costs(item: CrossbarLayer) -> tuple[np.ndarray, np.ndarray]:
    """Squared error of each digit on a cell that is stuck on, and on one that is stuck off."""
    mapped = item.digits.mapped
    cells, top = item.digits.cells.astype(np.float64), (1 << item.array.cell_bits) - 1
    worth, width = np.zeros(cells.shape), mapped.columns_per_weight
    scales = np.square(np.array(item.digits.scales, np.float64))
    for block, outputs in enumerate(mapped.output_sizes):
        for part, count in enumerate(mapped.row_sizes):
            worth[block, part, :, :count, :outputs * width] = np.tile(scales, outputs)
    return worth * np.square(top - cells), worth * np.square(cells)


def _order(on: np.ndarray, off: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of one crossbar's digits."""
    from scipy.optimize import linear_sum_assignment

    is_on, is_off = (where > 0).astype(np.float64), (where < 0).astype(np.float64)
    rows, cols = (np.arange(n) for n in where.shape)
    best = (on * is_on).sum() + (off * is_off).sum()
    for _ in range(MOST_TURNS if best else 0):
        tried = linear_sum_assignment(on @ is_on[:, cols].T + off @ is_off[:, cols].T)[1]
        costs = on.T @ is_on[tried] + off.T @ is_off[tried]
        other = linear_sum_assignment(costs)[1]
        found = costs[np.arange(len(other)), other].sum()
        if found >= best:
            break
        best, rows, cols = found, tried, other
    return rows, cols
