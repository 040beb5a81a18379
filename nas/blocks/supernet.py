"""The super-network: all candidates at each place, of which one path at a time is evaluated.

B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022, section 5, and
the code released with it. Each mini-batch trains one path, drawn uniformly; what is off the path
stays as it is. A candidate has batch norms of its own, those of the stem are shared; in evaluation
they use the running statistics that training left, gathered over all paths that came before. So the
released code does; with `calibrate` the statistics are those of one path alone, which ranks better.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...flow.errors import ConfigError
from ..checkpoints import Scored
from ..datasets import Split
from .block import check
from .evaluate import evaluate
from .inputs import arrays, seen
from .macro import Macro
from .network import Backbone, Block, BlockNetwork, Passed, draw


class SuperNetwork(Backbone):
    """choices: different blocks, offered at every place of `macro`. Raises ConfigError.

    A block's first weights are those that it has in a `BlockNetwork` of the same seed.
    """

    def __init__(self, macro: Macro, choices: Sequence[str], *, seed: int = 0) -> None:
        self.choices, chosen = tuple(choices), set(choices)
        if not chosen or len(chosen) < len(self.choices):
            raise ConfigError("choices must be different blocks, at least one, not "
                              f"{list(self.choices)}")
        for name in self.choices:
            check(name, "choices")

        def first(name: str, shape: tuple[int, ...]) -> Tensor:
            return draw(seed, name, shape)

        super().__init__(macro, first)
        self.seed = seed
        plans = {name: macro.plans([name]) for name in self.choices}
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: Block(plans[name][place], f"block{place + 1}", first)
                           for name in self.choices}) for place in range(macro.places))

    def drawn(self, generator: torch.Generator) -> tuple[str, ...]:
        """A path, every one equally likely."""
        drawn = torch.randint(len(self.choices), (self.macro.places,), generator=generator)
        return tuple(self.choices[k] for k in drawn.tolist())

    def path(self, blocks: Sequence[str]) -> list[Block]:
        """The blocks of a path; ConfigError for one that the super-network does not have."""
        blocks = self.macro.all_of(blocks, "path")
        if missing := sorted(set(blocks) - set(self.choices)):
            raise ConfigError(f"path must be of the super-network's blocks, "
                              f"{', '.join(self.choices)}, not {', '.join(missing)}")
        return [own[name] for own, name in zip(self.blocks, blocks)]

    def forward(self, x: Tensor, path: Sequence[str]) -> Tensor:
        """Firing rates [B, classes] of images or frames along a path."""
        return self.counted(x, path).rates

    def counted(self, x: Tensor, path: Sequence[str]) -> Passed:
        """Firing rates, and spikes per image by what fires, along a path."""
        return self.passed(x, self.path(path))

    def calibrate(self, path: Sequence[str], split: Split, batch_size: int = 96) -> None:
        """Make the statistics of the path's batch norms, and the stem's, those of a split: means
        over its batches with the path's weights. Use images that it was trained on.
        """
        parts = [self.stem, *self.path(path)]
        norms = [part for item in parts for part in item.modules()
                 if isinstance(part, nn.BatchNorm2d)]
        momentum, was = [norm.momentum for norm in norms], self.training
        device = self.fc.weight.device
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # every batch counts alike
        self.train()
        try:
            with torch.no_grad():
                for batch in torch.from_numpy(arrays(split.inputs, self.macro)).split(batch_size):
                    self.counted(seen(batch, device), path)
        finally:
            self.train(was)
            for norm, own in zip(norms, momentum):
                norm.momentum = own

    def evaluate(self, path: Sequence[str], split: Split, *, calibration: Split | None = None,
                 batch_size: int = 96) -> Scored:
        """Accuracy and spikes of a path with the weights that it shares.

        calibration: images for `calibrate`, whose statistics go when the path is evaluated; None
        for those that training left.
        """
        kept = {name: value.clone() for name, value in self.named_buffers()} \
            if calibration is not None else {}
        try:
            if calibration is not None:
                self.calibrate(path, calibration, batch_size)
            return evaluate(self, split, path=path, batch_size=batch_size).scored
        finally:
            for name, value in self.named_buffers():
                if name in kept:
                    value.copy_(kept[name])

    def extracted(self, path: Sequence[str]) -> BlockNetwork:
        """A path as a network of its own, with a copy of its weights."""
        found = BlockNetwork(self.macro, path, seed=self.seed)
        blocks = nn.ModuleList(self.path(path)).state_dict()
        others = {key: value for key, value in self.state_dict().items()
                  if not key.startswith("blocks.")}
        found.load_state_dict({**others, **{f"blocks.{key}": value
                                            for key, value in blocks.items()}})
        return found.to(self.fc.weight.device).train(self.training)
