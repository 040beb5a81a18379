"""Contract files: worked examples of the arithmetic, as networks, inputs and what they give."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..flow import ir
from ..flow.errors import ConfigError, GraphError


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
            "weight": np.array(layer["codes"], np.int16), "bias": np.array(layer["bias"], np.int32),
            "neuron": _neuron(layer),
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


def load_cases(path: Path) -> tuple[list[Case], dict[str, str]]:
    """Read a contract file: the cases, and by name why a case is not supported."""
    cases, refused = [], {}
    for item in _items(path):
        try:
            source = item["input"]
            inputs = np.array(source["p8"] if "p8" in source else source["spikes"])[None]
            cases.append(Case(item["name"], graph_of(item), inputs, item["expect"]))
        except GraphError as error:
            refused[item["name"]] = str(error)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: case {item.get('name', '?')!r} is malformed "
                              f"({type(error).__name__}: {error})") from error
    return cases, refused


def names(path: Path) -> list[str]:
    """Names of a contract file's cases, in its order."""
    return [item["name"] for item in _items(path)]


def _items(path: Path) -> list[dict]:
    try:
        items = json.loads(Path(path).read_text())["cases"]
        return [item for item in items if item["name"]]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: must be a contract file with a list 'cases' of named cases "
                          f"({type(error).__name__})") from error
