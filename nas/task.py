"""Task: a search for networks on an FPGA, on crossbars or on both, made ready."""

import json
import math
from collections.abc import Callable
from concurrent.futures import Executor

import msgspec

from ..flow import config, targets
from ..flow.cost import prices
from ..flow.errors import ConfigError
from ..hdl.neurons import CELLS
from .arrays import Arrays
from .columns import CIM, price
from .datasets import Dataset
from .layered import LayeredSpace
from .problem import Problem, dataset, named
from .residual import ResidualSpace
from .space import Genome, Space, sparsity
from .train import TrainSettings


class Task(Problem):
    """One experiment made ready: data, space, board, and what is asked of each candidate.

    data: a data set that has no name of its own, in the place of the one that the experiment names.
    Raises ConfigError for a name or a key that only these know.
    """

    LACKS = {
        "score": "scores are of networks of cells or of blocks (space.network = 'cells')",
    }

    def __init__(self, experiment: config.Experiment, source: str = "experiment",
                 data: Dataset | None = None) -> None:
        self.settings = config.section(TrainSettings, experiment.train, source, "train")
        try:
            self.settings.check()
        except ConfigError as error:
            raise ConfigError(f"{source}: train.{error}") from error
        plain = {key: value for key, value in msgspec.to_builtins(self.settings).items()
                 if value is not None}
        self.board = named(targets.board, experiment.target.board, f"{source}: target.board")
        self.device = targets.device(self.board.device)
        super().__init__(msgspec.structs.replace(experiment, train=plain), source)
        if not prices.shipped().known(self.device.name) and "energy_nj" in self.asked:
            raise ConfigError(f"{source}: search must be without energy_nj on board "
                              f"{self.board.name}: no energy figures of the {self.device.name} are "
                              "known; take it out of objectives, constraints and choose")
        if "fmax_mhz" in self.search.objectives and self.search.cost_model == "structure":
            raise ConfigError(f"{source}: search.objectives must be without fmax_mhz with "
                              "search.cost_model = 'structure', which counts cells and knows no "
                              "clocks; use 'predicted'")
        self.cim = self._crossbars(source)
        if self.search.table and not self.priced_only:
            raise ConfigError(f"{source}: search.table must be left out where candidates are "
                              "placed and routed, which takes trained weights, and a table has "
                              "none; 'spikeloom study compare --table FILE' builds nothing")
        self.data = data or dataset(experiment.data, source)
        if self.data.recorded is not None:
            self.experiment = msgspec.structs.replace(self.experiment, data=self.data.recorded.data)
        for key, wanted in (("encoders", self.data.encoders),
                            ("num_steps", self.data.num_steps and (self.data.num_steps,))):
            values = getattr(experiment.space, key)
            if wanted and not set(values) <= set(wanted):
                raise ConfigError(f"{source}: space.{key} must be of {list(wanted)} for the inputs "
                                  f"of {self.data.name!r}, not {list(values)}")
        bare = [kind for kind in experiment.space.neurons if kind not in CELLS]
        if bare:
            raise ConfigError(f"{source}: space.neurons must be kinds with gateware, by which "
                              f"candidates are priced, not {bare}; 'spikeloom train' takes them")
        if self.settings.sparsity and any(experiment.space.sparsities):
            raise ConfigError(f"{source}: train.sparsity must be 0 where space.sparsities gives "
                              f"shares to choose from, not {self.settings.sparsity}")
        if self.settings.shift and (self.data.num_steps or len(self.data.shape) not in (2, 3)):
            raise ConfigError(f"{source}: train.shift must be 0 for {self.data.name!r}, which has "
                              f"no images to move, not {self.settings.shift}")
        if "spram" in experiment.space.memories and not self.device.spram:
            raise ConfigError(f"{source}: space.memories must be without 'spram' for board "
                              f"{self.board.name}, whose {self.device.name} has none; use 'ebr', "
                              "or a board with an UP5K")
        kind = {"chain": Space, "layered": LayeredSpace, "residual": ResidualSpace}[
            experiment.space.network]
        self.space = kind(experiment.space, self.data.shape, self.data.num_classes,
                          self.cim and Arrays(self.cim.values))
        self.bounds = {} if self.priced_only else {
            "lc": math.floor(self.search.max_utilization * self.device.lc), "ebr": self.device.ebr,
            "spram": self.device.spram}
        self.bound()

    @property
    def ending(self):
        """What comes after the search: building, or nothing but training."""
        from . import built, priced

        return priced if self.priced_only else built

    def evaluator(self, store, executor: Executor, *,
                  on_batch: Callable[[int, int], None] | None = None,
                  note: Callable[[str], None] | None = None):
        from .evaluator import Evaluator

        return Evaluator(self, store, executor, on_batch=on_batch)

    def prepare(self, note: Callable[[str], None]):
        """Find the tools that place and route; the predictor of the cost model, if it has one."""
        if not self.priced_only:
            from ..flow import tools

            tools.prepare(["yosys", "nextpnr-ice40", "icepack"], note)
        return self.predictor()

    def predictor(self):
        if self.priced_only or self.search.cost_model != "predicted":
            return None
        from ..flow.cost import predict

        return predict.shipped()

    @property
    def priced_only(self) -> bool:
        """Whether nothing is placed and routed, so that no device need hold what is found."""
        return self.cim is not None and not self.search.routed

    def _crossbars(self, source: str):
        """Section [cim] where the experiment has one, or asks for a column of a chip, else None."""
        search, space, asked = self.search, self.experiment.space, self.asked
        if self.experiment.cim is msgspec.UNSET and asked.isdisjoint(CIM):
            return None
        from .cim import Cim

        given = {} if self.experiment.cim is msgspec.UNSET else self.experiment.cim
        found = config.section(Cim, given, source, "cim").check(f"{source}: cim")
        if "stream" in space.encoders:
            raise ConfigError(f"{source}: space.encoders must be without stream where candidates "
                              "are priced on crossbars, not "
                              f"{list(space.encoders)}: the layer that it feeds stays digital and "
                              "has no price there; use ['rate']")
        if not found.draws and "cim_accuracy" in asked:
            raise ConfigError(f"{source}: cim.draws must be at least 1 where the search asks for "
                              "cim_accuracy, not 0")
        for key in ("cell_bits", "adc_bits"):
            values = getattr(found, key)
            if len(values) > 1 and "cim_accuracy" not in {*search.objectives, *search.constraints}:
                raise ConfigError(f"{source}: cim.{key} must be one value where neither objectives "
                                  "nor constraints have cim_accuracy, which alone sees what it "
                                  f"does, not {list(values)}")
        if not search.routed and "fmax_mhz" in asked:
            raise ConfigError(f"{source}: search must be without fmax_mhz where nothing is routed; "
                              "take it out of objectives, constraints and choose, or set "
                              "search.routed")
        self.experiment = msgspec.structs.replace(self.experiment, cim=msgspec.to_builtins(found))
        return found

    def array(self, genome: Genome):
        """The array of a candidate, None without crossbars."""
        return None if self.cim is None else self.cim.array(json.loads(genome)["array"])

    def sparsity(self, genome: Genome) -> float:
        """The share of its weights that training makes zero."""
        return sparsity(genome) or self.settings.sparsity

    def free(self, genome: Genome) -> tuple[dict[str, float], float]:
        """Columns of the graph of shapes, of the chip too; and by how much weights are too wide.

        Where what a space knows without a graph breaks a bound already, that alone.
        """
        sparse, unfit = self.sparsity(genome), 0.0
        least = {} if sparse else self.space.floor(genome)
        if any(value > 0 for value in self.broken(least).values()):
            return least, unfit
        graph = self.space.graph(genome)
        columns = price(graph, self.board, sparse)
        if self.cim is not None:
            from .cim import free_check

            more, unfit = free_check(graph, self.array(genome), self.cim)
            columns |= more
        return columns, unfit

    def known(self) -> dict[str, float]:
        return {**super().known(), "fmax_mhz": self.board.clock_hz / 1e6}
