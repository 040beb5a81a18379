"""A search for networks of cells, made ready."""

from collections.abc import Callable
from concurrent.futures import Executor
from functools import cached_property

import msgspec
import numpy as np

from ...flow import config
from ...flow.errors import ConfigError
from ..problem import Problem, dataset
from ..space import Genome
from .costs import costs
from .pixels import check, maps
from .settings import Cells
from .space import CellSpace, cells_of

_NO_FPGA = "networks of cells are placed and routed on no FPGA while they are searched"


class CellTask(Problem):
    """Data, space, macro network, score, and what is asked of each candidate.

    macro: what is priced and trained; scored: what is scored. training: the recipe of candidates
    that are trained to be compared, None where only scores are asked for.
    Raises ConfigError for a name or a key that only these know.
    """

    LACKS = {
        **dict.fromkeys(("lc", "lut4", "ff", "ebr", "spram", "fmax_mhz", "cycles",
                         "mean_cycles", "latency_us", "energy_nj"), _NO_FPGA),
        "zeros": "training of networks of cells prunes nothing",
        "additions": "cim_uj or spikes tell the work of a network of cells",
        "cim_accuracy": "chips are simulated of integer networks alone",
    }

    def __init__(self, experiment: config.Experiment, source: str = "experiment") -> None:
        if experiment.cim is not msgspec.UNSET:
            raise ConfigError(f"{source}: section [cim] must be left out with space.network = "
                              "'cells'; cells.array and cells.cim_mode say what chips are like")
        given = {} if experiment.cells is msgspec.UNSET else experiment.cells
        self.cells = config.section(Cells, given, source, "cells")
        super().__init__(experiment, source)
        self.data = dataset(experiment.data, source)
        if self.data.num_steps is not None:
            raise ConfigError(f"{source}: data.name must be a data set of images with "
                              f"space.network = 'cells', not {self.data.name!r}, which has events")
        self.macro = self.cells.macro(self.data.shape, self.data.num_classes, source)
        self.scored = self.cells.scored(self.macro, source)
        for macro in (self.macro, self.scored):
            check(self.data.shape, macro, f"{source}: cells.image_size: images of "
                                          f"{self.data.name!r}")
        self.array = self.cells.crossbars(source)
        self.space = CellSpace(self.cells.operations, places=self.macro.cells,
                               nodes=self.cells.nodes, backward=self.cells.backward,
                               shared=self.cells.shared)
        self._check_score(source)
        self.settings, self.training = self._trainings(source)
        self.experiment = msgspec.structs.replace(
            experiment, train=_plain(self.settings), cells=_plain(self.cells))
        self.bound()

    def _check_score(self, source: str) -> None:
        """Make the score's settings whole, and see that there are images enough for it."""
        from .. import scores

        try:
            kind = scores.load(self.cells.score)
            found = scores.settled(kind, self.cells.score_settings)
        except ConfigError as error:
            raise ConfigError(f"{source}: cells.score: {error}") from error
        self.cells = msgspec.structs.replace(self.cells, score_settings=_plain(found))
        wanted = max(scores.needed(found), 2 if "spikes" in self.asked else 1)
        most = len(self.data.train)
        if not wanted <= self.cells.images <= most:
            raise ConfigError(f"{source}: cells.images must be in {wanted}..{most}, what "
                              f"{self.cells.score} needs and the train split of {self.data.name!r} "
                              f"has, not {self.cells.images}")

    def _trainings(self, source: str):
        """Of the chosen network, and of candidates, or None where none is trained."""
        from .train import CellTraining

        plain = self.experiment.train
        chosen = config.section(CellTraining, plain, source, "train").check(f"{source}: train")
        short = config.section(CellTraining, {**plain, **self.cells.short}, source, "cells.short")
        short.check(f"{source}: cells.short")
        return chosen, short if "accuracy" in self.asked else None

    @property
    def ending(self):
        """What comes after the search."""
        from . import ending

        return ending

    @cached_property
    def images(self) -> np.ndarray:
        """What scores see, uint8 [n, C, S, S]: the first images of the train split."""
        return maps(self.data.train.inputs[:self.cells.images], self.scored)

    @cached_property
    def labels(self) -> dict[str, np.ndarray]:
        """The labels of `images` as an argument, nothing where the score takes none."""
        from .. import scores

        if not getattr(scores.load(self.cells.score), "LABELS", False):
            return {}
        return {"labels": self.data.train.labels[:self.cells.images]}

    def free(self, genome: Genome) -> tuple[dict[str, float], float]:
        """Costs by closed form; a network that lets nothing through, or that no chip can have where
        one is asked for, cannot be.
        """
        cells = cells_of(genome)
        if not all(cell.connected for cell in cells):
            return {}, 1.0
        found = costs(self.macro, cells, weight_bits=self.cells.weight_bits,
                      classifier=self.cells.classifier, mode=self.cells.cim_mode, array=self.array)
        missing = any(name.startswith("cim_") and name not in found for name in self.asked)
        return found, float(missing)

    def evaluator(self, store, executor: Executor, *,
                  on_batch: Callable[[int, int], None] | None = None,
                  note: Callable[[str], None] | None = None):
        from .evaluate import CellEvaluator

        return CellEvaluator(self, store, executor, on_batch=on_batch)


def _plain(settings: msgspec.Struct) -> dict:
    """Settings as an experiment holds them; what is None is not mentioned."""
    return {key: value for key, value in msgspec.to_builtins(settings).items()
            if value is not None}
