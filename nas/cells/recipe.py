"""Section [train] of networks of cells; what it says needs no torch."""

from collections.abc import Iterator

from ...flow.errors import unknown
from ..recipe import Recipe

OPTIMISERS = ("adamw", "sgd")


class CellTraining(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recipe: cross entropy on the mean over timesteps.

    optimiser: `adamw`, or `sgd` with `momentum`. weight_decay: of weights, not of what batch norms
    learn. label_smoothing: share of the target that is spread over all classes. seed is also of the
    dropout. The rest is that of every `Recipe`.
    """

    optimiser: str = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.01
    label_smoothing: float = 0.1

    def wrong(self) -> Iterator[str]:
        for key, high in (("momentum", 0.999), ("weight_decay", 1.0), ("label_smoothing", 0.9)):
            value = getattr(self, key)
            if not 0 <= value <= high:
                yield f".{key} must be in 0..{high}, not {value}"
        if self.optimiser not in OPTIMISERS:
            yield ": " + unknown("optimiser", self.optimiser, OPTIMISERS)
