"""Networks of blocks trained alone, and what one super-network and its evolution said of them.

A space scaled down (C = 4, images of 16 x 16): a super-network is trained and searched once; its
winner and networks of the space drawn at random are then trained from scratch, all alike. The
search sees train and validation images; the test images are for what is trained at the end.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct, structs

from ...flow import config
from ...flow.errors import RunError
from ...flow.files import write_atomic
from .. import datasets
from ..study import Points
from .block import BLOCKS
from .macro import Macro
from .recipe import BlockTraining

SUBSET = "cifar10-batch1"
MACRO = Macro(channels=4, image_size=16, num_steps=4)
#: How each network is trained from scratch; its seed is that of the network. On the CPU, so that it
#: is the same again.
TRAINING = BlockTraining(epochs=8, batch_size=32, learning_rate=0.01, cosine=True, padding=0,
                         device="cpu")
#: The search: 20 rounds of 20 networks, as the paper has.
EXPERIMENT = {
    "data": {"name": SUBSET}, "space": {"network": "blocks"},
    "blocks": {"channels": MACRO.channels, "image_size": MACRO.image_size,
               "num_steps": MACRO.num_steps, "calibrate": 500,
               "super": {"epochs": 30, "batch_size": 32, "learning_rate": 0.01, "cosine": True,
                         "padding": 0, "device": "cpu", "threads": 2}},
}
#: Networks drawn at random, and the seeds of the winner, whose mean is compared with them.
RANDOM, SEEDS = 20, (0, 1, 2)
#: What comes with the package, and what made it; the file holds both.
SHIPPED = Path(__file__).parents[1] / "figures" / "autosnn.json"
COMMAND = "spikeloom bench autosnn --out nas/figures/autosnn.json"


class Alone(Struct, frozen=True):
    """A network trained from scratch. spikes: of a test image, over all timesteps."""

    blocks: str
    seed: int
    validation: float
    test: float
    spikes: float
    seconds: float


class Judged(Struct, frozen=True):
    """What the super-network says of a network: on the validation images."""

    blocks: str
    accuracy: float
    spikes: float


class Searched(Struct, frozen=True):
    """The search. seconds of training the super-network and of the evolution, on the clock;
    evaluations: different networks that the evolution asked for; average_spikes: N_avg. random:
    what the super-network says of the networks drawn at random.
    """

    winner: Judged
    score: float
    average_spikes: float
    evaluations: int
    supernet_seconds: float
    evolution_seconds: float
    random: tuple[Judged, ...]

    @property
    def seconds(self) -> float:
        return self.supernet_seconds + self.evolution_seconds


class Held(Struct, frozen=True):
    """Everything that the file has. winner: from each seed; random: from the first one."""

    command: str
    settings: dict
    searched: Searched
    winner: tuple[Alone, ...]
    random: tuple[Alone, ...]


def settings() -> dict:
    """What all networks have in common, as plain values."""
    return json.loads(msgspec.json.encode({
        "subset": SUBSET, "macro": MACRO, "training": TRAINING, "experiment": EXPERIMENT}))


def drawn() -> list[str]:
    """Texts of the random networks, all different, always the same."""
    rng, found = np.random.default_rng(0), {}
    while len(found) < RANDOM:
        blocks = [BLOCKS[k] for k in rng.integers(len(BLOCKS), size=MACRO.places)]
        found[MACRO.text(blocks)] = None
    return list(found)


def trained(key: dict) -> dict:
    """Train one network from nothing; key: its `blocks`, as a text, and `seed`."""
    from .evaluate import evaluate
    from .network import BlockNetwork
    from .train import train

    began, data = time.process_time(), datasets.load(SUBSET)
    network = BlockNetwork(MACRO, MACRO.parse(key["blocks"]), seed=key["seed"])
    train(network, data.train, None, structs.replace(TRAINING, seed=key["seed"]))
    validation, test = (evaluate(network, split) for split in (data.validation, data.test))
    return msgspec.to_builtins(Alone(
        key["blocks"], key["seed"], validation.accuracy, test.accuracy,
        round(test.spikes_per_image, 1), round(time.process_time() - began, 1)))


def searched(folder: Path, executor, note: Callable[[str], None]) -> Searched:
    """Run the search in a folder, or go on with it, and judge the random networks there."""
    from ..loop import Search
    from ..problem import problem
    from ..store import FILE, Store
    from .space import blocks_of, genome_of

    task = problem(config.experiment_from(EXPERIMENT, "bench autosnn"), "bench autosnn")
    clock = _Clock(Path(folder) / "seconds.json")
    with Store(Path(folder) / FILE) as store:
        evaluator = task.evaluator(store, executor, note=lambda text: (
            clock.mark("supernet"), note(text)))
        known = evaluator.supernet
        clock.mark("supernet")
        search = Search(task, store, executor, Path(folder), evaluator=evaluator,
                        on_generation=lambda search, number: (clock.mark("evolution"), note(
                            f"round {number} of {task.search.generations}"))).run()
        best = task.ending.order(search)[0]
        random = evaluator.evaluate([genome_of(MACRO.parse(text)) for text in drawn()], 0)

    def judged(row) -> Judged:
        return Judged(MACRO.text(blocks_of(row.genome)), row.counted["accuracy"],
                      round(row.counted["spikes"], 1))

    return Searched(judged(best), best.counted["score"], round(known.average_spikes, 1),
                    len({row.id for row in search.rows}), clock.seconds["supernet"],
                    clock.seconds["evolution"], tuple(map(judged, random)))


class _Clock:
    """Seconds of parts of a work that may be cut short, in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self._last = path, time.monotonic()
        self.seconds = {"supernet": 0.0, "evolution": 0.0}
        if path.exists():
            self.seconds |= msgspec.json.decode(path.read_bytes(), type=dict[str, float])

    def mark(self, part: str) -> None:
        """Since the last mark this was worked on."""
        now = time.monotonic()
        self.seconds[part] = round(self.seconds[part] + now - self._last, 3)
        self._last = now
        write_atomic(self.path, json.dumps(self.seconds) + "\n")


def complete(path: Path, folder: Path, jobs: int, note: Callable[[str], None]) -> Held:
    """Search and train what a folder lacks, and write the file.

    A search that is done already is not begun again, and its seconds stand.
    """
    from ..workers import workers

    again = "run the same command again"
    points = Points(Path(folder) / "points.json")
    with workers(jobs, again) as executor:
        found = msgspec.convert(points.find(
            {"settings": settings()},
            lambda: msgspec.to_builtins(searched(Path(folder), executor, note))), Searched)
    note(f"winner {found.winner.blocks}: {found.winner.accuracy:.2%} with the weights of the "
         f"super-network, after {found.seconds:.0f} s")
    keys = [{"blocks": blocks, "seed": seed} for blocks, seed in order(found)]
    # settings are part of what is measured, so that others are not taken for these
    rows = points.every([{**key, "settings": settings()} for key in keys], trained, jobs=jobs,
                        note=lambda done, todo: note(f"networks trained alone: {done}/{todo}"))
    made = [msgspec.convert(row, Alone) for row in rows]
    held = Held(COMMAND, settings(), found, tuple(made[:len(SEEDS)]), tuple(made[len(SEEDS):]))
    save(held, path)
    return held


def order(found: Searched) -> list[tuple[str, int]]:
    """Blocks and seed of every network that is trained: the winner's, then those at random."""
    return [*((found.winner.blocks, seed) for seed in SEEDS),
            *((blocks, SEEDS[0]) for blocks in drawn())]


def gain(held: Held) -> tuple[float, float, float]:
    """Test accuracy of the winner, the mean of its seeds, less the median of the random networks
    and one standard deviation of these; and these two.
    """
    accuracies = [item.test for item in held.random]
    median, spread = float(np.median(accuracies)), float(np.std(accuracies, ddof=1))
    return _mean(held.winner, "test") - median - spread, median, spread


def _mean(rows: Sequence[Alone], name: str) -> float:
    return sum(getattr(row, name) for row in rows) / len(rows)


def save(held: Held, path: Path) -> None:
    """Write everything to a file."""
    plain = msgspec.to_builtins(held)
    lines = {name: ",\n".join(json.dumps(item) for item in plain.pop(name))
             for name in ("winner", "random")}
    head = json.dumps(plain, indent=1)[:-2]
    rest = "".join(f',\n "{name}": [\n{text}\n]' for name, text in lines.items())
    write_atomic(path, f"{head}{rest}\n}}\n")


def load(path: Path) -> Held:
    """What `save` wrote; RunError for another file, or for networks of other settings."""
    try:
        held = msgspec.json.decode(Path(path).read_bytes(), type=Held)
    except (OSError, msgspec.MsgspecError) as error:
        raise RunError(f"{path}: holds no networks of blocks ({error}); 'spikeloom bench autosnn' "
                       "makes them") from error
    for key, now in settings().items():
        was = held.settings.get(key, "not set")
        if was != now:
            raise RunError(f"{path}: its networks were trained with {key} = {was}, not {now}; make "
                           f"it anew with '{COMMAND}'")
    return held
