"""What a search from Python found."""

import math
from dataclasses import dataclass, field

from ...flow.output import counted
from ...flow.run import Run
from .fidelity import Fidelity
from .space import Architecture, SearchSpace
from .targets import Target

#: Candidates that failed whose reasons a summary gives.
REASONS = 3


@dataclass(frozen=True)
class Result:
    """The outcome of `nas`. pareto_front: the non-dominated, fewest LUTs first; each fits.

    evaluations: different architectures that were judged. open: those that are predicted to be on
    the front, but were not placed and routed. fidelity: how they were trained, None with an
    `accuracy_fn`. failed: why an `accuracy_fn` gave nothing, by id. run: the directory with all of
    it, which `nas(..., resume=True)` and the command line go on with.
    """

    space: SearchSpace
    target: Target
    pareto_front: list[Architecture]
    generations: int
    evaluations: int
    seconds: float
    data: str
    fidelity: Fidelity | None
    open: int
    run: Run
    failed: dict[str, str] = field(default_factory=dict)

    def best_accuracy(self) -> Architecture:
        """The one with the highest accuracy, and of these the fewest LUTs."""
        return max(self.pareto_front, key=lambda item: (item.fitness_accuracy, -item.fitness_luts))

    def most_efficient(self) -> Architecture:
        """The one that takes the least energy for an inference; where no energy is known, the
        fewest LUTs times seconds.
        """
        def effort(item: Architecture) -> tuple:
            energy = item.fitness_energy_nj
            known = energy is not None and not math.isnan(energy)
            return (energy if known else item.fitness_luts * item.latency_us,
                    -item.fitness_accuracy, item.id)
        return min(self.pareto_front, key=effort)

    best_efficiency = most_efficient

    def summary(self) -> str:
        """The outcome in lines."""
        best, cheap = self.best_accuracy(), self.most_efficient()
        lines = [
            f"{counted(self.generations, 'generation')}, {counted(self.evaluations, 'evaluation')} "
            f"of {self.space.space_size:,} architectures, {self.seconds:,.0f} s",
            f"Pareto front: {counted(len(self.pareto_front), 'architecture')}, {self.target.what} "
            f"for {self.target.title}; all fit its {self.target.luts:,} LUTs",
            f"best accuracy:  {_line(best)}",
            f"most efficient: {_line(cheap)}",
        ]
        for item in self.pareto_front:
            if item.test_accuracy is not None:
                which = "the best" if item == best else f"{item.text()} (the best that still fits)"
                lines.append(f"test accuracy of {which}, trained anew on train and validation: "
                             f"{item.test_accuracy:.2%}")
        lines += self._notes(best)
        lines.append(f"run directory: {self.run.path}")
        return "\n".join(lines)

    def _notes(self, best: Architecture) -> list[str]:
        """What the numbers rest on."""
        notes = ["energy is an estimate" if not math.isnan(best.fitness_energy_nj) else
                 f"no energy figures of {self.target.title} are known: the most efficient has the "
                 "fewest LUTs times seconds"]
        if self.fidelity is None:
            drawn = sum(item.weights == "assumed" for item in self.pareto_front)
            notes.append("accuracy is what accuracy_fn returned")
            if drawn:
                notes.append(f"costs of {drawn} of {len(self.pareto_front)} are those of weights "
                             "drawn from a fixed seed: accuracy_fn returned none for them")
        else:
            notes.append(f"accuracy is that of the validation split of {self.data}")
        if self.open:
            notes.append(f"{self.open} more are predicted to be on the front, and were not placed "
                         "and routed")
        if self.failed:
            some = [f"{name}: {why}" for name, why in list(self.failed.items())[:REASONS]]
            more = len(self.failed) - len(some)
            notes.append(f"accuracy_fn failed for {len(self.failed)} of {self.evaluations}, which "
                         f"are left out: {'; '.join(some)}" + (f"; {more} more" if more else ""))
        return ["note: " + note for note in notes]


def _line(item: Architecture) -> str:
    energy = "" if math.isnan(item.fitness_energy_nj) else f", ~{item.fitness_energy_nj:,.1f} nJ"
    estimate = "" if item.measured else "~"
    return (f"{item.fitness_accuracy:.2%} ({estimate}{item.fitness_luts:,} LUTs{energy}): "
            f"{item.text()}")
