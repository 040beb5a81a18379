"""Contract files: worked examples of the arithmetic, as networks, inputs and what they give."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..flow import ir
from ..flow.errors import ConfigError, GraphError
from .compare import ALL


@dataclass(frozen=True)
class Case:
    """One worked example: an integer graph, inputs [1, ...] and the expected arrays by name."""

    name: str
    graph: ir.Graph
    inputs: np.ndarray
    expect: dict


def graph_of(case: dict) -> ir.Graph:
    """The integer graph of one case, verified."""
    layers = [
        {
            "out_features": len(layer["codes"]), "weight_bits": layer["weight_bits"],
            "bitstream_length": layer["L"], "sng": layer["sng"], "delay": layer["delay"],
            "weight": _integers(layer["codes"], np.int16),
            "bias": _integers(layer["bias"], np.int32), "neuron": _neuron(layer),
        } for layer in case["layers"]
    ]
    source = case["input"]
    n = len(source["p8"] if "p8" in source else source["spikes"][0])
    return ir.chain(shape=(n,), encoder=source["encoder"], input_sng=source.get("sng"),
                    layers=layers, readout=case["readout"], num_steps=case["num_steps"]).verify()


def _neuron(layer: dict):
    """A layer's neuron; `v_bits`, where the layer has it, is the width at which v saturates."""
    item = dict(layer["neuron"])
    if layer.get("v_bits") is not None:
        item["saturate_bits"] = layer["v_bits"]
    return ir.neuron_from(item)


def _integers(values, dtype: type = np.int64) -> np.ndarray:
    """Nested lists of integers as an array; ValueError for any other number, or one too large."""
    array = np.array(values)
    if not array.size:
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    if array.dtype.kind != "i" or array.min() < limits.min or array.max() > limits.max:
        raise ValueError(f"codes, biases, inputs and results must be integers of at most "
                         f"{limits.bits} bits, not {array.dtype} {array.flat[0]}...")
    return array.astype(dtype)


def _expected(case: dict) -> dict:
    """What a case must give, in the form that `compare.first_difference` takes."""
    expect, count = case["expect"], len(case["layers"])
    for key in ALL:
        if len(expect[key]) != count:
            raise ValueError(f"expect.{key} must hold {count} layers, not {len(expect[key])}")
    return {**{key: [_integers(layer) for layer in expect[key]] for key in ALL},
            **{key: _integers(expect[key]) for key in ("scores", "class")}}


def load_cases(path: Path) -> tuple[list[Case], dict[str, str]]:
    """Read a contract file: the cases, and by name why a case is not supported."""
    cases, refused = [], {}
    for item in _items(path):
        try:
            source = item["input"]
            inputs = _integers(source["p8"] if "p8" in source else source["spikes"])[None]
            cases.append(Case(item["name"], graph_of(item), inputs, _expected(item)))
        except GraphError as error:
            refused[item["name"]] = str(error)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: case {item['name']!r} is malformed "
                              f"({type(error).__name__}: {error})") from error
    return cases, refused


def names(path: Path) -> list[str]:
    """Names of a contract file's cases, in its order."""
    return [item["name"] for item in _items(path)]


def _items(path: Path) -> list[dict]:
    """The cases; ConfigError unless there are some, each with a name of its own."""
    try:
        items = json.loads(Path(path).read_text())["cases"]
        known = [item["name"] for item in items]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: must be a contract file with a list 'cases' of named cases "
                          f"({type(error).__name__})") from error
    if not known or not all(isinstance(name, str) and name for name in known):
        raise ConfigError(f"{path}: must be a contract file with at least one case, each with a "
                          f"name, not {known}")
    for name in known:
        if known.count(name) > 1:
            raise ConfigError(f"{path}: names of cases must be different, not twice {name!r}")
    return items
