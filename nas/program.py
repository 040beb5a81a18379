"""Candidates of one shape class as one batched tensor program, exact in its forward pass.

Every parameter has a leading candidate axis C; narrower layers are padded to the widest, and padded
neurons never fire and never learn. Parameters are kept in units of order one: a weight u in -1..1
is the code ``round(u * max_code)``, bias, skip and threshold are multiples of a current that is
typical for the layer. The forward pass computes with the integers of the arithmetic contract
(`nas.operations`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from ..flow import ir
from ..flow.cim.array import Array
from ..flow.errors import GraphError
from ..flow.passes.legalize import check_readout
from ..flow.passes.quantize import quantize
from ..hdl import sng
from . import neurons, pruning
from .operations import (
    LARGEST,
    CrossEntropy,
    Delayed,
    EffectiveWeight,
    Round,
    StreamCurrent,
    StreamTable,
    Unroll,
    Unrolled,
    best_slope,
    pooled,
    rounded,
    signed_table,
)
from .tensors import Learned
from .variation import Chips, spreads

#: Share of timesteps in which a neuron is taken to fire when the first thresholds are chosen.
TYPICAL_RATE = 0.25

#: Pixels of all images that are floating point at once.
COLUMNS = 512

#: Most synapses of a convolution for training, which computes with each of them.
MOST_SYNAPSES = 1 << 24


def exact_dtype(graph: ir.Graph) -> torch.dtype:
    """The narrowest float that holds every membrane of an inference exactly."""
    largest = graph.num_steps * max(
        d.fan_in * _highest(graph, d) * d.bitstream_length for d, _ in graph.layers)
    return torch.float32 if largest < LARGEST else torch.float64


def _highest(graph: ir.Graph, node: ir.Dense | ir.Conv2d) -> int:
    """The largest value that a layer reads."""
    source = graph.source(node)
    return 1 if isinstance(source, ir.Input) else source.highest


def shape_class(graph: ir.Graph) -> tuple:
    """What graphs trained in one batch must have in common; GraphError if one cannot be trained.

    Widths, weight bits, bitstream lengths, generators, leaks, delays and num_steps may differ.
    """
    check_readout(graph)
    layers = []
    for _, population in graph.layers:
        kind = neurons.KINDS[population.neuron.kind]
        if why := kind.refuse(population.neuron):
            raise GraphError(f"{population.name}: {why}")
        layers.append(kind.key(population.neuron))
    for node in graph.nodes:
        if isinstance(node, ir.Conv2d) and node.in_features * node.out_features > MOST_SYNAPSES:
            raise GraphError(f"{node.name}: at most {MOST_SYNAPSES} synapses can be trained, not "
                             f"{node.in_features * node.out_features}; use fewer channels, a "
                             "larger stride or a pool before it")
    return (graph.input.encoder, graph.input.size, graph.readout.kind, graph.readout.size,
            str(exact_dtype(graph)), tuple(layers), _ways(graph))


def _ways(graph: ir.Graph) -> tuple:
    """What reads what, and the geometry of maps; nothing for a chain."""
    if graph.is_chain:
        return ()
    out = []
    for node in graph.nodes:
        maps = isinstance(node, ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d)
        form = (node.in_shape[1:], node.kernel_size) if maps else ()
        more = (node.stride, node.padding) if isinstance(node, ir.Conv2d) else ()
        out.append((node.op, node.name, node.src, form, more))
    return tuple(out)


def _arriving(spikes: Tensor, layer: "Layer") -> Tensor:
    """Spikes [C, T, B, n] after the layer's axons."""
    return spikes if layer.delays is None else Delayed.apply(spikes, *layer.delays)


@dataclass
class Layer:
    """One layer of all candidates: learned tensors, then constants per candidate [C, 1, 1]."""

    u: Tensor
    bias: Tensor
    threshold: Tensor
    max_code: Tensor
    unit: Tensor
    table: Tensor
    slope: Tensor
    silence: Tensor
    population: object
    delays: tuple[Tensor, Tensor] | None
    skip: Tensor | None
    maps: Unrolled | None
    spread: Tensor | None

    def integers(self) -> tuple[Tensor, Tensor]:
        """Bias [C, 1, N], with padded neurons silenced, in counts, and what `parameter` gives."""
        bias = Round.apply(self.bias * self.unit, -LARGEST)
        if self.maps:
            bias = bias.repeat_interleave(self.maps.places, 2)
        return bias + self.silence, Round.apply(self.parameter(), 1)

    def weight(self, chips: Chips | None = None, k: int = 0) -> Tensor:
        """What each synapse adds per spike: [C, N, n]; as layer k of chips, if they are given."""
        weights = EffectiveWeight.apply(self.u, self.max_code, self.table, self.slope)
        if chips is not None:
            codes = (self.u.detach() * self.max_code).round_().add_(self.table.shape[1] // 2)
            weights = weights + chips.noise(k, codes.long(), self.spread)
        return self.unrolled(weights)

    def unrolled(self, weights: Tensor) -> Tensor:
        """Of all synapses, from those that are learned."""
        return Unroll.apply(weights, self.maps) if self.maps else weights

    def parameter(self) -> Tensor:
        """What the neurons have learned, before rounding, [C, 1, 1]: a threshold for most kinds."""
        return self.population.learned(self.threshold, self.unit)


class Program:
    """The learned tensors of a batch of candidates, and their forward pass.

    graphs: of one `shape_class`. seeds: one per graph; a candidate's first weights depend on its
    seed and its own shape alone. inputs: uint8 of the fit split, p8 [n, pixels] or, for `spikes`,
    events 0/1 [n, T, channels]; the typical currents are taken from them. variation: sigma of the
    cells of `array` that weights are programmed into, anew for each `loss`; 0 for exact weights.
    weights, others: all that is learned.
    """

    def __init__(self, graphs: Sequence[ir.Graph], seeds: Sequence[int], inputs: np.ndarray, *,
                 init: float, gain: float, surrogate: float, variation: float = 0.0,
                 array: Array | None = None) -> None:
        self.graphs, self.seeds, self.inputs = list(graphs), list(seeds), inputs
        self.recipe = {"init": init, "gain": gain, "surrogate": surrogate, "variation": variation,
                       "array": array or Array()}
        self.chips = Chips(graphs, seeds) if variation else None
        self.dtype = exact_dtype(graphs[0])
        self.classes = graphs[0].readout.size
        self.num_steps = torch.tensor([g.num_steps for g in graphs])
        self.max_steps = int(self.num_steps.max())
        self.encoder = graphs[0].input.encoder
        self.readout = graphs[0].readout.kind
        count, depth = len(graphs), len(graphs[0].layers)
        dense = [[g.layers[k][0] for g in graphs] for k in range(depth)]
        sizes = [tuple(max(extents) for extents in zip(*((d.weight_shape[0], d.fan_in)
                                                         for d in row))) for row in dense]
        skips = [k for k in range(depth) if graphs[0].skip(k)]
        self.weights = Learned([(count, *size) for size in sizes], self.dtype)
        self.others = Learned([(count, 1, rows) for rows, _ in sizes]
                              + [(count, 1, 1)] * (depth + len(skips) + 1), self.dtype)
        self.others.value.fill_(1)
        self.temperature = self.others.leaves[-1]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.layers = []
        for k, row in enumerate(dense):
            u, bias, threshold = (self.weights.leaves[k], self.others.leaves[k],
                                  self.others.leaves[depth + k])
            bias.data.fill_(0)
            for c, (d, generator) in enumerate(zip(row, generators)):
                rows = d.weight_shape[0]
                first = torch.randn(rows, d.fan_in, generator=generator)
                u.data[c, :rows, :d.fan_in] = (init * first).clamp_(-1, 1)
            skip = self.others.leaves[2 * depth + skips.index(k)] if k in skips else None
            self.layers.append(self._layer(k, row, u, bias, threshold, skip))
        self.score_unit = self._score_unit()
        self.groups = self._groups(np.unique(inputs))

    def select(self, candidates: Sequence[int]) -> "Program":
        """A smaller program that goes on with some of the candidates."""
        out = Program([self.graphs[c] for c in candidates], [self.seeds[c] for c in candidates],
                      self.inputs, **self.recipe)
        out.weights.take(self.weights, candidates)
        out.others.take(self.others, candidates)
        out.chips = self.chips and self.chips.select(candidates)
        return out

    def step(self, rate: float, weight_decay: float) -> None:
        """One step of the optimiser; weights stay within the range of their codes.

        A weight that is not a number becomes 0: the loss shows what happened, and codes must exist.
        """
        self.weights.adamw(rate, weight_decay)
        self.others.adamw(rate)
        self.weights.value.nan_to_num_(nan=0.0).clamp_(-1, 1)

    def prune(self, shares: Sequence[float]) -> None:
        """Hold the smallest weights of each candidate at zero, at least that share of all."""
        self.weights.keep(pruning.masks([layer.u.data for layer in self.layers], self.graphs,
                                        shares))

    def _layer(self, k: int, row: list, u: Tensor, bias: Tensor, threshold: Tensor,
               skip: Tensor | None) -> Layer:
        init = self.recipe["init"]
        top = max(d.max_code for d in row)
        table = np.zeros((len(row), 2 * top + 1))
        spread = np.zeros_like(table)
        maps, neurons_each, axons = None, 1, u.shape[2]
        if isinstance(row[0], ir.Conv2d):
            maps = Unrolled(row[0], u.shape[1], max(d.in_shape[0] for d in row))
            neurons_each, axons = maps.places, maps.shape[1]
        slope, unit = [], []
        silence = u.new_zeros(len(row), 1, u.shape[1] * neurons_each)
        for c, d in enumerate(row):
            w_eff = sng.weight_table(d.sng, d.bits, d.weight_bits)
            own = slice(top - d.max_code, top + d.max_code + 1)
            table[c, own] = signed_table(w_eff)
            if self.chips:
                spread[c, own] = spreads(w_eff, self.recipe["array"], self.recipe["variation"])
            slope.append(best_slope(w_eff[None], np.ones(1)))
            # the spread of a current from independent weights of spread `init` around zero
            power = self._power(self.graphs[c], d)
            unit.append(max(1.0, slope[-1] * d.max_code * init * power ** 0.5))
            silence[c, 0, d.out_features:] = -torch.finfo(self.dtype).max ** 0.75
        populations = [g.layers[k][1].neuron for g in self.graphs]
        kind = neurons.KINDS[populations[0].kind]

        def column(values):
            return torch.tensor(values, dtype=self.dtype)[:, None, None]

        return Layer(
            u=u, bias=bias, threshold=threshold, max_code=column([d.max_code for d in row]),
            unit=column(unit) * self.recipe["gain"], table=torch.tensor(table, dtype=self.dtype),
            slope=column(slope), silence=silence, delays=self._delays(row, axons), skip=skip,
            maps=maps, spread=torch.tensor(spread, dtype=self.dtype) if self.chips else None,
            population=kind(populations, self.max_steps, self.dtype, self.recipe["surrogate"]))

    def _power(self, graph: ir.Graph, node: ir.Dense | ir.Conv2d) -> float:
        """Mean square of a timestep's inputs, summed over those of a neuron; pixels are in 0..1."""
        if not isinstance(graph.source(node), ir.Input):
            # of sums of independent spikes, one spike each for most sources
            count = _highest(graph, node)
            return node.fan_in * count * TYPICAL_RATE * (1 + (count - 1) * TYPICAL_RATE)
        share = node.fan_in / graph.input.size
        if self.encoder == "spikes":
            return max(float(self.inputs.mean((0, 1)).sum()), 1e-9) * share
        return self.brightness * share

    @cached_property
    def brightness(self) -> float:
        """Mean over images of the sum of their pixels, in 0..1, for `stream` of their squares.

        Some columns at a time: of a large data set no more than these are floating point at once.
        """
        means = []
        for first in range(0, self.inputs.shape[1], COLUMNS):
            x = self.inputs[:, first:first + COLUMNS].astype(np.float64) / 255
            means.append((x * x if self.encoder == "stream" else x).mean(0))
        return float(np.concatenate(means).sum())

    def _delays(self, row: list, axons: int) -> tuple[Tensor, Tensor] | None:
        """`Delayed`'s indices of one layer; None where no candidate has a delay."""
        if not any(d.max_delay for d in row):
            return None
        depth = torch.zeros(len(row), 1, 1, axons, dtype=torch.int64)
        for c, d in enumerate(row):
            depth[c, 0, 0, :d.in_features] = torch.tensor(d.delays)
        T = self.max_steps
        t = torch.arange(T)[:, None, None]
        source, target = t - depth, t + depth
        return source.where(source >= 0, T), target.where(target < T, T)

    def _score_unit(self) -> Tensor:
        """What a score is divided by, [C, 1, 1], so that untrained scores have spread about one."""
        steps = self.num_steps.to(self.dtype)[:, None, None]
        if self.readout == "spike_count":
            return steps / 4
        return self.layers[-1].unit * steps * 0.5

    def _groups(self, levels: np.ndarray | None) -> list:
        """Runs of candidates whose first layer has the same tables."""
        if self.encoder != "stream":
            return []
        first = [(g.input.sng, g.layers[0][0]) for g in self.graphs]
        keys = [(x, d.sng, d.bits, d.weight_bits) for x, d in first]
        out = []
        for _, run in groupby(range(len(keys)), keys.__getitem__):
            run = list(run)
            x_kind, d = first[run[0]]
            out.append((slice(run[0], run[-1] + 1), StreamTable(x_kind, d, self.dtype, levels)))
        return out

    def forward(self, inputs: Tensor, trace: list | None = None, groups: list | None = None,
                chips: Chips | None = None) -> Tensor:
        """Scores [C, B, classes]; spikes [C, T, B, N] go to `trace`.

        inputs: int64, p8 [B, n] or, for `spikes`, events [B, T, n]. chips: what weights are
        programmed into; None for exact ones.
        """
        values: dict[str, Tensor] = {}
        if self.encoder != "stream":
            values[self.graphs[0].input.name] = self._input_spikes(inputs)
        layers = iter(self.layers)
        last, populations = self.layers[-1], 0
        for node in self.graphs[0].nodes[1:-2]:
            if isinstance(node, ir.MaxPool2d | ir.AvgPool2d):
                values[node.name] = pooled(values[node.src], node)
            elif isinstance(node, ir.Population):
                layer = next(layers)
                bias, threshold = layer.integers()
                drive = self._drive(populations, values, inputs, bias, groups, chips)
                values[node.name] = layer.population.spikes(drive, threshold)
                populations += 1
                if trace is not None:
                    trace.append(values[node.name])
        bias, threshold = last.integers()
        source = values.get(self.graphs[0].layers[-1][0].src)
        if self.readout == "membrane":
            if source is not None and last.population.adds and last.skip is None:
                # then the membrane is the sum of all currents: one product for all steps
                steps = self.num_steps.to(self.dtype)[:, None, None]
                return torch.baddbmm(bias * steps, self._count(_arriving(source, last)),
                                     last.weight(chips, populations).transpose(1, 2))
            drive = self._drive(populations, values, inputs, bias, groups, chips)
            return last.population.membrane(drive, self.num_steps)
        drive = self._drive(populations, values, inputs, bias, groups, chips)
        spikes = last.population.spikes(drive, threshold)
        if trace is not None:
            trace.append(spikes)
        return self._count(spikes)

    def _input_spikes(self, inputs: Tensor) -> Tensor:
        """What `rate` and `spikes` pass on, [C, T, B, n]."""
        if self.encoder == "spikes":
            fired = inputs.transpose(0, 1)
        else:
            fired = inputs > self.rate_thresholds[:, None]
        return fired.to(self.dtype).expand(len(self.graphs), -1, -1, -1)

    def _drive(self, k: int, values: dict[str, Tensor], inputs: Tensor, bias: Tensor,
               groups: list | None, chips: Chips | None) -> Tensor:
        """I + bias of layer k, [C, T, B, N], or [C, 1, B, N] where it is constant."""
        layer, synapses, skip = self.layers[k], self.graphs[0].layers[k][0], self.graphs[0].skip(k)
        if synapses.src in values:
            x = _arriving(values[synapses.src], layer)
            C, T, B, n = x.shape
            drive = torch.baddbmm(bias, x.reshape(C, T * B, n),
                                  layer.weight(chips, k).transpose(1, 2))
            drive = drive.view(C, T, B, -1)
        else:
            u = layer.unrolled(layer.u)
            drive = (StreamCurrent.apply(u, inputs, groups or self.groups) + bias)[:, None]
        if skip:
            c_skip = Round.apply(layer.skip * layer.unit, -LARGEST)
            drive = torch.addcmul(drive, values[skip.src[1]], c_skip[:, None])
        return drive

    def _count(self, spikes: Tensor) -> Tensor:
        """Spikes per neuron [C, B, N] of each candidate's timesteps."""
        C, T, B, N = spikes.shape
        if int(self.num_steps.min()) == T:
            return spikes.sum(1)
        mask = (torch.arange(T) < self.num_steps[:, None]).to(self.dtype)
        return torch.bmm(mask[:, None], spikes.view(C, T, B * N)).view(C, B, N)

    @property
    def rate_thresholds(self) -> Tensor:
        """What `rate` compares pixels with: the register's low byte, int64 [T, n]."""
        if not hasattr(self, "_rate_thresholds"):
            n = self.graphs[0].input.size
            values, state = np.empty(self.max_steps * n, np.int64), 0xACE1
            for i in range(len(values)):
                values[i] = state & 255
                for _ in range(8):
                    state = sng.lfsr_step(state, 16)
            self._rate_thresholds = torch.from_numpy(values.reshape(-1, n))
        return self._rate_thresholds

    def loss(self, inputs: Tensor, labels: Tensor, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Cross entropy [C] of scores with a learned temperature, and right answers int64 [C]."""
        scores = self.forward(inputs, chips=self.chips)
        logits = scores * (self.temperature / self.score_unit)
        loss = CrossEntropy.apply(logits, labels, smoothing)
        return loss, (scores.detach().argmax(2) == labels).sum(1)

    @torch.no_grad()
    def infer(self, inputs: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Evaluation mode: scores int64 [C, B, classes], and spikes int64 [C, T, B, N] per layer.

        Equal to `sim.reference.run` on the integer graphs of `trained`, bit for bit; any pixels
        0..255, or events as for `forward`. A timestep past a candidate's num_steps and a padded
        neuron mean nothing.
        """
        trace: list[Tensor] = []
        inputs = torch.from_numpy(np.asarray(inputs).astype(np.int64))
        scores = self.forward(inputs, trace, self._groups(None))
        return scores.long().numpy(), [s.long().numpy() for s in trace]

    def trained(self) -> Iterator[ir.Graph]:
        """The candidates as integer graphs."""
        for c, graph in enumerate(self.graphs):
            changes = {}
            for layer, (d, population) in zip(self.layers, graph.layers):
                n, m = d.weight_shape[0], d.fan_in
                weight = (layer.u.data[c] * layer.max_code[c])[:n, :m].reshape(d.weight_shape)
                bias = rounded((layer.bias.data[c] * layer.unit[c])[0, :n], -LARGEST)
                value = float(rounded(layer.parameter().detach()[c], 1))
                changes[d.name] = {"weight": weight.clone().numpy(), "bias": bias.numpy()}
                neuron = replace(population.neuron, **{population.neuron.learned: value})
                changes[population.name] = {"neuron": neuron}
                if layer.skip is not None:
                    c_skip = rounded((layer.skip.data[c] * layer.unit[c]), -LARGEST)
                    changes[graph.node(population.src).name] = {"c_skip": float(c_skip)}
            yield quantize(graph.replace(**changes))
