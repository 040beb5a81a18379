"""Networks of blocks and super-networks on disk.

    network.json, network.safetensors              blocks and macro network, and the weights
    super-network.json, super-network.safetensors  the blocks that it offers, and its weights
"""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from safetensors.torch import save

from ...flow.errors import RunError
from ...flow.files import read_json, write_atomic
from ..checkpoints import AGAIN, copied, tensors
from .macro import Macro
from .network import Backbone, BlockNetwork
from .supernet import SuperNetwork

FORMAT = 1
NETWORK, SUPER = "network", "super-network"


class Described(Struct, frozen=True, kw_only=True):
    """Everything about a network but its weights."""

    format: int = FORMAT
    blocks: tuple[str, ...]
    macro: Macro
    seed: int


class DescribedSuper(Struct, frozen=True, kw_only=True):
    """Everything about a super-network but its weights; average_spikes: N_avg of its training."""

    format: int = FORMAT
    choices: tuple[str, ...]
    macro: Macro
    seed: int
    average_spikes: float | None = None


def describe(network: Backbone) -> Described | DescribedSuper:
    if isinstance(network, SuperNetwork):
        return DescribedSuper(choices=network.choices, macro=network.macro, seed=network.seed)
    return Described(blocks=network.names, macro=network.macro, seed=network.seed)


def save_network(network: BlockNetwork, folder: Path) -> None:
    """Write a network into a folder, its description last."""
    _save(network, describe(network), Path(folder) / NETWORK)


def load_network(folder: Path) -> BlockNetwork:
    """The network that `save_network` wrote, on the CPU; RunError if there is none, or it is
    damaged.
    """
    path = Path(folder) / f"{NETWORK}.json"
    found = read_json(path, Described, FORMAT, "network", AGAIN)
    return _load(path, lambda: BlockNetwork(found.macro, found.blocks, seed=found.seed))


def save_super(supernet: SuperNetwork, average_spikes: float, folder: Path) -> None:
    """Write a trained super-network into a folder, its description last."""
    described = msgspec.structs.replace(describe(supernet), average_spikes=average_spikes)
    _save(supernet, described, Path(folder) / SUPER)


def load_super(folder: Path, macro: Macro, choices: Sequence[str]) -> tuple[SuperNetwork, float]:
    """The super-network that `save_super` wrote, on the CPU, and N_avg.

    Raises RunError if there is none, if it is damaged, or of another space, with what differs.
    """
    path = Path(folder) / f"{SUPER}.json"
    found = read_json(path, DescribedSuper, FORMAT, "super-network", AGAIN)
    rest = "train one of this space, or search in the one that it is of"
    if set(found.choices) != set(choices):
        raise RunError(f"{path}: is a super-network of another space, of the blocks "
                       f"{', '.join(found.choices)}, not {', '.join(choices)}; {rest}")
    for key in Macro.__struct_fields__:
        was, now = getattr(found.macro, key), getattr(macro, key)
        if was != now:
            raise RunError(f"{path}: is a super-network of another space, with macro.{key} = {was},"
                           f" not {now}; {rest}")
    if not found.average_spikes:
        raise RunError(f"{path}: is of a training in which nothing fired; {AGAIN}, longer")
    supernet = _load(path, lambda: SuperNetwork(found.macro, found.choices, seed=found.seed))
    return supernet, found.average_spikes


def _save(network: Backbone, described: Struct, path: Path) -> None:
    write_atomic(path.with_suffix(".safetensors"),
                 save({key: value.contiguous() for key, value in copied(network).items()}))
    plain = msgspec.to_builtins(described)
    write_atomic(path.with_suffix(".json"), json.dumps(plain, indent=1) + "\n")


def _load(path: Path, made) -> Backbone:
    weights = tensors(path.with_suffix(".safetensors"), torch.device("cpu"))
    try:
        network = made()
        network.load_state_dict(weights)
    except (ValueError, RuntimeError) as error:
        raise RunError(f"{path}: is damaged, its weights are of another network; {AGAIN}"
                       ) from error
    return network.eval()
