"""From a trained network of blocks to the IR: integers alone, computed by the reference model.

Between neurons maps are sums of normalised convolutions (`nas.sums`); what a block adds goes
through an identity of 1 x 1, as a sum takes currents. A PLIF, ``v <- (1 - a) v + a x`` and 1 as its
threshold, is a `FixedPointLif` that reads X: its beta is 1 - a in `LEAK` bits, its threshold
``ceil(1 / (a unit))``. The voter and the mean over timesteps are a sum of spikes in membranes that
do not leak, which is exact.
"""

import math
from fractions import Fraction

import numpy as np
import torch

from ...flow import ir
from ...hdl.neurons import FixedPointLif, Lif
from ..cells import quantiser
from ..cells.final import Compared
from ..cells.pixels import maps
from ..datasets import Split
from ..sums import MOST_BITS, Exported, Sums, Term, classes, written
from .block import Conv
from .evaluate import evaluate
from .network import BlockNetwork, Plif

#: Bits of a leak.
LEAK = 16


def export(network: BlockNetwork) -> Exported:
    """The integer graph of a network; its input is pixels p8 [n, C * S * S], as `maps` gives.

    Weights are rounded to codes of MOST_BITS bits, the widest that bitstreams carry. Raises
    GraphError where currents do not fit.
    """
    was = network.training
    network.eval()
    try:
        with torch.no_grad():
            return written(lambda precision: _Writer(network, precision))
    finally:
        network.train(was)


def compare(network: BlockNetwork, graph: ir.Graph, split: Split, subset: str
            ) -> tuple[Compared, float]:
    """What export does to the accuracy on a split, which `subset` names; and spikes of an image in
    floating point.
    """
    before = evaluate(network, split)
    after = classes(graph, maps(split.inputs, network.macro).reshape(len(split), -1))
    return Compared(subset=subset, images=len(split), before=before.accuracy,
                    after=float((after == split.labels).mean()),
                    agreement=float((after == before.classes).mean())), before.spikes_per_image


class _Writer(Sums):
    """Writes the nodes of a network, in order."""

    def __init__(self, network: BlockNetwork, precision: int) -> None:
        super().__init__(precision)
        self.network, self.macro = network, network.macro
        #: The node that is read next, and the shape of what it passes on.
        self.name, self.shape = "input", ()
        self.notes.append(f"weights of floating point are rounded to codes of {MOST_BITS} bits, "
                          f"the widest that bitstreams carry, and leaks to {LEAK} bits")

    def graph(self) -> ir.Graph:
        macro, network = self.macro, self.network
        self.shape = (macro.in_channels, macro.image_size, macro.image_size)
        self.nodes.append(ir.Input(name="input", encoder=ir.DIRECT, shape=self.shape))
        self._normed("stem", network.stem["stem"], network.plifs["stem"])
        for number in range(macro.stem_down):
            self._pool(f"stem_pool{number + 1}")
            if number < macro.stem_convolutions:
                name = f"stem_conv{number + 1}"
                self._normed(name, network.stem[name], network.plifs[name])
        for place, block in enumerate(network.blocks):
            self._block(block)
            if place in macro.pooled:
                self._halved(f"pool{place + 1}")
        if macro.global_pooling:
            self._averaged("global", self.shape[-1])
        self._classifier()
        return ir.Graph(num_steps=macro.num_steps, nodes=tuple(self.nodes))

    def _normed(self, name: str, layer, plif: Plif, adds: Term | None = None) -> None:
        """A convolution with its norm, what is added to it, and the neurons that read both."""
        term = self._conv(name, layer)
        self._fires(name, plif, [term] if adds is None else [term, adds])

    def _conv(self, name: str, layer) -> Term:
        conv: Conv = layer._conv
        weight = layer.weight
        if conv.groups > 1:  # each output reads one channel: the others' weights are zeros
            wide = weight.new_zeros(conv.out_channels, conv.in_channels, *weight.shape[2:])
            wide[torch.arange(conv.out_channels), torch.arange(conv.in_channels)] = weight[:, 0]
            weight = wide
        self._coded(name, weight)
        pixels = self.name == "input"
        self.conv(f"{name}_conv", self.name, self.shape, conv.stride)
        return self.term(f"{name}_conv", layer.norm, 255 if pixels else 1)

    def _coded(self, name: str, weight: torch.Tensor) -> None:
        self.code(f"{name}_conv", quantiser.quantise(weight, MOST_BITS),
                  quantiser.step(weight, MOST_BITS))

    def _identity(self, name: str, worth: float) -> Term:
        """What is read next as a current, `worth` times it."""
        width = self.shape[0]
        self.codes[name] = np.eye(width, dtype=np.int64)[:, :, None, None]
        self.conv(name, self.name, self.shape)
        return Term(name, np.array(worth))

    def _fires(self, name: str, plif: Plif, terms: list[Term]) -> None:
        """The neurons of that name that read a sum, which are then read themselves."""
        shape = next(node.out_shape for node in self.nodes if node.name == terms[0].name)
        found = self.sum(f"{name}_sum", shape, terms, self.unit(terms))
        rate = float(plif.w.double().sigmoid())
        neuron = FixedPointLif(v_threshold=math.ceil(1 / (Fraction(rate) * found.unit)),
                               beta=round((1 - rate) * (1 << LEAK)), n=LEAK, reset="zero")
        self.name, self.shape = self.fires(name, found, neuron), shape

    def _block(self, block) -> None:
        """A block's convolutions; what it adds is read where the block begins."""
        plan, adds = block.plan, None
        if plan.adds:
            name = f"{block.name}_short"
            adds = (self._identity(name, 1.0) if plan.short is None
                    else self._conv(name, block.convs[plan.short.name]))
        for conv, plif in zip(plan.main, block.plifs):
            self._normed(f"{block.name}_{conv.name}", block.convs[conv.name], plif,
                         adds if conv is plan.main[-1] else None)

    def _halved(self, name: str) -> None:
        if self.macro.down == "max":
            self._pool(name)
        else:
            self._averaged(name, 2)

    def _pool(self, name: str) -> None:
        self.nodes.append(ir.MaxPool2d(name=name, src=self.name, in_shape=self.shape,
                                       kernel_size=2))
        self.name, self.shape = name, self.nodes[-1].out_shape

    def _averaged(self, name: str, window: int) -> None:
        """Neurons that read means of windows."""
        pool = ir.AvgPool2d(name=f"{name}_pool", src=self.name, in_shape=self.shape,
                            kernel_size=window)
        self.nodes.append(pool)
        self.name, self.shape = pool.name, pool.out_shape
        self._fires(name, self.network.plifs[name], [self._identity(f"{name}_mean",
                                                                    1 / window ** 2)])

    def _classifier(self) -> None:
        macro, network = self.macro, self.network
        self._coded("fc", network.fc.weight)
        codes = self.codes["fc_conv"]
        self.nodes.append(ir.Dense(name="fc_dense", src=self.name, in_features=macro.flat,
                                   out_features=macro.outputs, **self.synapses(codes)))
        self._fires("fc", network.plifs["fc"],
                    [Term("fc_dense", np.array(float(self.steps["fc_conv"])))])
        votes = np.kron(np.eye(macro.num_classes, dtype=np.int64),
                        np.ones((1, macro.voters), np.int64))
        self.nodes.append(ir.Dense(name="votes", src="fc", in_features=macro.outputs,
                                   out_features=macro.num_classes, **self.synapses(votes)))
        self.nodes.append(ir.Population(name="mean", src="votes", size=macro.num_classes,
                                        neuron=Lif(v_threshold=1)))
        self.nodes.append(ir.Readout(name="readout", src="mean", size=macro.num_classes,
                                     kind="membrane"))
