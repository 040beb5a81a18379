"""SpikeNAS: cell by cell over the operations that matter most, within a memory budget.

R. V. W. Putra and M. Shafique, "SpikeNAS", arXiv:2402.11322, 2024 (`nas.cells.phases`). With two
places and two operations it looks at 2 * 64 networks, of which 2 * 39 are not isomorphic.
"""

from collections.abc import Iterator

from msgspec import Struct

from ...flow.config import Rule
from ..cells.phases import Phases


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """operations: of the cells that are tried. isomorphic: of cells that are the same up to the
    names of their nodes one is tried; the paper tries all.
    """

    operations: tuple[str, ...] = ("skip", "conv3x3")
    isomorphic: bool = True

    def rules(self) -> Iterator[Rule]:
        yield ("operations", len(self.operations) > 0
               and len(set(self.operations)) == len(self.operations),
               "a list of different values, at least one")


class Strategy(Phases):
    """See `Phases`; `search.constraints`, of weights or whatever else, is the budget."""

    OPTIONS = Options
