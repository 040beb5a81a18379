"""What comes after a search for networks of blocks: its best, its front, and the chosen network.

Fronts are of what the super-network says and of costs by closed form; nothing is built. With
gateware the run holds integers that `spikeloom synth` builds.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from ...flow.output import Wide
from ...flow.run import Run
from ..cells import ending as cells
from ..cells.ending import order
from ..loop import Search
from ..prices import Priced
from ..store import Store
from . import final

#: The column that fronts are sorted by, what is counted, and what is said while the chosen network
#: is made.
SIZE, WORK, FINISHING = "weights", "evaluations", "training the chosen network from scratch"
BASIS = "judged with the weights of the super-network"
NOTE = ("the super-network was trained on images of the train split, and candidates were judged "
        "with its weights on the validation split; costs are by closed form, none of them "
        "measured. The chosen network was trained from scratch, and the test split was looked at "
        "once, for it")


def finish(search: Search, store: Store, executor: Executor, folder: Path):
    return final.finish(search.task, folder, order(search))


def facts(search: Search) -> dict:
    """The front, the best network with its limits, and the super-network that judged them."""
    known = search.evaluator.supernet
    return {"network": "blocks", **cells.common(search), "front_basis": BASIS, "note": NOTE,
            "spike_lambda": search.task.blocks.spike_lambda,
            "supernet": {"epochs": known.epochs, "average_spikes": known.average_spikes}}


def progress(search: Search, best: Sequence[Priced]) -> tuple[str, str]:
    return cells.progress(search, best)


def keep(search: Search, chosen, made, opened: Run) -> list[str]:
    return final.keep(search.task, chosen, made, opened)


def tables(search: Search, chosen) -> list[Wide]:
    """The front, and the limits of the chosen network."""
    return cells.tables(search, chosen, BASIS)


def summary(search: Search, found: dict) -> list[str]:
    """The outcome in sentences."""
    known, taken = search.evaluator.supernet, search.task.blocks.supernet
    how = f"that of {taken}" if taken else f"{known.epochs} epochs in {known.seconds:.0f} s"
    return [f"super-network: {how}; {known.average_spikes:,.0f} spikes an image on average while "
            "it was trained, to which the fitness holds those of a candidate, with lambda = "
            f"{found['spike_lambda']:g}",
            *cells.summary(search, found, NOTE)]
