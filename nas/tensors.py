"""Tensors of batched training: reused memory, and what is learned in one storage."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor


class Buffers:
    """Named tensors that keep their memory from one training step to the next.

    Fresh pages for tensors of megabytes cost more time than the arithmetic on them. The price: only
    one forward pass may wait for its backward pass at a time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple, Tensor] = {}

    def get(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Memory of that shape and of the type of `like`, with whatever it holds."""
        found = self._known.get((name, shape))
        if found is None:
            found = self._known[name, shape] = like.new_empty(shape)
        return found


class Learned:
    """Tensors to be learned, in one flat storage with gradients and AdamW's moments beside it.

    Each has a leading candidate axis. An optimiser step is a handful of operations on the whole
    storage, however many tensors there are. (torch.optim does the same arithmetic; creating one of
    its optimisers imports a compiler that is not used here and takes a second.)
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtype: torch.dtype) -> None:
        self.shapes = list(shapes)
        self.value, self.grad, self.mean, self.square, self._spare = torch.zeros(
            5, sum(map(prod, shapes)), dtype=dtype)
        self.steps = 0
        self._kept: Tensor | None = None
        #: The tensors themselves: leaves whose gradients gather in `grad`.
        self.leaves = [part.detach().requires_grad_() for part in self._parts(self.value)]
        for leaf, grad in zip(self.leaves, self._parts(self.grad)):
            leaf.grad = grad

    def _parts(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([prod(shape) for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes)]

    @torch.no_grad()
    def adamw(self, rate: float, weight_decay: float = 0.0, betas: tuple = (0.9, 0.99)) -> None:
        """One step of AdamW (Loshchilov and Hutter 2019, algorithm 2); clears the gradients."""
        self.steps += 1
        mean, square = betas
        if weight_decay:
            self.value.mul_(1 - rate * weight_decay)
        self.mean.lerp_(self.grad, 1 - mean)
        self.square.mul_(square).addcmul_(self.grad, self.grad, value=1 - square)
        torch.sqrt(self.square, out=self._spare)
        self._spare.add_(1e-8 * (1 - square ** self.steps) ** 0.5)
        scale = rate * (1 - square ** self.steps) ** 0.5 / (1 - mean ** self.steps)
        self.value.addcdiv_(self.mean, self._spare, value=-scale)
        if self._kept is not None:
            self.value.mul_(self._kept)
        self.grad.zero_()

    @torch.no_grad()
    def keep(self, masks: Sequence[Tensor]) -> None:
        """From now on hold at zero what is 0 in the masks, one per tensor, and not 1."""
        self._kept = torch.cat([mask.flatten() for mask in masks])
        self.value.mul_(self._kept)

    @torch.no_grad()
    def take(self, other: "Learned", candidates: Sequence[int]) -> None:
        """What is known of some candidates of `other`; its tensors may be padded further."""
        rows = torch.tensor(candidates)
        names = ["value", "mean", "square"]
        if other._kept is not None:
            self._kept = torch.empty_like(self.value)
            names.append("_kept")
        for name in names:
            pairs = zip(self._parts(getattr(self, name)), other._parts(getattr(other, name)))
            for ours, theirs in pairs:
                ours.copy_(theirs[(rows, *(slice(0, n) for n in ours.shape[1:]))])
        self.steps = other.steps
