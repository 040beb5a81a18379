"""Networks of blocks by name: those that were published, and those that a text spells.

Published ones are in `networks.toml` beside this file, with their sources.
"""

from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct, field, structs

from ...flow.errors import ConfigError, unknown
from ...flow.files import read_toml
from .block import KNOWN, MARKS
from .macro import Macro

FILE = Path(__file__).with_name("networks.toml")


class Named(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published network: blocks as a text, what its macro network has in other ways than the
    defaults, and the weights that are counted of it.
    """

    blocks: str
    source: str
    macro: dict[str, str | bool | int] = field(default_factory=dict)
    weights: int | None = None

    def sized(self, macro: Macro) -> Macro:
        """Its macro network in the sizes of another."""
        return structs.replace(macro, **self.macro)


@cache
def published() -> dict[str, Named]:
    """Published networks by name."""
    return {name: msgspec.convert(item, Named) for name, item in read_toml(FILE).items()}


def blocks_by(text: str, macro: Macro) -> tuple[Macro, tuple[str, ...]]:
    """The network of a text: ``srb_k5 M srb_k5 skip M srb_k3 srb_k5 M`` for this macro network, one
    block for all places, or the name of a published network, which has its macro network in these
    sizes.

    Raises ConfigError for a text that is none of these.
    """
    if text in published():
        found = published()[text]
        macro = found.sized(macro)
        return macro, macro.parse(found.blocks)
    first = text.replace(",", " ").split()[:1]
    if not first or first[0] not in (*KNOWN, *MARKS):
        raise ConfigError("blocks must be a text such as 'srb_k5 M srb_k5 skip M srb_k3 srb_k5 M', "
                          "or a name: " + unknown("network of blocks", text, published()))
    return macro, macro.parse(text)
