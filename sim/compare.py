"""Two results of one inference, compared: no tolerance, and the first place where they differ."""

import numpy as np

from ..hdl.trace import trace_crc
from .reference import Trace

#: What a rung can see of every layer, besides scores and class.
ALL = ("current", "v", "spikes")
STATE = ("v", "spikes")
CRCS = ("crcs",)


def first_difference(expect: dict, got: dict, sees: tuple[str, ...] = ALL) -> dict | None:
    """The first place where two results differ in what a rung `sees`, in scores or class, or None.

    Both hold `current`, `v`, `spikes` as [layer][timestep][neuron], `scores` and `class`; `got`
    may have `crcs` (`hdl.trace`) and their `orders` per layer instead of v and spikes. First is the
    place nearest to the cause: the lowest layer, of that the earliest timestep, of that the order
    of `ALL`.
    """
    if "crcs" in sees:
        seen = zip(expect["v"], expect["spikes"], got["crcs"], got["orders"], strict=True)
        for layer, (v, spikes, crc, order) in enumerate(seen):
            wanted = trace_crc(np.asarray(v)[:, order], np.asarray(spikes)[:, order])
            if wanted != crc:
                return _place("crc", layer, None, None, wanted, int(crc))
    keys = [key for key in ALL if key in sees]
    columns = [zip(expect[key], got[key], strict=True) for key in keys]
    for layer, found in enumerate(zip(*columns, strict=True)):
        places = []
        for key, (a, b) in zip(keys, found, strict=True):
            a, b = np.asarray(a), np.asarray(b)
            if a.shape != b.shape:
                return _place(key, layer, None, None, list(a.shape), list(b.shape))
            wrong = np.argwhere(a != b)
            if len(wrong):
                t, j = wrong[0].tolist()
                places.append(_place(key, layer, t, j, int(a[t, j]), int(b[t, j])))
        if places:
            return min(places, key=lambda place: place["timestep"])
    for key in ("scores", "class"):
        if not np.array_equal(expect[key], got[key]):
            return _place(key, None, None, None, np.asarray(expect[key]).tolist(),
                          np.asarray(got[key]).tolist())
    return None


def _place(what: str, layer, timestep, neuron, expected, got) -> dict:
    return {"what": what, "layer": layer, "timestep": timestep, "neuron": neuron,
            "expected": expected, "got": got}


def described(first: dict) -> str:
    """A first difference (`first_difference`) in words."""
    place = [f"{key} {first[key]}" for key in ("layer", "timestep", "neuron")
             if first[key] is not None]
    return (f"{', '.join([first['what'], *place])}: expected {first['expected']}, "
            f"got {first['got']}")


def image_of(trace: Trace, index: int) -> dict:
    """One image of a `Trace` in the form that `first_difference` compares."""
    return {
        "current": [a[:, index] for a in trace.current], "v": [a[:, index] for a in trace.v],
        "spikes": [a[:, index] for a in trace.spikes], "crcs": [int(a[index]) for a in trace.crcs],
        "orders": trace.orders, "scores": trace.scores[index],
        "class": int(trace.classes[index]),
    }


def compare(wanted: Trace, got: Trace, sees: tuple[str, ...] = STATE) -> list[dict]:
    """For each image that differs, where it does first."""
    out = []
    for image in range(len(wanted.classes)):
        expect = image_of(wanted, image)
        first = first_difference(expect, image_of(got, image), sees)
        if first is None and got.shipped is not None:
            first = first_difference(expect, image_of(got.shipped, image), ())
            if first is not None:
                first["what"] += " of the build that ships"
        if first is not None:
            out.append({"image": image, **first})
    return out


def compared(wanted: Trace, sees: tuple[str, ...]) -> int:
    """How many numbers `compare` held to the reference model, those under a checksum included."""
    arrays = {"current": wanted.current, "v": wanted.v, "spikes": wanted.spikes}
    keys = STATE if "crcs" in sees else sees
    layers = sum(a.size for key in keys for a in arrays[key])
    return int(layers + wanted.scores.size + wanted.classes.size)
