"""NSGA-II over mixed genes, NSGA-III from four objectives up; both are pymoo's.

K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002;
K. Deb and H. Jain, "An evolutionary many-objective optimization algorithm ... part I", IEEE TEC
18(4), 2014. Driven by ask and tell under one seed, pymoo repeats itself exactly, so that resuming
is asking again and answering from the store.
"""

from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mixed import MixedVariableMating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling
from pymoo.core.termination import NoTermination
from pymoo.core.variable import Choice, Integer
from pymoo.operators.selection.rnd import RandomSelection
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.problems.static import StaticProblem
from pymoo.util.ref_dirs import get_reference_directions

from ..space import Genome, Space, repair

#: Objectives from which on reference directions replace crowding.
MANY = 4

#: Draws for one place in the first generation before a draw that does not fit is repaired.
DRAWS = 50


class Strategy:
    """Ask for generations of genomes, all different if `deduplicate`, and all within the
    closed-form bounds.
    """

    def __init__(self, space: Space, *, objectives: int, constraints: int, population: int,
                 seed: int, excess: Callable[[Genome], float],
                 broken: Callable[[Genome], Mapping[str, float]] | None = None,
                 deduplicate: bool = True, options: Struct | None = None) -> None:
        self.space = space
        self.fresh = _Fresh(space, excess, deduplicate)
        variables = {name: Integer(bounds=bounds) for name, bounds in space.bounds.items()}
        variables |= {name: Choice(options=list(range(len(values))))
                      for name, values in space.choices.items()}
        self.problem = Problem(vars=variables, n_obj=objectives, n_ieq_constr=constraints)
        many = objectives >= MANY
        selection = RandomSelection() if many else TournamentSelection(binary_tournament)
        shrink, sampling = _Shrink(space, excess), _Fitting(space, excess)
        mating = _Mating(sampling, selection=selection, repair=shrink, n_max_iterations=20,
                         eliminate_duplicates=self.fresh)
        common = {
            "pop_size": population, "n_offsprings": population, "seed": seed, "repair": shrink,
            "sampling": sampling, "mating": mating, "eliminate_duplicates": self.fresh,
        }
        if many:
            directions = get_reference_directions("energy", objectives, population, seed=seed)
            self.algorithm = NSGA3(ref_dirs=directions, **common)
        else:
            self.algorithm = NSGA2(**common)
        self.algorithm.setup(self.problem, termination=NoTermination())
        self.asked = None

    def ask(self) -> list[Genome]:
        """The next generation, at most `population` genomes, none asked for before if
        `deduplicate`.
        """
        self.asked = self.algorithm.ask()
        if self.asked is None:
            return []
        genomes = [self.space.genome(individual.X) for individual in self.asked]
        self.fresh.seen.update(genomes)
        return genomes

    def tell(self, F: np.ndarray, G: np.ndarray) -> None:
        """Objectives [n, objectives] and constraints [n, constraints] of what was asked."""
        static = StaticProblem(self.problem, F=np.asarray(F, float), G=np.asarray(G, float))
        self.algorithm.evaluator.eval(static, self.asked)
        self.algorithm.tell(infills=self.asked)

    def revise(self, known: Mapping[Genome, tuple[np.ndarray, np.ndarray]]) -> None:
        """Objectives and constraints of what was told earlier, as they are known now."""
        for individual in self.algorithm.pop if self.algorithm.pop is not None else ():
            F, G = known[self.space.genome(individual.X)]
            individual.F, individual.G = np.asarray(F, float), np.asarray(G, float)
            individual.CV = None


class _Mating(MixedVariableMating):
    """Recombination, filled up with random newcomers where it finds too little that is new."""

    def __init__(self, sampling: Sampling, **options) -> None:
        super().__init__(**options)
        self.sampling = sampling

    def do(self, problem, pop, n_offsprings, random_state=None, **kwargs):
        off = super().do(problem, pop, n_offsprings, random_state=random_state, **kwargs)
        for _ in range(self.n_max_iterations):
            missing = n_offsprings - len(off)
            if not missing:
                break
            new = self.sampling(problem, missing, random_state=random_state)
            new = self.repair(problem, new, random_state=random_state)
            off = Population.merge(off, self.eliminate_duplicates.do(new, pop, off))
        return off


class _Fitting(Sampling):
    """Random vectors that fit; where many draws in a row do not, the last one is repaired."""

    def __init__(self, space: Space, excess: Callable[[Genome], float]) -> None:
        super().__init__()
        self.space, self.excess = space, excess

    def _do(self, problem, n_samples, *args, random_state=None, **kwargs):
        vectors, seen = [], set()
        for _ in range(n_samples):
            layers = None
            for _ in range(DRAWS):
                vector = self.space.sample(random_state, layers)
                layers = vector.get("layers")
                genome = self.space.genome(vector)
                if genome not in seen and self.excess(genome) <= 0:
                    break
            seen.add(genome)
            vectors.append(vector)
        return np.array(vectors, dtype=object)


class _Shrink(Repair):
    """Offspring above a bound, made smaller until they fit; what cannot be is left to `_Fresh`."""

    def __init__(self, space: Space, excess: Callable[[Genome], float]) -> None:
        super().__init__()
        self.space, self.excess = space, excess

    def _do(self, problem, X, *, random_state, **kwargs):
        fitted = [repair(self.space, vector, self.excess, random_state) for vector in X]
        out = np.empty(len(X), dtype=object)
        for index, vector in enumerate(X):
            out[index] = fitted[index] or vector
        return out


class _Fresh(DuplicateElimination):
    """Keeps individuals that fit and, if `deduplicate`, whose network was not asked for before,
    each once.
    """

    def __init__(self, space: Space, excess: Callable[[Genome], float], deduplicate: bool) -> None:
        super().__init__()
        self.space, self.excess, self.seen = space, excess, set()
        self.deduplicate = deduplicate

    def do(self, pop, *others, **kwargs):
        known = {self.space.genome(item.X) for other in others for item in other} | self.seen
        keep = np.full(len(pop), False)
        for index, individual in enumerate(pop):
            genome = self.space.genome(individual.X)
            new = not self.deduplicate or genome not in known
            keep[index] = new and self.excess(genome) <= 0
            known.add(genome)
        return pop[keep]
