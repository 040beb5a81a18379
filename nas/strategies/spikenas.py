"""SpikeNAS: cell by cell over the operations that matter most, within a memory budget.

R. V. W. Putra and M. Shafique, "SpikeNAS", arXiv:2402.11322, 2024 (`nas.cells.phases`). With two
places and two operations it looks at 2 * 64 networks, of which 2 * 39 are not isomorphic.
"""

from ..cells.phases import PhaseOptions, Phases


class Options(PhaseOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As `PhaseOptions`, over what matters most."""

    operations: tuple[str, ...] = ("skip", "conv3x3")


class Strategy(Phases):
    """See `Phases`; `search.constraints`, of weights or whatever else, is the budget."""

    OPTIONS = Options
