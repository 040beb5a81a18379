"""Spikes that were measured: a CSV file with the columns layer and spikes, a row a layer.

spikes: what comes into the layer in the mean timestep of the mean inference, a value of several
bits as so many spikes. Lines that begin with # are comments.
"""

import csv
import math
from pathlib import Path

from ...errors import ConfigError, unknown
from ..shapes import Network

COLUMNS = ["layer", "spikes"]


def load_spikes(path: Path, network: Network) -> list[float]:
    """Spikes of every layer of a network, in its order; ConfigError with file, row and rule."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})"
                          ) from error
    rows = [[word.strip() for word in row] for row in csv.reader(
        line for line in text.splitlines() if line.strip() and not line.startswith("#"))]
    if not rows or rows[0] != COLUMNS:
        raise ConfigError(f"{path}: the first line must be {','.join(COLUMNS)}, not "
                          f"{','.join(rows[0]) if rows else 'nothing'}")
    names = [layer.name for layer in network.layers]
    found: dict[str, float] = {}
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(COLUMNS):
            raise ConfigError(f"{path}: row {number} must be a layer and a number, not "
                              f"{','.join(row)}")
        name, value = row
        if name not in names:
            raise ConfigError(f"{path}: row {number}: " + unknown("layer", name, names))
        if name in found:
            raise ConfigError(f"{path}: row {number}: layer {name} must not come twice")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = math.nan
        if not 0 <= found[name] < math.inf:
            raise ConfigError(f"{path}: row {number}: spikes must be a number, 0 or more, not "
                              f"{value}")
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(f"{path}: must have a row for every layer, and has none for "
                          f"{', '.join(missing)}")
    return [found[name] for name in names]
