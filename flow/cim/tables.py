"""Tables of layer shapes, of networks that somebody published: CSV, or TOML and JSON.

CSV has a row a layer and a header that names the columns; lines that begin with # say where it
comes from. TOML and JSON have a list of `layers`, each a table of the same columns, and beside it
`name`, `num_steps` and `source`. Columns that are left out have these values:

    name          conv1, fc2: by kind and place
    in_channels   channels of the layer before, times its maps where a dense layer reads maps
    kernel_size   1 of a dense layer; a convolution must have one
    stride        1
    in_size       what the layer before leaves, divided by its pool; 1 of a dense layer
    out_size      in_size / stride, rounded up: a border keeps the maps' size
    pool          1: no window of pool x pool reads the outputs
    input_bits    1: spikes
    source        the layer before, which must leave what comes in; or the name of a layer that
                  is one of several, or "input"

`kind`, `out_channels` and `weight_bits` (a sign and a magnitude) must be there. A size is one
number or two, as 32 or 32x24. In CSV `num_steps` is a column with the same value in every row.
"""

import csv
import json
import tomllib
from pathlib import Path

from ..errors import ConfigError, unknown
from .mapper import MOST_LAYERS
from .shapes import INPUT, Layer, Network

KINDS = {"conv2d": "conv", "dense": "fc"}
COLUMNS = ("name", "kind", "in_channels", "out_channels", "kernel_size", "stride", "in_size",
           "out_size", "weight_bits", "pool", "input_bits", "source")
#: The largest value of a column of counts; a larger one is a slip of the keyboard.
MOST = {"in_channels": 1 << 20, "out_channels": 1 << 20, "kernel_size": 64, "stride": 64,
        "weight_bits": 64, "pool": 4096, "input_bits": 32, "num_steps": 1 << 16}
LEAST = {"weight_bits": 2}
MOST_SIZE = 1 << 16


def load_network(path: Path, num_steps: int | None = None) -> Network:
    """Read a table; num_steps goes before its own. Raises ConfigError: file, row, column, rule.

    Without either there is one timestep.
    """
    path = Path(path)
    form = path.suffix.lower()
    if form not in _FORMS:
        raise ConfigError(f"{path}: a table of layers must be a file of the kind "
                          f"{', '.join(_FORMS)}, not "
                          f"{repr(form) if form else 'one without a suffix'}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be text in UTF-8 ({error.reason})") from error
    head, rows = _FORMS[form](text, str(path))
    if not rows:
        raise ConfigError(f"{path}: must have at least one layer, not none")
    if len(rows) > MOST_LAYERS:
        raise ConfigError(f"{path}: must have at most {MOST_LAYERS:,} layers, not {len(rows):,}")
    steps = num_steps or _count(head, "num_steps", str(path), 1)
    layers: list[Layer] = []
    for where, row in rows:
        layers.append(_layer(row, where, layers))
    name = head.get("name", path.stem)
    if not isinstance(name, str):
        raise ConfigError(f"{path}: name must be a string, not {name!r}")
    return Network(name=name, num_steps=steps, layers=tuple(layers))


def _csv(text: str, source: str) -> tuple[dict, list[tuple[str, dict]]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1)
             if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return {}, []
    try:
        cells = [[cell.strip() for cell in row]
                 for row in csv.reader((line for _, line in lines), strict=True)]
    except csv.Error as error:
        raise ConfigError(f"{source}: must be CSV ({error})") from error
    header, head, rows = cells[0], {}, []
    for column in header:
        if header.count(column) > 1:
            raise ConfigError(f"{source}: columns must differ, not {column!r} twice")
        _known(column, (*COLUMNS, "num_steps"), f"{source}, line {lines[0][0]}")
    for (number, _), values in zip(lines[1:], cells[1:], strict=True):
        where = f"{source}, line {number}"
        if len(values) != len(header):
            raise ConfigError(f"{where}: must have {len(header)} columns, as the header, not "
                              f"{len(values)}")
        row = {column: value for column, value in zip(header, values) if value}
        steps = row.pop("num_steps", None)
        if steps is not None and steps != head.setdefault("num_steps", steps):
            raise ConfigError(f"{where}: num_steps must be {head['num_steps']}, as in the rows "
                              f"above, not {steps}")
        rows.append((where, row))
    return head, rows


def _toml(text: str, source: str) -> tuple[dict, list[tuple[str, dict]]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: must be TOML ({error})") from error
    return _listed(data, source)


def _json(text: str, source: str) -> tuple[dict, list[tuple[str, dict]]]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: must be JSON ({error})") from error
    return _listed(data, source)


_FORMS = {".csv": _csv, ".toml": _toml, ".json": _json}


def _listed(data: object, source: str) -> tuple[dict, list[tuple[str, dict]]]:
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: must be a table with a list of layers, not {_brief(data)}")
    head = dict(data)
    rows = head.pop("layers", [])
    for key in head:
        _known(key, ("name", "num_steps", "source", "layers"), source, "key")
    if not isinstance(rows, list):
        raise ConfigError(f"{source}: layers must be a list of tables, not {_brief(rows)}")
    found = []
    for number, row in enumerate(rows, 1):
        where = f"{source}, layer {number}"
        if not isinstance(row, dict):
            raise ConfigError(f"{where}: must be a table, not {_brief(row)}")
        for column in row:
            _known(column, COLUMNS, where)
        found.append((where, row))
    return head, found


def _layer(row: dict, where: str, before: list[Layer]) -> Layer:
    """One checked layer, what is left out of it filled in from those before."""
    kind = row.get("kind")
    if kind is None:
        raise ConfigError(f"{where}: kind must be {' or '.join(KINDS)}, not left out")
    if kind not in tuple(KINDS):
        raise ConfigError(f"{where}: kind: " + unknown("kind", kind, KINDS))
    dense = kind == "dense"
    name = row.get("name", f"{KINDS[kind]}{len(before) + 1}")
    names = [layer.name for layer in before]
    if not isinstance(name, str) or name in (INPUT, *names):
        raise ConfigError(f"{where}: name must be a string that no other layer has, nor "
                          f"{INPUT!r}, not {name!r}")
    source = row.get("source", names[-1] if names else INPUT)
    if source not in (INPUT, *names):
        raise ConfigError(f"{where}: source: " + unknown("layer", source, (INPUT, *names)))
    feeder = next((layer for layer in before if layer.name == source), None)
    left = tuple(max(1, extent // feeder.pool) for extent in feeder.out_size) if feeder else None
    stride = _count(row, "stride", where, 1)
    in_size = _size(row, "in_size", where, (1, 1) if dense else left)
    channels = feeder and feeder.out_channels * (left[0] * left[1] if dense else 1)
    layer = Layer(
        name=name, kind=kind, source=source,
        in_channels=_count(row, "in_channels", where, channels),
        out_channels=_count(row, "out_channels", where),
        magnitude_bits=_count(row, "weight_bits", where) - 1,
        kernel_size=_count(row, "kernel_size", where, 1 if dense else None),
        in_size=in_size, input_bits=_count(row, "input_bits", where, 1),
        out_size=_size(row, "out_size", where, tuple(-(-extent // stride) for extent in in_size)),
        pool=_count(row, "pool", where, 1))
    for key in ("kernel_size", "in_size", "out_size") if dense else ():
        if getattr(layer, key) not in (1, (1, 1)):
            raise ConfigError(f"{where}: {key} must be 1 for a dense layer, whose inputs are all "
                              f"in_channels, not {row[key]}")
    wanted = (channels, (1, 1) if dense else left)
    if feeder and "source" not in row and wanted != (layer.in_channels, in_size):
        raise ConfigError(
            f"{where}: in_channels and in_size must be {_shape(*wanted)}, which {feeder.name} "
            f"leaves, not {_shape(layer.in_channels, in_size)}; set its pool, or name the source "
            "if there are others")
    if layer.pool > min(layer.out_size):
        raise ConfigError(f"{where}: pool must be at most the maps' {min(layer.out_size)}, not "
                          f"{layer.pool}")
    return layer


def _count(row: dict, column: str, where: str, default: int | None = None) -> int:
    """An integer of a column, in its range."""
    if column not in row and default is not None:
        return default
    least, most = LEAST.get(column, 1), MOST[column]
    value = _integer(row.get(column))
    if value is None or not least <= value <= most:
        raise ConfigError(f"{where}: {column} must be an integer in {least}..{most}, not "
                          f"{_said(row, column)}")
    return value


def _size(row: dict, column: str, where: str, default: tuple[int, ...] | None
          ) -> tuple[int, int]:
    """Rows and columns, of one number, two with an x between, or a list of two."""
    if column not in row and default is not None:
        return default
    value = row.get(column)
    parts = value.lower().split("x") if isinstance(value, str) else value
    parts = [_integer(part) for part in (parts if isinstance(parts, list) else [parts])]
    if len(parts) not in (1, 2) or not all(
            part is not None and 1 <= part <= MOST_SIZE for part in parts):
        raise ConfigError(f"{where}: {column} must be one or two integers in 1..{MOST_SIZE}, such "
                          f"as 32 or 32x24, not {_said(row, column)}")
    return parts[0], parts[-1]


def _shape(channels: int, size: tuple[int, ...]) -> str:
    return " x ".join(map(str, (channels, *size)))


def _integer(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value) if len(value) < 20 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _said(row: dict, column: str) -> str:
    return _brief(row[column]) if column in row else "left out"


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _known(name: str, names: tuple[str, ...], where: str, kind: str = "column") -> None:
    if name not in names:
        raise ConfigError(f"{where}: " + unknown(kind, name, names))
