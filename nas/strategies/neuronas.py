"""NeuroNAS: cell by cell for compute-in-memory, within memory, area, latency and energy.

R. V. W. Putra and M. Shafique, "NeuroNAS", arXiv:2407.00641, 2024, Algorithm 1
(`nas.cells.phases`). The paper holds its first phase to the memory alone and keeps the best score
for the second one, so what it returns may break the other limits, and its first cell is chosen
blind to them. All are closed forms, so here both phases hold all of them, and what is returned
keeps them.
"""

from ..cells.phases import PhaseOptions, Phases
from ..problem import WORST
from ..space import Genome

#: Columns that the paper holds its first phase to.
MEMORY = ("weights", "weight_memory", "cim_memory")


class Options(PhaseOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As `PhaseOptions`. as_published: the paper's algorithm with its defects; it tries all cells,
    whatever `isomorphic` says, and what it returns may break limits.
    """

    operations: tuple[str, ...] = ("skip", "conv3x3", "avgpool3x3")
    as_published: bool = False


class Strategy(Phases):
    """See `Phases`."""

    OPTIONS = Options

    @property
    def by_class(self) -> bool:
        return self.options.isomorphic and not self.options.as_published

    @property
    def result(self) -> Genome | None:
        """What the paper's algorithm returns; None where the best that keeps the limits is."""
        return self.best if self.options.as_published else None

    def allowed(self, genome: Genome) -> bool:
        if not self.options.as_published:
            return super().allowed(genome)
        return all(value <= 0 for name, value in self.broken(genome).items()
                   if self.phase or name in MEMORY)

    def better(self, genome: Genome) -> bool:
        """The paper's best is the highest score so far, whatever was checked when it was found."""
        if not self.options.as_published:
            return super().better(genome)
        objective = self.told[genome][1]
        return objective < (WORST if self.best is None else self.told[self.best][1])
