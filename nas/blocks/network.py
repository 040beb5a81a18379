"""Networks of blocks in torch: PLIF neurons, the forward pass, and what counts as a spike.

B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022, and the code
released with it. Layers run one after the other, each in all timesteps at once, so a batch norm
sees all timesteps of a batch together (the released code: each by itself). The stem's convolution
of an image is evaluated once and its analog map fed in each timestep.

Spikes per image are the sum over all timesteps, mean over images, of what leaves the stem's PLIF,
every PLIF of a block, every max pool, every PLIF behind an average pool, global pooling or another
convolution of the stem, and the PLIF of the FC layer. A skip that changes nothing fires nothing;
one with a 1 x 1 convolution has a PLIF, which counts. What a residual block adds is no spike of its
own. So the released code counts (but for event cameras, whose maps it counts alike).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from ...flow.errors import ConfigError
from .block import Conv, Plan
from .macro import Macro

#: What is at the threshold fires and goes to 0.
V_THRESHOLD = 1.0
#: Of the first weights of the FC layer, which has no batch norm: with 1 its neurons are silent for
#: the first epochs, which 600 of the paper's do not show, but five do.
GAIN = 3.0

#: Called with the name of what fires, the timestep and its spikes 0/1 [B, ...].
OnSpikes = Callable[[str, int, Tensor], None]
#: First weights of a layer, by its name and shape.
Draw = Callable[[str, tuple[int, ...]], Tensor]


def draw(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """First weights float32 U(-b, b), b = 1 / sqrt(fan_in), as torch draws them and the released
    code leaves them; `GAIN` times that of the FC layer.

    They depend on the seed, the name and the shape alone, on every machine.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    bound = np.float32((GAIN if name == "fc" else 1.0) * float(np.prod(shape[1:])) ** -0.5)
    return torch.from_numpy((2 * rng.random(shape, dtype=np.float32) - 1) * bound)


@dataclass(frozen=True)
class Passed:
    """rates: of the classes, [B, classes] in 0..1. spikes: per image, by what fires; scalars."""

    rates: Tensor
    spikes: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """Spikes per image, of all that fires."""
        return torch.stack(list(self.spikes.values())).sum()


class Plif(nn.Module):
    """Parametric leaky neurons: v <- v + (x - v) sigmoid(w), one w for all of a layer, 0 at first;
    at the threshold they fire and go to 0.

    W. Fang et al., "Incorporating learnable membrane time constant to enhance learning of spiking
    neural networks", ICCV 2021. summing: v <- v + x - v sigmoid(w), for what reads means of spikes:
    a membrane that moves toward a mean is always below 1, and so never fires. (The released code
    moves it there all the same, so its networks with average pools are silent; it has this form
    too, commented out.)
    """

    def __init__(self, summing: bool = False) -> None:
        super().__init__()
        self.w, self.summing = nn.Parameter(torch.zeros(())), summing

    def forward(self, x: Tensor, num_steps: int) -> Tensor:
        """Spikes [T, B, ...] of currents [T, B, ...], or of [1, B, ...], the same in each timestep.
        """
        a = self.w.sigmoid()
        return _Fire.apply(x / a if self.summing else x, a, num_steps)


class ConvNorm(nn.Module):
    """A convolution without bias, and its batch norm."""

    def __init__(self, conv: Conv, weight: Tensor) -> None:
        super().__init__()
        self.weight, self.norm = nn.Parameter(weight), nn.BatchNorm2d(conv.out_channels)
        self._conv = conv

    def forward(self, x: Tensor) -> Tensor:
        conv = self._conv
        return self.norm(F.conv2d(x, self.weight, stride=conv.stride, groups=conv.groups,
                                  padding=conv.kernel_size // 2))


class Block(nn.Module):
    """One block at one place; its plan says which."""

    def __init__(self, plan: Plan, name: str, first: Draw) -> None:
        super().__init__()
        self.plan, self.name = plan, name
        self.convs = nn.ModuleDict({
            conv.name: ConvNorm(conv, first(f"{name}_{conv.name}_{conv.kernel_size}", shape(conv)))
            for conv in plan.convolutions})
        self.plifs = nn.ModuleList(Plif() for _ in plan.main)

    def forward(self, x: Tensor, run: "_Pass") -> Tensor:
        """Spikes [T B, ...] of spikes; those of its PLIFs are told as `block1_conv1`, ..."""
        plan, came = self.plan, x
        for conv, plif in zip(plan.main, self.plifs):
            x = self.convs[conv.name](x)
            if plan.adds and conv is plan.main[-1]:
                x = x + (came if plan.short is None else self.convs[plan.short.name](came))
            x = run.fire(f"{self.name}_{conv.name}", plif, x)
        return x


class Backbone(nn.Module):
    """Everything of a macro network but its blocks, which a subclass has."""

    def __init__(self, macro: Macro, first: Draw) -> None:
        super().__init__()
        self.macro = macro.check()
        sizes = {"stem": Conv("stem", macro.in_channels, macro.channels, 3)}
        sizes |= {name: Conv(name, macro.channels, macro.channels, 3)
                  for name in _stem_names(macro)}
        self.stem = nn.ModuleDict({name: ConvNorm(conv, first(f"{name}_3", shape(conv)))
                                   for name, conv in sizes.items()})
        self.fc = nn.Linear(macro.flat, macro.outputs, bias=False)
        self.fc.weight = nn.Parameter(first("fc", (macro.outputs, macro.flat)))
        means = [_pool_name(place) for place in sorted(macro.pooled)] if macro.down == "avg" else []
        means += ["global"] if macro.global_pooling else []
        self.plifs = nn.ModuleDict({name: Plif(name in means) for name in (*sizes, "fc", *means)})
        self._on_spikes: OnSpikes | None = None

    def watch(self, on_spikes: OnSpikes | None) -> None:
        """Have all that counts as a spike told from now on, by name and timestep; None ends it."""
        self._on_spikes = on_spikes

    def passed(self, x: Tensor, blocks: Sequence[Block]) -> Passed:
        """What comes of images [B, C, H, W] in 0..1, or of frames [T, B, C, H, W] of events,
        through these blocks; every membrane is 0 at first.
        """
        macro, run = self.macro, _Pass(self, x)
        if x.ndim == 5:
            if len(x) != macro.num_steps:
                raise ConfigError(f"frames must be {macro.num_steps}, one a timestep, not {len(x)}")
            x = x.flatten(0, 1)
        x = self.stem["stem"](x.contiguous(memory_format=torch.channels_last))
        x = run.fire("stem", self.plifs["stem"], x)
        for number in range(macro.stem_down):
            x = run.told(f"stem_pool{number + 1}", F.max_pool2d(x, 2))
            if number < macro.stem_convolutions:
                name = _stem_names(macro)[number]
                x = run.fire(name, self.plifs[name], self.stem[name](x))
        for place, block in enumerate(blocks):
            x = block(x, run)
            if place in macro.pooled and macro.down == "max":
                x = run.told(_pool_name(place), F.max_pool2d(x, 2))
            elif place in macro.pooled:
                name = _pool_name(place)
                x = run.fire(name, self.plifs[name], F.avg_pool2d(x, 2))
        if macro.global_pooling:
            x = run.fire("global", self.plifs["global"], x.mean((2, 3), keepdim=True))
        x = run.fire("fc", self.plifs["fc"], self.fc(x.flatten(1)))
        votes = x.unflatten(1, (macro.num_classes, macro.voters)).mean(2)
        return Passed(votes.unflatten(0, (macro.num_steps, -1)).mean(0), run.spikes)


class BlockNetwork(Backbone):
    """One network of blocks: one used everywhere, or one for each place of `macro`.

    first: where first weights come from, in place of `draw` with `seed`. Raises ConfigError.
    """

    def __init__(self, macro: Macro, blocks: Sequence[str], *, seed: int = 0,
                 first: Draw | None = None) -> None:
        first = first or (lambda name, shape: draw(seed, name, shape))
        super().__init__(macro, first)
        self.names, self.seed = macro.all_of(blocks), seed
        self.blocks = nn.ModuleList(Block(plan, f"block{place + 1}", first)
                                    for place, plan in enumerate(macro.plans(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """Firing rates [B, classes], mean over voters and timesteps, of images or frames."""
        return self.counted(x).rates

    def counted(self, x: Tensor) -> Passed:
        """Firing rates, and spikes per image by what fires."""
        return self.passed(x, self.blocks)


def neurons(macro: Macro, blocks: Sequence[str]) -> dict[str, int]:
    """How many neurons, or outputs of a max pool, are behind each name that spikes are told by."""
    found = {"stem": macro.channels * macro.image_size ** 2}
    for number in range(macro.stem_down):
        size = macro.channels * (macro.image_size >> number + 1) ** 2
        found[f"stem_pool{number + 1}"] = size
        if number < macro.stem_convolutions:
            found[_stem_names(macro)[number]] = size
    for index, plan in enumerate(macro.plans(blocks)):
        place = macro.place(index)
        extent = place.before
        for conv in plan.main:
            extent = place.extent if conv.stride > 1 else extent
            found[f"block{index + 1}_{conv.name}"] = conv.out_channels * extent ** 2
        if index in macro.pooled:
            found[_pool_name(index)] = place.outs * (place.extent // 2) ** 2
    if macro.global_pooling:
        found["global"] = macro.flat
    return {**found, "fc": macro.outputs}


def shape(conv: Conv) -> tuple[int, ...]:
    """The shape of a convolution's weights."""
    return (conv.out_channels, conv.in_channels // conv.groups, *2 * (conv.kernel_size,))


def _stem_names(macro: Macro) -> list[str]:
    return [f"stem_conv{number + 1}" for number in range(macro.stem_convolutions)]


def _pool_name(place: int) -> str:
    return f"pool{place + 1}"


class _Pass:
    """One forward pass: what fires is counted and told."""

    def __init__(self, network: Backbone, x: Tensor) -> None:
        self.network, self.num_steps = network, network.macro.num_steps
        self.images = x.shape[-4]
        self.spikes: dict[str, Tensor] = {}

    def fire(self, name: str, plif: Plif, x: Tensor) -> Tensor:
        """Spikes [T B, ...] of currents [T B, ...], or of [B, ...] of all timesteps."""
        steps = x.unflatten(0, (-1, self.images))
        return self.told(name, plif(steps, self.num_steps).flatten(0, 1))

    def told(self, name: str, spikes: Tensor) -> Tensor:
        each = spikes.sum(tuple(range(1, spikes.ndim)))  # exact, as the sum of many may not be
        self.spikes[name] = each.double().sum() / self.images
        if self.network._on_spikes is not None:
            for t, each in enumerate(spikes.unflatten(0, (self.num_steps, self.images))):
                self.network._on_spikes(name, t, each)
        return spikes


class _Fire(Function):
    """All timesteps of a PLIF with the decay a = sigmoid(w), forward and backward through time.

    Backward: the arctangent's slope, alpha = 2, in place of the step's; the reset passes no
    gradient. Kept is h alone, the membrane before a reset: that after it is h where h did not fire.
    """

    @staticmethod
    def forward(ctx, x: Tensor, a: Tensor, num_steps: int) -> Tensor:
        """x: currents [T, B, ...], or [1, B, ...] that are the same in each timestep."""
        step = x[0]
        h = torch.empty_strided((num_steps, *step.shape), (step.numel(), *step.stride()),
                                dtype=x.dtype, device=x.device)
        spikes, v, rate = torch.empty_like(h), torch.empty_like(step), float(a)
        for t in range(num_steps):
            now = x[t] if len(x) > 1 else step
            if t == 0:
                torch.mul(now, rate, out=h[t])
            else:
                torch.lerp(v, now, rate, out=h[t])
            torch.ge(h[t], V_THRESHOLD, out=spikes[t])
            torch.addcmul(h[t], h[t], spikes[t], value=-1, out=v)
        ctx.save_for_backward(h, spikes, a)
        ctx.steady = len(x) == 1
        return spikes

    @staticmethod
    def backward(ctx, g: Tensor):
        h, spikes, a = ctx.saved_tensors
        rate, last = float(a), len(h) - 1
        gx = torch.empty_like(h[:1] if ctx.steady else h)
        back, slope, moved = (torch.empty_like(h[0]) for _ in range(3))
        ga = torch.zeros_like(a)
        for t in range(last, -1, -1):
            torch.sub(h[t], V_THRESHOLD, out=slope)
            torch.div(g[t], slope.mul_(torch.pi).square_().add_(1), out=slope)
            if t < last:  # what arrives at v after the reset, where there was none
                slope.add_(back.addcmul_(back, spikes[t], value=-1))
            if t:
                torch.addcmul(h[t - 1], h[t - 1], spikes[t - 1], value=-1, out=moved)
                torch.sub(h[t], moved, out=moved)
                ga += moved.mul_(slope).sum()
            else:
                ga += torch.mul(h[t], slope, out=moved).sum()
            torch.mul(slope, 1 - rate, out=back)
            if not ctx.steady:
                torch.mul(slope, rate, out=gx[t])
            elif t == last:
                torch.mul(slope, rate, out=gx[0])
            else:
                gx[0].add_(slope, alpha=rate)
        return gx, ga / a, None
