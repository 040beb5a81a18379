"""Networks of cells on disk.

    network.json             cells, macro and quantiser of a network that is kept
    network.safetensors      its weights
"""

import json
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from safetensors.torch import save

from ...flow.errors import RunError
from ...flow.files import read_json, write_atomic
from ..checkpoints import AGAIN, copied, tensors
from . import cell
from .macro import Macro
from .network import CellNetwork

FORMAT = 1
NETWORK = "network"


class Described(Struct, frozen=True, kw_only=True):
    """Everything about a network but its weights; cells as texts."""

    format: int = FORMAT
    cells: tuple[str, ...]
    macro: Macro
    seed: int
    weight_bits: int | None
    rounding: str
    scale: str


def describe(network: CellNetwork) -> Described:
    return Described(cells=tuple(map(str, network.cells)), macro=network.macro, seed=network.seed,
                     weight_bits=network.weight_bits, rounding=network.rounding,
                     scale=network.scale)


def save_network(network: CellNetwork, folder: Path) -> None:
    """Write a network into a folder, its description last."""
    folder = Path(folder)
    write_atomic(folder / f"{NETWORK}.safetensors", save(copied(network)))
    plain = msgspec.to_builtins(describe(network))
    write_atomic(folder / f"{NETWORK}.json", json.dumps(plain, indent=1) + "\n")


def load_network(folder: Path) -> CellNetwork:
    """The network that `save_network` wrote, on the CPU; RunError if there is none, or it is
    damaged.
    """
    path = Path(folder) / f"{NETWORK}.json"
    found = read_json(path, Described, FORMAT, "network", AGAIN)
    weights = tensors(path.with_suffix(".safetensors"), torch.device("cpu"))
    try:
        network = CellNetwork(found.macro, [cell.parse(text) for text in found.cells],
                              seed=found.seed, weight_bits=found.weight_bits,
                              rounding=found.rounding, scale=found.scale)
        network.load_state_dict(weights)
    except (ValueError, RuntimeError) as error:
        raise RunError(f"{path}: is damaged, its weights are of another network; {AGAIN}"
                       ) from error
    return network.eval()
