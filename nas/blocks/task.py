"""A search for networks of blocks, made ready."""

from collections.abc import Callable
from concurrent.futures import Executor

import msgspec

from ...flow import config, ir, targets
from ...flow.cost import prices
from ...flow.cost.structure import TYPICAL_SPREAD
from ...flow.errors import ConfigError
from ..cells.costs import on_chip
from ..cells.pixels import check
from ..columns import price
from ..problem import Problem, dataset, named
from ..space import Genome
from ..train import TrainSettings
from . import oneshot
from .fitness import fitness
from .graph import graph, typical
from .recipe import BlockTraining
from .settings import Blocks
from .space import BlockSpace, blocks_of

_NO_FPGA = ("networks of blocks without a table [blocks.gateware] are placed and routed on no FPGA")
#: Columns of a device, which only networks with gateware have.
_DEVICE = ("lc", "lut4", "ff", "ebr", "cycles", "latency_us", "energy_nj", "additions")


class BlockTask(Problem):
    """Data, space, macro network, super-network, and what is asked of each candidate.

    macro: of the super-network, of what is priced and trained. training: the recipe of the
    super-network; settings: of the chosen network, a `TrainSettings` where it is trained in the
    integers of its `gateware`, else a `BlockTraining`.
    Raises ConfigError for a name or a key that only these know.
    """

    FOLDERS = (oneshot.FOLDER,)

    def __init__(self, experiment: config.Experiment, source: str = "experiment") -> None:
        if experiment.cim is not msgspec.UNSET:
            raise ConfigError(f"{source}: section [cim] must be left out with space.network = "
                              "'blocks'; blocks.array and blocks.cim_mode say what chips are like")
        given = {} if experiment.blocks is msgspec.UNSET else experiment.blocks
        self.blocks = config.section(Blocks, given, source, "blocks")
        self.LACKS = {
            **({} if self.blocks.gateware is not None else dict.fromkeys(_DEVICE, _NO_FPGA)),
            "spram": "no layer of blocks has its weights there",
            "fmax_mhz": "nothing is routed while networks of blocks are searched",
            "mean_cycles": "what spikes take is not counted of networks of blocks",
            "zeros": "training of networks of blocks prunes nothing",
            "cim_accuracy": "chips are simulated of integer networks alone",
        }
        super().__init__(experiment, source)
        self.data = dataset(experiment.data, source)
        if self.data.num_steps is not None:
            raise ConfigError(f"{source}: data.name must be a data set of images with "
                              f"space.network = 'blocks', not {self.data.name!r}, which has events")
        self.macro = self.blocks.macro(self.data.shape, self.data.num_classes, source)
        check(self.data.shape, self.macro, f"{source}: blocks.image_size: images of "
                                           f"{self.data.name!r}")
        if self.blocks.calibrate > len(self.data.train):
            raise ConfigError(f"{source}: blocks.calibrate must be in 0..{len(self.data.train)}, "
                              f"what the train split of {self.data.name!r} has, not "
                              f"{self.blocks.calibrate}")
        self.array = self.blocks.crossbars(source)
        self.gateware = self.blocks.integers(self.macro, source)
        self.space = BlockSpace(self.blocks.offered, self.macro)
        self._on_board(source)
        self.training = config.section(BlockTraining, self.blocks.super, source, "blocks.super"
                                       ).check(f"{source}: blocks.super")
        self.settings = self._settings(source)
        self.experiment = msgspec.structs.replace(
            experiment, train=_plain(self.settings), blocks=_plain(self.blocks))
        self.may_change = {f"train.{key}" for key in self.settings.__struct_fields__}
        self.bound()

    def _settings(self, source: str) -> TrainSettings | BlockTraining:
        """Of the chosen network's training."""
        given = self.experiment.train
        if self.gateware is None:
            return config.section(BlockTraining, given, source, "train").check(f"{source}: train")
        found = config.section(TrainSettings, given, source, "train")
        try:
            return found.check()
        except ConfigError as error:
            raise ConfigError(f"{source}: train.{error}") from error

    def _on_board(self, source: str) -> None:
        """The board of a network with gateware, and what it has room for."""
        self.board = named(targets.board, self.experiment.target.board, f"{source}: target.board")
        self.device = targets.device(self.board.device)
        if self.gateware is None:
            return
        if not prices.shipped().known(self.device.name) and "energy_nj" in self.asked:
            raise ConfigError(f"{source}: search must be without energy_nj on board "
                              f"{self.board.name}: no energy figures of the {self.device.name} are "
                              "known; take it out of objectives, constraints and choose")
        self.bounds = {"lc": self.device.lc, "ebr": self.device.ebr}

    @property
    def ending(self):
        """What comes after the search."""
        from . import ending

        return ending

    def free(self, genome: Genome) -> tuple[dict[str, float], float]:
        """Costs by closed form, those of a device by structure; a network that no chip can have
        where one is asked for cannot be.
        """
        blocks = blocks_of(genome)
        found, bits = {}, self.blocks.weight_bits
        if self.gateware is None:
            weights = self.macro.weights(blocks)
            found = {"weights": float(weights), "weight_memory": float(weights * bits)}
        else:
            bits = self.gateware.weight_bits
            found = self.device_columns(typical(graph(self.macro, blocks, self.gateware)))
        network = self.macro.network(blocks, weight_bits=bits)
        convolutions = self.macro.weights(blocks, classifier=False)
        found |= on_chip(network, self.blocks.cim_mode, self.array, convolutions * bits)
        missing = any(name.startswith("cim_") and name not in found for name in self.asked)
        return found, float(missing)

    def device_columns(self, made: ir.Graph) -> dict[str, float]:
        """Columns of a graph on the board, by structure; of shapes, with typical weights."""
        found = price(made, self.board, spread=TYPICAL_SPREAD)
        return {name: value for name, value in found.items() if name not in self.LACKS}

    def fitness(self, accuracy: float, spikes: float, average: float) -> float:
        """The score of a candidate; average: spikes of an image in the super-network's training."""
        return fitness(accuracy, spikes, average, self.blocks.spike_lambda)

    def check_repeatable(self, source: str) -> None:
        if not self.blocks.supernet:
            raise ConfigError(f"{source}: blocks.supernet must name the run of a search, whose "
                              "super-network all searches take, as each would train one first; "
                              "'spikeloom search' makes such a run, --set blocks.supernet=RUN "
                              "takes it")

    def evaluator(self, store, executor: Executor, *,
                  on_batch: Callable[[int, int], None] | None = None,
                  note: Callable[[str], None] | None = None):
        from .evaluator import BlockEvaluator

        return BlockEvaluator(self, store, executor, on_batch=on_batch, note=note)


def _plain(settings: msgspec.Struct) -> dict:
    """Settings as an experiment holds them; what is None is not mentioned."""
    return {key: value for key, value in msgspec.to_builtins(settings).items()
            if value is not None}
