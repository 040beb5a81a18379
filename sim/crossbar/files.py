"""Files of a chip: what cells conduct, the ranges of converters, a crossbar as a netlist.

Crossbars of a layer are numbered as in its plan: blocks of columns, in them blocks of rows, in them
the positions of the kernel (`flow.cim.plan.Mapped.crossbar_list`).
"""

import csv
import io
from pathlib import Path

import numpy as np

from ...flow.errors import ConfigError, unknown
from ...flow.files import write_atomic
from .layer import CrossbarLayer
from .network import Chip

NPZ, RANGES, ORDERS, GAINS = "conductances.npz", "adc.csv", "order.csv", "gains.csv"
_RANGES = ("layer", "adc_bits", "full_scale_counts", "step_counts", "full_scale_ampere",
           "leakage_ampere_per_row", "column_scales")


def export(chip: Chip, folder: Path) -> list[Path]:
    """Write all of a chip; returns the files.

    conductances.npz: siemens of every layer, [crossbars, rows, cols]; LAYER-NUMBER.csv: the same of
    one crossbar, a line per row; adc.csv: converters by layer; order.csv and gains.csv, of a
    repaired chip: where rows and columns of digits lie that have moved, and gains by column.
    """
    whole = {name: _crossbars(item) for name, item in chip.layers.items()}
    packed = io.BytesIO()
    np.savez_compressed(packed, **whole)
    files = [(folder / NPZ, packed.getvalue()), (folder / RANGES, ranges(chip))]
    for name, text in ((ORDERS, orders(chip)), (GAINS, gains(chip))):
        if text.count("\n") > 1:
            files.append((folder / name, text))
    for name, crossbars in whole.items():
        for number, G in enumerate(crossbars):
            text = "".join(",".join(f"{g:.17g}" for g in row) + "\n" for row in G)
            files.append((folder / f"{name}-{number}.csv", text))
    for path, content in files:
        write_atomic(path, content)
    return [path for path, _ in files]


def ranges(chip: Chip) -> str:
    """CSV of each layer's converters: what a step is worth, and where they clip, after leakage."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_RANGES)
    for name, item in chip.layers.items():
        unit = item.cells.step * item.array.v_read
        scale, steps = item.full_scale, (1 << (item.effects.adc_bits or 0)) - 1
        known = ["", "", "", ""] if scale is None else [
            item.effects.adc_bits, f"{scale:.17g}", f"{scale / steps:.17g}", f"{scale * unit:.17g}"]
        rows.writerow([name, *known, f"{item.cells.off * item.array.v_read:.17g}",
                       " ".join(map(str, item.digits.scales))])
    return text.getvalue()


def orders(chip: Chip) -> str:
    """CSV of each row and column of digits that lies elsewhere than in the plan."""
    lines = ["layer,crossbar,line,planned,physical"]
    for name, item in chip.layers.items():
        for line, order in (("row", item.order.rows), ("column", item.order.cols)
                            ) if item.order else ():
            flat = order.reshape(-1, order.shape[-1])
            lines += [f"{name},{number},{line},{planned},{flat[number, planned]}"
                      for number, planned in np.argwhere(flat != np.arange(flat.shape[1]))]
    return "\n".join(lines) + "\n"


def gains(chip: Chip) -> str:
    """CSV of what codes of converters are multiplied by, by column of digits."""
    lines = ["layer,crossbar,column,gain"]
    for name, item in chip.layers.items():
        if item.gains is None:
            continue
        mapped = item.digits.mapped
        width, blocks = mapped.outputs_per_crossbar * mapped.columns_per_weight, len(item.gains)
        lines += [f"{name},{column // width * blocks + block},{column % width},{gain:.17g}"
                  for block, row in enumerate(item.gains[:, 0]) for column, gain in enumerate(row)]
    return "\n".join(lines) + "\n"


def crossbar(chip: Chip, which: str) -> tuple[str, np.ndarray, np.ndarray]:
    """A crossbar by LAYER:NUMBER: name, siemens [rows, cols], and volts [rows] with all inputs on.

    Raises ConfigError for one that is not there.
    """
    name, _, number = which.rpartition(":")
    if name not in chip.layers:
        raise ConfigError(unknown("layer on crossbars", name or which, chip.layers)
                          + "; a crossbar is LAYER:NUMBER")
    item = chip.layers[name]
    whole = _crossbars(item)
    if not (number.isascii() and number.isdigit()) or int(number) >= len(whole):
        raise ConfigError(f"crossbars of {name} must be numbered 0..{len(whole) - 1}, not "
                          f"{number!r}")
    mapped = item.digits.mapped
    positions = mapped.layer.kernel_size ** 2
    rows = mapped.row_sizes[int(number) // positions % mapped.row_blocks]
    volts = np.where(np.arange(item.array.rows) < rows, item.array.v_read, 0.0)
    return f"{name}-{int(number)}", whole[int(number)], volts


def spice(G: np.ndarray, V: np.ndarray, r_row: float, r_col: float, title: str) -> str:
    """A netlist of one crossbar, as `wires` describes it; SPICE finds I[j] as the current of VOUTj.

    Sources VINi drive the rows; a wire of 0 ohm is one node, a cell of 0 siemens is left out.
    """
    m, n = G.shape

    def row(i: int, j: int) -> str:
        return f"r{i}_{j}" if r_row else f"in{i}"

    def column(i: int, j: int) -> str:
        return f"c{i}_{j}" if r_col and i < m else f"out{j}"

    lines = [f"* {title}: {m} x {n} cells, r_row {r_row:g} ohm, r_col {r_col:g} ohm"]
    lines += [f"VIN{i} in{i} 0 DC {V[i]:.17g}" for i in range(m)]
    lines += [f"VOUT{j} out{j} 0 DC 0" for j in range(n)]
    for i in range(m):
        for j in range(n):
            if r_row:
                lines.append(f"RR{i}_{j} {row(i, j - 1) if j else f'in{i}'} {row(i, j)} "
                             f"{r_row:.17g}")
            if r_col:
                lines.append(f"RC{i}_{j} {column(i, j)} {column(i + 1, j)} {r_col:.17g}")
            if G[i, j]:
                lines.append(f"RX{i}_{j} {row(i, j)} {column(i, j)} {1 / G[i, j]:.17g}")
    return "\n".join([*lines, ".op", ".end", ""])


def _crossbars(item: CrossbarLayer) -> np.ndarray:
    return item.G.reshape(-1, *item.G.shape[-2:])
