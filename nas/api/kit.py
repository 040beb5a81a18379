"""A kit to train with: a small spiking network in torch, and the two loops that use it.

It is what an `accuracy_fn` can be made of, and no more: what it trains are floats, and a search
without an `accuracy_fn` trains on the integers of the hardware instead (`nas.train`).
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ...flow.errors import ConfigError
from .space import whole

#: Share of the membrane that is left after a timestep, as the LIF of the search spaces has it.
KEPT = 1 - 2.0 ** -4
#: Width of the surrogate derivative 1 / (1 + (pi x)**2) of a spike, in units of the threshold
#: (W. Fang et al., "Incorporating Learnable Membrane Time Constant ...", ICCV 2021: ATan).
ALPHA = 2.0


class _Spike(torch.autograd.Function):
    """1 where x is 0 or more; its derivative is that of an arctangent."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * ALPHA / 2 / (1 + (torch.pi / 2 * ALPHA * x) ** 2)


class SpikingNet(nn.Module):
    """Layers of LIF neurons with threshold 1, and a last one whose membranes are the answer.

    n_hidden: the width of the hidden layer, or a sequence of widths. Pixels in 0..1 are the current
    of every timestep. There are no biases, so that `weights` is all that was learned. seed: of the
    first weights.
    """

    def __init__(self, n_input: int, n_hidden: int | Sequence[int], n_output: int, *,
                 seed: int = 0) -> None:
        super().__init__()
        hidden = list(n_hidden) if isinstance(n_hidden, Sequence) else [n_hidden]
        sizes = [whole(name, size, 1, 1 << 16)
                 for name, size in [("n_input", n_input), *(("n_hidden", size) for size in hidden),
                                    ("n_output", n_output)]]
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ParameterList(
            nn.Parameter(torch.randn(out, ins, generator=generator) * (2 / ins) ** 0.5)
            for ins, out in pairwise(sizes))

    def forward(self, x: Tensor, n_timesteps: int = 25) -> Tensor:
        """Scores float [B, n_output] of x, float in 0..1 or uint8 [B, ...]: the last layer's
        membrane over the timesteps.
        """
        whole("n_timesteps", n_timesteps, 1, 1 << 16)
        x = self._pixels(x)
        *hidden, last = self.layers
        first = x @ self.layers[0].T
        if not hidden:
            return first
        membranes = [x.new_zeros(len(x), len(weight)) for weight in hidden]
        total = x.new_zeros(len(x), len(last))
        for _ in range(n_timesteps):
            spikes = None
            for k, weight in enumerate(hidden):
                current = first if spikes is None else spikes @ weight.T
                v = KEPT * membranes[k] + current
                spikes = _Spike.apply(v - 1)
                membranes[k] = v - spikes.detach()
            total = total + spikes @ last.T
        return total / n_timesteps

    def _pixels(self, x: Tensor) -> Tensor:
        """x as floats [B, n_input]."""
        wanted, weight = self.layers[0].shape[1], self.layers[0]
        x = torch.as_tensor(x, device=weight.device)
        x = x.reshape(len(x), -1)
        if x.shape[1] != wanted:
            raise ConfigError(f"x must have n_input = {wanted} values a sample, not {x.shape[1]}")
        return x.to(weight.dtype) / (255 if x.dtype == torch.uint8 else 1)

    def weights(self) -> list[np.ndarray]:
        """The weights of each layer, float [out, in]: what an `accuracy_fn` may return beside the
        accuracy, so that costs are those of this very network.
        """
        return [weight.detach().cpu().numpy().copy() for weight in self.layers]


def train_epoch(model: nn.Module, loader: Iterable, optimizer: torch.optim.Optimizer,
                n_timesteps: int = 25) -> float:
    """One pass over batches (x, y) of a loader, cross entropy; the mean loss.

    The optimizer is the caller's, made of `model.parameters()`; ConfigError for one of another
    model, or an empty loader.
    """
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(parameter) in own for group in optimizer.param_groups
               for parameter in group["params"]):
        raise ConfigError("optimizer must be made of model.parameters() of this very model, not of "
                          "another's; make one for each model")
    model.train()
    return _over(model, loader, n_timesteps, optimizer)[0]


def evaluate(model: nn.Module, loader: Iterable, n_timesteps: int = 25) -> tuple[float, float]:
    """Mean loss, and share of right answers, over batches (x, y) of a loader."""
    model.eval()
    with torch.no_grad():
        return _over(model, loader, n_timesteps, None)


def _over(model: nn.Module, loader: Iterable, n_timesteps: int,
          optimizer: torch.optim.Optimizer | None) -> tuple[float, float]:
    """Mean loss and accuracy over batches, with a step after each if there is an optimizer."""
    total, right, count = 0.0, 0, 0
    for x, y in loader:
        scores = model(x, n_timesteps)
        y = torch.as_tensor(y, device=scores.device).long().reshape(-1)
        loss = nn.functional.cross_entropy(scores, y)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += float(loss.detach()) * len(y)
        right += int((scores.detach().argmax(1) == y).sum())
        count += len(y)
    if not count:
        raise ConfigError("loader must give at least one batch (x, y), not none; a generator gives "
                          "its batches only once")
    return total / count, right / count
