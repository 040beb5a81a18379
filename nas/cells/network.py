"""Networks of cells in torch: the forward pass that scores, training and export share.

Y. Kim et al., "Neural architecture search for spiking neural networks", ECCV 2022, section 4, and
the code released with it. The stem is evaluated once and its analog map fed in each timestep;
batches are normalised timestep by timestep. The LIFs on all edges that leave one node read the same
and so are one here; dead edges compute nothing.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from . import quantiser
from .cell import KERNELS, SKIP, Cell, Edge
from .macro import Macro

#: v <- v + (x - v) / TAU; what is at V_THRESHOLD fires and goes to 0.
TAU, V_THRESHOLD = 4 / 3, 1.0
#: Standard deviation of the first weights of both FC layers.
LINEAR_STD = 0.01

#: Called with the name of a LIF, the timestep and its spikes 0/1 [B, ...].
OnSpikes = Callable[[str, int, Tensor], None]
#: First weights of a layer, by its name and shape.
Draw = Callable[[str, tuple[int, ...]], Tensor]


def draw(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """First weights float32: of convolutions U(-b, b), b = sqrt(6 / (5 fan_in)); others N(0, 0.01).

    They depend on the seed, the name and the shape alone, on every machine.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    if len(shape) == 4:
        bound = float((6 / (5 * np.prod(shape[1:]))) ** 0.5)
        values = (2 * rng.random(shape, dtype=np.float32) - 1) * np.float32(bound)
    else:
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(LINEAR_STD)
    return torch.from_numpy(values)


class Weighted(nn.Module):
    """Weights of one layer; of a convolution, also the normalisation behind it."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.norm = nn.BatchNorm2d(len(weight)) if weight.ndim == 4 else None

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """weight: that of this layer, or what it is rounded to."""
        if self.norm is None:
            return F.linear(x, weight)
        return self.norm(F.conv2d(x, weight, padding=weight.shape[-1] // 2))


class CellNetwork(nn.Module):
    """cells: one used everywhere, or one for each place of `macro`.

    weight_bits: weights are rounded to so many bits in each forward pass, the gradient passes
    straight through; None leaves them as they are. first: where first weights come from, in place
    of `draw` with `seed`. Raises ConfigError for sizes, cells and settings.

    layers: weights by the names that `Macro.convolutions` gives, then `fc1` and `fc2`. norms: the
    normalisation before a LIF that no convolution precedes, by the name of the LIF. lifs: how many
    LIFs each one stands for, by its name: `cell1_0` fires for all edges that leave node 0 of the
    first cell, `wider1` is before the convolution of that name, `out` and `fc1` in the classifier.
    """

    def __init__(self, macro: Macro, cells: Sequence[Cell], *, seed: int = 0,
                 weight_bits: int | None = None, rounding: str = "nearest",
                 scale: str = "power_of_two", first: Draw | None = None) -> None:
        super().__init__()
        if weight_bits is not None:
            quantiser.check(weight_bits, rounding, scale)
        self.macro, self.cells = macro.check(), macro.all_of(cells)
        self.weight_bits, self.rounding, self.scale = weight_bits, rounding, scale
        #: Of what is drawn in a forward pass: dropout and stochastic rounding.
        self.generator = torch.Generator().manual_seed(seed)
        self.seed = seed
        self._on_spikes: OnSpikes | None = None
        first = first or (lambda name, shape: draw(seed, name, shape))
        shapes = {layer.name: (layer.out_channels, layer.in_channels, *2 * (layer.kernel_size,))
                  for layer in macro.convolutions(self.cells)}
        shapes |= {"fc1": (macro.hidden, macro.flat), "fc2": (macro.outputs, macro.hidden)}
        self.layers = nn.ModuleDict({name: Weighted(first(f"{name}_{shape[-1]}", shape))
                                     for name, shape in shapes.items()})
        self.norms = nn.ModuleDict()
        self.lifs: dict[str, int] = {}
        for place, cell in enumerate(self.cells):
            if place:
                self._normed(f"wider{place}", macro.width(place - 1))
            for edge in cell.live:
                if edge.operation in KERNELS:
                    name = _lif(place, edge.source)
                    self.lifs[name] = self.lifs.get(name, 0) + 1
        self._normed("out", macro.width(macro.cells - 1))
        self.lifs["fc1"] = 1

    def _normed(self, name: str, width: int) -> None:
        self.norms[name] = nn.BatchNorm2d(width)
        self.lifs[name] = 1

    def watch(self, on_spikes: OnSpikes | None) -> None:
        """Have every evaluation of a LIF told from now on; None ends it."""
        self._on_spikes = on_spikes

    def weights(self) -> dict[str, Tensor]:
        """Weights by layer as a forward pass takes them, rounded where `weight_bits` says so.

        Stochastic rounding is drawn anew each time in training, and is always the same after it.
        """
        if self.weight_bits is None:
            return {name: layer.weight for name, layer in self.layers.items()}
        if not self.training:
            self.generator.manual_seed(self.seed)
        return {name: quantiser.quantise(layer.weight, self.weight_bits, rounding=self.rounding,
                                         scale=self.scale, generator=self.generator)
                for name, layer in self.layers.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, classes], the mean over timesteps, of images [B, C, H, W] in 0..1.

        Every membrane, and what runs backward in a cell, is zero at first.
        """
        macro, run = self.macro, _Pass(self)
        stem = run.layer("stem", x.contiguous(memory_format=torch.channels_last))
        kept = self._kept(x)
        total = None
        for t in range(macro.num_steps):
            x, run.t = stem, t
            for place, cell in enumerate(self.cells):
                if place:
                    name = f"wider{place}"
                    x = F.avg_pool2d(run.layer(name, run.fire(name, self.norms[name](x))), 2)
                x = run.cell(place, cell, x)
            x = F.avg_pool2d(run.fire("out", self.norms["out"](x)), 2).flatten(1)
            x = run.fire("fc1", run.layer("fc1", x if kept is None else x * kept))
            x = run.layer("fc2", x)
            total = x if total is None else total + x
        votes = total.unflatten(1, (macro.num_classes, macro.voters))
        return votes.mean(2) / macro.num_steps

    def _kept(self, x: Tensor) -> Tensor | None:
        """What dropout multiplies with, the same in each timestep; None where there is none."""
        rate = self.macro.dropout
        if not self.training or not rate:
            return None
        drawn = torch.rand(len(x), self.macro.flat, generator=self.generator)
        return (drawn >= rate).to(x) / (1 - rate)


class _Pass:
    """One forward pass: rounded weights, and what neurons and cells keep from step to step."""

    def __init__(self, network: CellNetwork) -> None:
        self.network, self.weights, self.t = network, network.weights(), 0
        self.membranes: dict[str, Tensor] = {}
        #: What arrived backward at a node, by place and node.
        self.back: dict[tuple[int, int], Tensor] = {}

    def layer(self, name: str, x: Tensor) -> Tensor:
        return self.network.layers[name](x, self.weights[name])

    def fire(self, name: str, x: Tensor) -> Tensor:
        """Spikes of a LIF that reads x in this timestep."""
        v = self.membranes.get(name)
        v = x / TAU if v is None else torch.lerp(v, x, 1 / TAU)
        spikes = _Fire.apply(v)
        if self.t + 1 < self.network.macro.num_steps:
            self.membranes[name] = torch.addcmul(v, v, spikes.detach(), value=-1)
        if self.network._on_spikes is not None:
            self.network._on_spikes(name, self.t, spikes)
        return spikes

    def cell(self, place: int, cell: Cell, x: Tensor) -> Tensor:
        """The last node of a cell whose node 0 is x."""
        arrived: dict[int, Tensor] = {0: x}
        spikes: dict[int, Tensor] = {}
        reached = {node for edge in cell.live for node in (edge.source, edge.target)}
        for node in range(cell.nodes):
            for edge in cell.live:
                if edge.target == node and not edge.backward:
                    self._carry(place, edge, arrived, spikes, arrived)
            if (place, node) in self.back:
                _add(arrived, node, self.back[place, node])
            if node not in arrived and (node in reached or node == cell.nodes - 1):
                arrived[node] = torch.zeros_like(x)
        back: dict[int, Tensor] = {}
        for edge in cell.live:
            if edge.backward:
                self._carry(place, edge, arrived, spikes, back)
        self.back |= {(place, node): value for node, value in back.items()}
        return arrived[cell.nodes - 1]

    def _carry(self, place: int, edge: Edge, arrived: dict[int, Tensor], spikes: dict[int, Tensor],
               into: dict[int, Tensor]) -> None:
        """Add what an edge makes of its source to what arrives at its target."""
        value = arrived[edge.source]
        if edge.operation in KERNELS:
            if edge.source not in spikes:
                spikes[edge.source] = self.fire(_lif(place, edge.source), value)
            value = self.layer(f"cell{place + 1}_{edge.source}_{edge.target}",
                               spikes[edge.source])
        elif edge.operation != SKIP:
            value = F.avg_pool2d(value, 3, stride=1, padding=1)
        _add(into, edge.target, value)


class _Fire(Function):
    """Forward: 1 where v is at the threshold. Backward: the arctangent's slope, alpha = 2."""

    @staticmethod
    def forward(ctx, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return torch.ge(v, V_THRESHOLD, out=torch.empty_like(v))

    @staticmethod
    def backward(ctx, g: Tensor):
        v, = ctx.saved_tensors
        return g / (1 + (torch.pi * (v - V_THRESHOLD)).square_())


def _lif(place: int, node: int) -> str:
    return f"cell{place + 1}_{node}"


def _add(values: dict[int, Tensor], node: int, value: Tensor) -> None:
    values[node] = values[node] + value if node in values else value
