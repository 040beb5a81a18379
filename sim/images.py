"""Inputs from files: images of 8-bit pixels, events 0/1 or recordings of events, with labels where
a file has some.
"""

import math
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from ..flow import ir
from ..flow.errors import ConfigError, unknown
from ..flow.events import Recorded
from ..hdl.encoders.spikes import pack_frames
from ..hdl.pixels import pack_pixels
from . import recordings
from .pictures import FORMATS


def input_shape(graph: ir.Graph) -> tuple[int, ...]:
    """The shape of one image of a network: [n] pixels, or for `spikes` [T, n] events 0/1."""
    n = graph.input.size
    return (graph.num_steps, n) if graph.input.encoder == "spikes" else (n,)


def shaped(graph: ir.Graph, flat: np.ndarray, where: str) -> np.ndarray:
    """Images [batch, ...] in the network's `input_shape`; ConfigError if they have another size."""
    shape = input_shape(graph)
    if flat[0:1].size != np.prod(shape):
        raise ConfigError(f"{where}: images must have {np.prod(shape)} values for this network, "
                          f"not {flat[0:1].size}")
    return flat.reshape(-1, *shape)


def coarse(graph: ir.Graph, images: np.ndarray, bits: int) -> np.ndarray:
    """Pixels 0..255 rounded to those that `bits` bits on the link stand for (`hdl.pixels`)."""
    if graph.input.encoder == "spikes":
        return images
    top = (1 << bits) - 1
    return (np.asarray(images, np.int64) * top + 127) // 255 * (255 // top)


def payload(graph: ir.Graph, image: np.ndarray, bits: int = 8) -> bytes:
    """The bytes of one image on a link whose pixels have so many bits, to which it is rounded."""
    if graph.input.encoder == "spikes":
        return pack_frames(image)
    return pack_pixels(coarse(graph, image, bits) // (255 // ((1 << bits) - 1)), bits)


def read_images(path: Path, graph: ir.Graph, recorded: Recorded | None = None,
                count: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Inputs of a network, uint8 [k, *input_shape], and labels int64 [k], None without.

    .npy: p8 (or events) alone, one or several, in any shape of the right size; .npz and
    .safetensors: `p8` and, if there, `labels`; .csv and .txt: a row of numbers per image, separated
    by commas or blanks; .bin, .aedat and .h5: recordings as those that the network was trained on,
    which became frames as `recorded` says, the first `count` of them. Raises ConfigError with the
    file, the rule and the value, RunError for what is wrong with a recording.
    """
    path = Path(path)
    if path.suffix.lower() in recordings.SUFFIXES:
        if recorded is None:
            raise ConfigError(f"{path}: is of recordings of events, and this run's network was "
                              "trained on none; choose another FILE, or another --run")
        p8, labels = recordings.read_frames(path, recorded, count)
        return _shaped(path, p8, graph), labels
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ConfigError(f"{path}: " + unknown("file type", path.suffix,
                                                [*_READERS, *recordings.SUFFIXES, *FORMATS]))
    try:
        p8, labels = read(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ConfigError:
        raise
    except Exception as error:  # what readers raise for damaged files is no fixed list
        raise ConfigError(f"{path}: is damaged or no {path.suffix} file of integers ({error})"
                          ) from error
    p8 = _shaped(path, np.asarray(p8), graph)
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(p8),) or labels.dtype.kind not in "iu":
            raise ConfigError(f"{path}: labels must be {len(p8)} integers, one per image, not "
                              f"{labels.dtype} {list(labels.shape)}")
        labels = labels.astype(np.int64)
    return p8, labels


def _shaped(path: Path, p8: np.ndarray, graph: ir.Graph) -> np.ndarray:
    shape = input_shape(graph)
    n, things, top = math.prod(shape), "pixels", 255
    if graph.input.encoder == "spikes":
        things, top = "events", 1
    if p8.dtype.kind not in "iu":
        raise ConfigError(f"{path}: {things} must be integers in 0..{top}, not {p8.dtype}")
    if p8.ndim and not len(p8):
        raise ConfigError(f"{path}: must have at least one image")
    if not (p8.ndim > 1 and p8[0:1].size == n) and p8.size != n:
        steps = f", {' x '.join(map(str, shape))}" if len(shape) > 1 else ""
        raise ConfigError(f"{path}: images must have {n} {things} each{steps}, not the shape "
                          f"{list(p8.shape)}")
    if p8.min() < 0 or p8.max() > top:
        bad = p8.min() if p8.min() < 0 else p8.max()
        raise ConfigError(f"{path}: {things} must be in 0..{top}, not {bad}")
    return p8.reshape(-1, *shape).astype(np.uint8)


def _npy(path: Path):
    return _numbers(path, np.ndarray), None


def _npz(path: Path):
    return _named(path, _numbers(path, dict))


def _numbers(path: Path, kind: type):
    """`numpy.load` without pickles; what it finds must be what the suffix says."""
    with path.open("rb") as file:
        try:
            data = np.load(file, allow_pickle=False)
            data = data if isinstance(data, np.ndarray) else dict(data)
        except ValueError as error:
            raise ConfigError(f"{path}: is damaged or no {path.suffix} file of numbers") from error
    if not isinstance(data, kind):
        raise ConfigError(f"{path}: is no {path.suffix} file inside; rename it")
    return data


def _safetensors(path: Path):
    return _named(path, load_file(path))


def _named(path: Path, data: dict):
    if "p8" not in data:
        raise ConfigError(f"{path}: must have an array named 'p8', not only "
                          f"{', '.join(sorted(data)) or 'nothing'}")
    return data["p8"], data.get("labels")


def _text(path: Path):
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        row = []
        for word in words:
            if not re.fullmatch("[0-9]{1,3}", word) or int(word) > 255:
                raise ConfigError(f"{path}: line {number}: pixels must be integers in 0..255, "
                                  f"not {word[:20]!r}")
            row.append(int(word))
        if rows and len(row) != len(rows[0]):
            raise ConfigError(f"{path}: line {number}: every row must have {len(rows[0])} pixels "
                              f"like the first, not {len(row)}")
        rows.append(row)
    return np.array(rows, dtype=np.int64), None


_READERS = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".csv": _text,
            ".txt": _text}
