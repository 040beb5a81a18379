"""Candidates of one shape class as one batched tensor program, exact in its forward pass.

Every parameter has a leading candidate axis C; narrower layers are padded to the widest, and padded
neurons never fire and never learn. Parameters are kept in units of order one: a weight u in -1..1
is the code ``round(u * max_code)``, bias and threshold are multiples of a current that is typical
for the layer. The forward pass computes with the integers of the arithmetic contract, through the
tables `hdl.sng.weight_table` and `hdl.sng.count_table`; gradients pass the rounding unchanged and
see each table as the straight line that fits it best.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from ..flow import ir
from ..flow.errors import GraphError
from ..flow.passes.legalize import check_readout
from ..flow.passes.quantize import quantize
from ..hdl import sng
from . import neurons, pruning
from .tensors import Buffers, Learned

#: Share of timesteps in which a neuron is taken to fire when the first thresholds are chosen.
TYPICAL_RATE = 0.25

#: Largest bias and threshold, in counts.
LARGEST = 1 << 22


def exact_dtype(graph: ir.Graph) -> torch.dtype:
    """The narrowest float that holds every membrane of an inference exactly."""
    largest = max(d.in_features * d.bitstream_length for d, _ in graph.layers) * graph.num_steps
    return torch.float32 if largest < LARGEST else torch.float64


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
    return (graph.input.encoder, graph.input.size, graph.readout.kind, graph.readout.size,
            str(exact_dtype(graph)), tuple(layers))


def rounded(x: Tensor, lowest: int) -> Tensor:
    """x to the nearest integer, ties to even, within lowest..2**22; not a number becomes lowest."""
    return x.round().nan_to_num_(nan=lowest).clamp_(lowest, LARGEST)


def signed_table(table: np.ndarray) -> np.ndarray:
    """A table over codes 0..M as one over -M..M, odd: shape [2 * M + 1, ...]."""
    return np.concatenate([-table[:0:-1], table])


def _slope(rows: np.ndarray, x: np.ndarray) -> float:
    """s of the line rows[p, c] = s * x[p] * c with the least square error."""
    line = x[:, None] * np.arange(rows.shape[1])
    return float((rows * line).sum() / (line * line).sum())


class StreamTable:
    """Exact current of `stream` input as a matrix product: C[p, c] = sum_r left[p, r] right[c, r].

    left is over p8 0..255, right over codes -M..M. The rank is M; where a dataset has fewer than M
    levels of brightness (`levels`, p8), it is their number, and other pixels have no row.
    """

    def __init__(self, x_kind: str, dense: ir.Dense, dtype: torch.dtype,
                 levels: np.ndarray | None = None) -> None:
        table = sng.count_table(x_kind, dense.sng, dense.bits, dense.weight_bits)
        p = (np.arange(256) * dense.bitstream_length + 127) // 255
        seen = np.arange(1, dense.bitstream_length + 1)
        if levels is not None:
            seen = np.unique(p[levels])
            seen = seen[seen > 0]
        if len(seen) < dense.max_code:
            left = p[:, None] == seen
            right = table[seen].T
        else:
            left = np.diff(table, axis=1)[p]
            right = np.arange(dense.max_code + 1)[:, None] > np.arange(dense.max_code)
        self.buffers = Buffers()
        self.max_code = dense.max_code
        self.left = torch.tensor(left, dtype=dtype)
        self.right = torch.tensor(signed_table(right.astype(np.int64)), dtype=dtype)
        x = p / dense.bitstream_length
        self.linear = torch.tensor(x, dtype=dtype)
        self.slope = _slope(table[p], x)


class _StreamCurrent(Function):
    """Current [C, B, N] of weights u [C, N, n] for pixels p8 int64 [B, n].

    groups: (slice of candidates, StreamTable) pairs that cover all candidates.
    """

    @staticmethod
    def forward(ctx, u: Tensor, p8: Tensor, groups: list) -> Tensor:
        out = u.new_empty(u.shape[0], p8.shape[0], u.shape[1])
        for part, table in groups:
            codes = u[part]
            index = table.buffers.get("index", table.right.new_empty(0, dtype=torch.int32),
                                      codes.numel())
            index.view_as(codes).copy_((codes * table.max_code).round_().add_(table.max_code))
            w = table.buffers.get("w", u, codes.numel(), table.right.shape[1])
            torch.index_select(table.right, 0, index, out=w)
            w = w.view(*codes.shape[:2], -1)
            x = torch.nn.functional.embedding(p8, table.left).view(p8.shape[0], -1)
            torch.bmm(x.expand(len(w), -1, -1), w.transpose(1, 2), out=out[part])
        ctx.p8, ctx.groups = p8, groups
        return out

    @staticmethod
    def backward(ctx, g: Tensor):
        out = g.new_empty(g.shape[0], g.shape[2], ctx.p8.shape[1])
        for part, table in ctx.groups:
            x = (table.linear * (table.slope * table.max_code))[ctx.p8]
            torch.bmm(g[part].transpose(1, 2), x.expand(len(g[part]), -1, -1), out=out[part])
        return out, None, None


class _EffectiveWeight(Function):
    """w_eff [C, N, n] of weights u, through a signed table [C, 2 * M + 1] with its slopes."""

    @staticmethod
    def forward(ctx, u: Tensor, max_code: Tensor, table: Tensor, slope: Tensor) -> Tensor:
        index = (u * max_code).round_().add_(table.shape[1] // 2).long()
        ctx.scale = slope * max_code
        return table.gather(1, index.flatten(1)).view_as(u)

    @staticmethod
    def backward(ctx, g: Tensor):
        return g * ctx.scale, None, None, None


class _Delayed(Function):
    """Spikes [C, T, B, n] as they arrive: axon i's come delays[c, i] timesteps later, zero before.

    source, target: int64 [C, T, 1, n], the timesteps where arriving spikes come from and where
    leaving ones go, T for nowhere.
    """

    @staticmethod
    def forward(ctx, spikes: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ctx.target = target
        return _moved(spikes, source)

    @staticmethod
    def backward(ctx, g: Tensor):
        return _moved(g, ctx.target), None, None


def _moved(x: Tensor, index: Tensor) -> Tensor:
    """x [C, T, B, n] with timesteps taken from index [C, T, 1, n], T for a zero."""
    padded = torch.cat([x, x.new_zeros(x.shape[0], 1, *x.shape[2:])], 1)
    return padded.gather(1, index.expand(-1, -1, x.shape[2], -1))


class _Round(Function):
    """`rounded`; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx, x: Tensor, lowest: int) -> Tensor:
        return rounded(x, lowest)

    @staticmethod
    def backward(ctx, g: Tensor):
        return g, None


class _CrossEntropy(Function):
    """Mean cross entropy per candidate [C] of logits [C, B, classes] and labels int64 [B].

    smoothing: share of the target that is spread over all classes.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        x = logits - logits.amax(2, keepdim=True)
        aim = x.new_full((len(labels), x.shape[2]), smoothing / x.shape[2])
        aim[torch.arange(len(labels)), labels] += 1 - smoothing
        chosen = (x * aim).sum(2)
        total = x.exp_().sum(2, keepdim=True)
        ctx.save_for_backward(x.div_(total), aim)
        return (total[:, :, 0].log_() - chosen).mean(1)

    @staticmethod
    def backward(ctx, g: Tensor):
        share, aim = ctx.saved_tensors
        return share.sub_(aim).mul_(g[:, None, None] / len(aim)), None, None


def _arriving(spikes: Tensor, layer: "Layer") -> Tensor:
    """Spikes [C, T, B, n] after the layer's axons."""
    return spikes if layer.delays is None else _Delayed.apply(spikes, *layer.delays)


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

    def integers(self) -> tuple[Tensor, Tensor]:
        """Bias [C, 1, N], with padded neurons silenced, in counts, and what `parameter` gives."""
        bias = _Round.apply(self.bias * self.unit, -LARGEST)
        return bias + self.silence, _Round.apply(self.parameter(), 1)

    def parameter(self) -> Tensor:
        """What the neurons have learned, before rounding, [C, 1, 1]: a threshold for most kinds."""
        return self.population.learned(self.threshold, self.unit)


class Program:
    """The learned tensors of a batch of candidates, and their forward pass.

    graphs: of one `shape_class`. seeds: one per graph; a candidate's first weights depend on its
    seed and its own shape alone. inputs: uint8 of the fit split, p8 [n, pixels] or, for `spikes`,
    events 0/1 [n, T, channels]; the typical currents are taken from them. weights, others: all that
    is learned.
    """

    def __init__(self, graphs: Sequence[ir.Graph], seeds: Sequence[int], inputs: np.ndarray, *,
                 init: float, gain: float, surrogate: float) -> None:
        self.graphs, self.seeds, self.inputs = list(graphs), list(seeds), inputs
        self.recipe = {"init": init, "gain": gain, "surrogate": surrogate}
        self.dtype = exact_dtype(graphs[0])
        self.classes = graphs[0].readout.size
        self.num_steps = torch.tensor([g.num_steps for g in graphs])
        self.max_steps = int(self.num_steps.max())
        self.encoder = graphs[0].input.encoder
        self.readout = graphs[0].readout.kind
        count, depth = len(graphs), len(graphs[0].layers)
        dense = [[g.layers[k][0] for g in graphs] for k in range(depth)]
        sizes = [graphs[0].input.size, *(max(d.out_features for d in row) for row in dense)]
        self.weights = Learned([(count, sizes[k + 1], sizes[k]) for k in range(depth)], self.dtype)
        self.others = Learned([(count, 1, width) for width in sizes[1:]]
                              + [(count, 1, 1)] * (depth + 1), self.dtype)
        self.others.value.fill_(1)
        self.temperature = self.others.leaves[-1]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.layers = []
        for k, row in enumerate(dense):
            u, bias, threshold = (self.weights.leaves[k], self.others.leaves[k],
                                  self.others.leaves[depth + k])
            bias.data.fill_(0)
            for c, (d, generator) in enumerate(zip(row, generators)):
                first = torch.randn(d.out_features, d.in_features, generator=generator)
                u.data[c, :d.out_features, :d.in_features] = (init * first).clamp_(-1, 1)
            self.layers.append(self._layer(k, row, u, bias, threshold))
        self.score_unit = self._score_unit()
        self.groups = self._groups(np.unique(inputs))

    def select(self, candidates: Sequence[int]) -> "Program":
        """A smaller program that goes on with some of the candidates."""
        out = Program([self.graphs[c] for c in candidates], [self.seeds[c] for c in candidates],
                      self.inputs, **self.recipe)
        out.weights.take(self.weights, candidates)
        out.others.take(self.others, candidates)
        return out

    def step(self, rate: float, weight_decay: float) -> None:
        """One step of the optimiser; weights stay within the range of their codes.

        A weight that is not a number becomes 0: the loss shows what happened, and codes must exist.
        """
        self.weights.adamw(rate, weight_decay)
        self.others.adamw(rate)
        self.weights.value.nan_to_num_(nan=0.0).clamp_(-1, 1)

    def prune(self, shares: Sequence[float]) -> None:
        """Hold the smallest weights of each candidate at zero, that share of all it has."""
        sizes = [[(d.out_features, d.in_features) for d, _ in g.layers] for g in self.graphs]
        self.weights.keep(pruning.largest([layer.u.data for layer in self.layers], sizes, shares))

    def _layer(self, k: int, row: list, u: Tensor, bias: Tensor, threshold: Tensor) -> Layer:
        init = self.recipe["init"]
        top = max(d.max_code for d in row)
        table = np.zeros((len(row), 2 * top + 1))
        slope, unit, silence = [], [], u.new_zeros(len(row), 1, u.shape[1])
        for c, d in enumerate(row):
            w_eff = sng.weight_table(d.sng, d.bits, d.weight_bits)
            table[c, top - d.max_code:top + d.max_code + 1] = signed_table(w_eff)
            slope.append(_slope(w_eff[None], np.ones(1)))
            # the spread of a current from independent weights of spread `init` around zero
            power = d.in_features * TYPICAL_RATE
            if k == 0:
                power = self._input_power()
            unit.append(max(1.0, slope[-1] * d.max_code * init * power ** 0.5))
            silence[c, 0, d.out_features:] = -torch.finfo(self.dtype).max ** 0.75
        populations = [g.layers[k][1].neuron for g in self.graphs]
        kind = neurons.KINDS[populations[0].kind]

        def column(values):
            return torch.tensor(values, dtype=self.dtype)[:, None, None]

        return Layer(
            u=u, bias=bias, threshold=threshold, max_code=column([d.max_code for d in row]),
            unit=column(unit) * self.recipe["gain"], table=torch.tensor(table, dtype=self.dtype),
            slope=column(slope), silence=silence, delays=self._delays(row, u.shape[2]),
            population=kind(populations, self.max_steps, self.dtype,
                            self.recipe["surrogate"]))

    def _input_power(self) -> float:
        """Mean square of a timestep's inputs, each in 0..1, summed over them."""
        if self.encoder == "spikes":
            return max(float(self.inputs.mean((0, 1)).sum()), 1e-9)
        x = self.inputs.astype(np.float64) / 255
        return float((x * x if self.encoder == "stream" else x).mean(0).sum())

    def _delays(self, row: list, axons: int) -> tuple[Tensor, Tensor] | None:
        """`_Delayed`'s indices of one layer; None where no candidate has a delay."""
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

    def forward(self, inputs: Tensor, trace: list | None = None, groups: list | None = None
                ) -> Tensor:
        """Scores [C, B, classes]; spikes [C, T, B, N] go to `trace`.

        inputs: int64, p8 [B, n] or, for `spikes`, events [B, T, n].
        """
        spikes = None
        for layer in self.layers[:-1]:
            bias, threshold = layer.integers()
            drive = self._drive(layer, spikes, inputs, bias, groups)
            spikes = layer.population.spikes(drive, threshold)
            if trace is not None:
                trace.append(spikes)
        layer = self.layers[-1]
        bias, threshold = layer.integers()
        if self.readout == "membrane":
            if spikes is not None and layer.population.adds:
                # then the membrane is the sum of all currents: one product for all steps
                steps = self.num_steps.to(self.dtype)[:, None, None]
                w = self._weight(layer)
                return torch.baddbmm(bias * steps, self._count(_arriving(spikes, layer)),
                                     w.transpose(1, 2))
            drive = self._drive(layer, spikes, inputs, bias, groups)
            return layer.population.membrane(drive, self.num_steps)
        spikes = layer.population.spikes(self._drive(layer, spikes, inputs, bias, groups),
                                         threshold)
        if trace is not None:
            trace.append(spikes)
        return self._count(spikes)

    def _weight(self, layer: Layer) -> Tensor:
        return _EffectiveWeight.apply(layer.u, layer.max_code, layer.table, layer.slope)

    def _drive(self, layer: Layer, spikes: Tensor | None, inputs: Tensor, bias: Tensor,
               groups: list | None) -> Tensor:
        """I + bias of one layer, [C, T, B, N], or [C, 1, B, N] where it is constant."""
        if spikes is None and self.encoder == "stream":
            return (_StreamCurrent.apply(layer.u, inputs, groups or self.groups) + bias)[:, None]
        if spikes is None:
            if self.encoder == "spikes":
                fired = inputs.transpose(0, 1)
            else:
                fired = inputs > self.rate_thresholds[:, None]
            spikes = fired.to(self.dtype).expand(len(self.graphs), -1, -1, -1)
        spikes = _arriving(spikes, layer)
        C, T, B, n = spikes.shape
        w = self._weight(layer)
        drive = torch.baddbmm(bias, spikes.reshape(C, T * B, n), w.transpose(1, 2))
        return drive.view(C, T, B, -1)

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
        scores = self.forward(inputs)
        logits = scores * (self.temperature / self.score_unit)
        loss = _CrossEntropy.apply(logits, labels, smoothing)
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
                n, m = d.out_features, d.in_features
                weight = (layer.u.data[c] * layer.max_code[c])[:n, :m].clone()
                bias = rounded((layer.bias.data[c] * layer.unit[c])[0, :n], -LARGEST)
                value = float(rounded(layer.parameter().detach()[c], 1))
                changes[d.name] = {"weight": weight.numpy(), "bias": bias.numpy()}
                neuron = replace(population.neuron, **{population.neuron.learned: value})
                changes[population.name] = {"neuron": neuron}
            yield quantize(graph.replace(**changes))
