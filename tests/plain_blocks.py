"""A second, plain implementation of networks of blocks: timestep by timestep, as published."""

import torch
from torch.nn import functional as F


class Surrogate(torch.autograd.Function):
    """A step; backward the slope of arctan(pi x) / pi, the arctangent with alpha = 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return g / (1 + (torch.pi * x) ** 2)


class Neurons:
    """PLIFs by name, their membranes kept from call to call, and all that they fired."""

    def __init__(self, decays):
        self.decays, self.membranes, self.spikes = decays, {}, {}

    def __call__(self, name, x):
        v = self.membranes.get(name, torch.zeros_like(x))
        a = self.decays[name].sigmoid()
        h = v + x - v * a if name.startswith(("pool", "global")) else v + (x - v) * a
        s = Surrogate.apply(h - 1)
        self.membranes[name] = h * (1 - s.detach())
        return self.count(name, s)

    def count(self, name, s):
        self.spikes.setdefault(name, []).append(s)
        return s


def decays(network):
    found = dict(network.plifs.items())
    for block in network.blocks:
        found |= {f"{block.name}_{conv.name}": plif
                  for conv, plif in zip(block.plan.main, block.plifs)}
    return {name: plif.w for name, plif in found.items()}


def run(network, x):
    """Rates [B, classes] and spikes by name, [T, B, ...], of a network in evaluation."""
    macro, fire = network.macro, Neurons(decays(network))

    def conv(part, x, stride=1):
        weight, norm = part.weight, part.norm
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
        return (x - norm.running_mean[:, None, None]) / (
            norm.running_var[:, None, None] + norm.eps).sqrt() \
            * norm.weight[:, None, None] + norm.bias[:, None, None]

    total = 0
    for t in range(macro.num_steps):
        y = fire("stem", conv(network.stem["stem"], x if x.ndim == 4 else x[t]))
        for k in range(macro.stem_down):
            y = fire.count(f"stem_pool{k + 1}", F.max_pool2d(y, 2))
            if f"stem_conv{k + 1}" in network.stem:
                y = fire(f"stem_conv{k + 1}", conv(network.stem[f"stem_conv{k + 1}"], y))
        for place, (block, name) in enumerate(zip(network.blocks, network.names)):
            stride, came, convs = macro.place(place).stride, y, block.convs
            label = f"block{place + 1}_"
            if name == "skip":
                if "conv1" in convs:
                    y = fire(label + "conv1", conv(convs["conv1"], y, stride))
            else:
                inner = ["conv1", "conv2"] if name.startswith("sib") else ["conv1"]
                strided = inner[-1]
                for part in inner:
                    y = fire(label + part, conv(convs[part], y, stride if part == strided else 1))
                last = f"conv{len(inner) + 1}"
                y = conv(convs[last], y)
                if name.startswith("srb") or (name.startswith("sib") and stride == 1):
                    y = y + (conv(convs["short"], came, stride) if "short" in convs else came)
                y = fire(label + last, y)
            if place in macro.pooled:
                label = f"pool{place + 1}"
                y = fire.count(label, F.max_pool2d(y, 2)) if macro.down == "max" else \
                    fire(label, F.avg_pool2d(y, 2))
        if macro.global_pooling:
            y = fire("global", y.mean((2, 3), keepdim=True))
        y = fire("fc", y.flatten(1) @ network.fc.weight.T)
        total = total + y.reshape(len(y), macro.num_classes, macro.voters).mean(2)
    return total / macro.num_steps, {name: torch.stack(s) for name, s in fire.spikes.items()}
