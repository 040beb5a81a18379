"""The network: a small graph of frozen nodes, from shapes alone to the scheduled integer form.

One graph type serves every stage. A Dense node without weights is a shape (what a search prices), a
floating-point weight is what training left (in units of the integer code), an integer weight is
what hardware computes, and a `lowering` says how. `stage` names which of these a graph is.

Nodes (`flow.nodes`) are ordered: each reads what it names in `src`, which stands before it. Most
graphs are one chain ``input -> (dense -> population)+ -> readout``; others have convolutions in the
place of some dense nodes, pools between layers, and sums, which are skip connections. Where neurons
read sums of several synapses' currents (`CurrentSum`, as networks of cells do), a graph has no
pairs of synapses and population, and the reference model alone computes it.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from ..hdl import neurons, sng
from .errors import GraphError, RunError, unknown
from .files import write_atomic
from .nodes import (
    MEMORIES,
    NODES,
    TENSORS,
    TUPLES,
    AvgPool2d,
    Conv2d,
    CurrentPool2d,
    CurrentSum,
    Dense,
    Input,
    MaxPool2d,
    Population,
    Readout,
    Sum,
)
from .passes import generators

__all__ = ["MEMORIES", "AvgPool2d", "Conv2d", "CurrentPool2d", "CurrentSum", "Dense", "Graph",
           "Input", "MaxPool2d", "Population", "Readout", "Sum", "chain", "check_sng", "from_bytes",
           "load_graph", "neuron_from", "sources", "to_bytes"]

FORMAT = 1
#: Those that gateware has; `DIRECT` is the reference model's alone.
ENCODERS = ("rate", "stream", "spikes")
DIRECT = "direct"
READOUTS = ("spike_count", "membrane")
LOWERINGS = ("spatial", "folded")
MAX_DELAY = 8
MAX_STEPS = 1024
MAX_FEATURES = 65536
#: Of the maps of a convolution; gateware takes no more than MAX_FEATURES.
MAX_NEURONS = 1 << 20
#: What the currents of all timesteps together cannot exceed in absolute value: 64 bits hold it.
MAX_CURRENT = 1 << 62
#: Of either sign: with one such skip a membrane is wider than any lowering builds.
MAX_SKIP = 1 << 23


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A network and the number of timesteps of one inference.

    max_shift: the gateware is to serve every run-time length L >> h with h up to this.
    """

    num_steps: int
    nodes: tuple
    max_shift: int = 0

    @property
    def input(self) -> Input:
        return self.nodes[0]

    @property
    def readout(self) -> Readout:
        return self.nodes[-1]

    @cached_property
    def synapses(self) -> tuple[Dense | Conv2d, ...]:
        """The nodes with weights, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Dense | Conv2d))

    @cached_property
    def populations(self) -> tuple[Population, ...]:
        """The neurons, in order."""
        return tuple(node for node in self.nodes if isinstance(node, Population))

    @cached_property
    def sums(self) -> tuple[CurrentSum | CurrentPool2d, ...]:
        """The nodes that add up currents, in order; where there are any, there are no `layers`."""
        return tuple(node for node in self.nodes if isinstance(node, CurrentSum | CurrentPool2d))

    @cached_property
    def recurrent(self) -> bool:
        """Whether something reads what stands behind it, one timestep later."""
        place = {node.name: k for k, node in enumerate(self.nodes)}
        return any(place[name] >= k for k, node in enumerate(self.nodes) for name in sources(node))

    @cached_property
    def layers(self) -> tuple[tuple[Dense | Conv2d, Population], ...]:
        """The (synapses, population) pairs in order; GraphError where currents are summed."""
        if self.sums:
            raise GraphError(no_layers(self))
        return tuple(zip(self.synapses, self.populations))

    @property
    def is_chain(self) -> bool:
        """Whether it is ``input -> (dense -> population)+ -> readout``, each reading the last."""
        ops = [node.op for node in self.nodes[1:-1]]
        return (ops == ["dense", "population"] * (len(ops) // 2)
                and all(b.src == a.name for a, b in pairwise(self.nodes)))

    @cached_property
    def _by_name(self) -> dict:
        return {node.name: node for node in self.nodes}

    def node(self, name: str):
        """The node of that name; GraphError for an unknown one."""
        if name not in self._by_name:
            raise GraphError(unknown("node", name, self._by_name))
        return self._by_name[name]

    def source(self, node):
        """What a node reads; of a Sum, the synapses."""
        return self.node(node.src[0] if isinstance(node, Sum) else node.src)

    def skip(self, index: int) -> Sum | None:
        """The Sum between the synapses of layer `index` and its population, if there is one."""
        found = self.node(self.layers[index][1].src)
        return found if isinstance(found, Sum) else None

    def readers(self, name: str) -> tuple:
        """The nodes that read this one, in order."""
        return tuple(node for node in self.nodes if name in sources(node))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of what a node passes on: (C, H, W) of maps, (n,) of a vector."""
        node = self.node(name)
        if isinstance(node, Input):
            return tuple(node.shape)
        if isinstance(node, Population | Sum | Readout):
            return self.shape(self.source(node).name)
        return node.out_shape

    def size(self, name: str) -> int:
        """How many values a node passes on."""
        return int(np.prod(self.shape(name)))

    def fires(self, index: int) -> bool:
        """Whether layer `index` spikes: all do, but the last one under `membrane` read-out."""
        return index < len(self.layers) - 1 or self.readout.kind != "membrane"

    @property
    def stage(self) -> str:
        """`shape`, `float`, `integer` or `scheduled`."""
        dense = self.synapses
        if any(d.weight is None for d in dense):
            return "shape"
        if any(d.weight.dtype.kind == "f" for d in dense):
            return "float"
        return "scheduled" if all(d.lowering for d in dense) else "integer"

    def replace(self, **changes) -> "Graph":
        """This graph with some nodes replaced, by name: ``g.replace(fc1={"lowering": ...})``."""
        nodes = tuple(dataclasses.replace(n, **changes.pop(n.name, {})) for n in self.nodes)
        if changes:
            raise GraphError(unknown("node", next(iter(changes)), [n.name for n in self.nodes]))
        return dataclasses.replace(self, nodes=nodes)

    def text(self) -> str:
        """The canonical form: one line a node, tensors by type, shape and digest."""
        shift = f" max_shift={self.max_shift}" if self.max_shift else ""
        lines = [f"graph num_steps={self.num_steps}{shift}"]
        for node in self.nodes:
            words = [node.op, node.name]
            if node.src:
                words += ["<-", ",".join(sources(node))]
            for key, value in _attributes(node).items():
                words.append(f"{key}={_plain(value, ',' if key == 'delay' else 'x')}")
            for key in TENSORS.get(node.op, ()):
                array = getattr(node, key)
                if array is not None:
                    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
                    shape = ",".join(map(str, array.shape))
                    words.append(f"{key}={array.dtype.str[1:]}[{shape}]:{digest[:16]}")
            lines.append(" ".join(words))
        return "\n".join(lines) + "\n"

    def digest(self) -> str:
        """Content hash, 64 hexadecimal digits: equal graphs, and only those, have equal ones."""
        h = hashlib.sha256(self.text().encode())
        for key, array in sorted(_tensors(self).items()):
            h.update(key.encode())
            h.update(np.ascontiguousarray(array).tobytes())
        return h.hexdigest()

    def verify(self) -> "Graph":
        """Check every rule of the IR; returns the graph, raises GraphError with the rule broken."""
        from .verify import verify

        verify(self)
        return self

    def save(self, path: Path) -> None:
        """Write a safetensors file whose header carries the structure as JSON."""
        write_atomic(path, to_bytes(self))


def no_layers(graph: Graph) -> str:
    """Why a graph that sums currents has no layers, and so no gateware and no crossbars."""
    found = []
    for node in graph.sums:
        if isinstance(node, CurrentPool2d):
            found.append((2, f"{node.name}: a pool of currents has no gateware, which pools spikes")
                         )
        elif any(node.delay):
            back = [name for name, delay in zip(node.src, node.delay) if delay]
            found.append((0, f"{node.name}: an edge that goes backward, from {', '.join(back)}, "
                             "has no gateware, whose layers follow each other"))
        elif len(node.src) > 1:
            found.append((1, f"{node.name}: a sum of several synapses' currents has no gateware, "
                             "whose neurons add what one layer of synapses counts"))
        else:
            found.append((3, f"{node.name}: a scale of currents has no gateware, whose neurons add "
                             "what their synapses count as it is"))
    _, first = min(found, key=lambda item: item[0])
    return f"{first}; the reference model alone computes this network"


def sources(node) -> tuple[str, ...]:
    """Names of what a node reads."""
    return node.src if isinstance(node.src, tuple) else (node.src,) if node.src else ()


def _attributes(node) -> dict:
    skip = {"name", "src", *TENSORS.get(node.op, ())}
    out = {f.name: getattr(node, f.name) for f in dataclasses.fields(node) if f.name not in skip}
    return {k: v for k, v in out.items() if v is not None}


def _plain(value, between: str = "x") -> str:
    if dataclasses.is_dataclass(value):
        inner = ",".join(f"{k}={_plain(v)}" for k, v in dataclasses.asdict(value).items())
        return f"{value.kind}({inner})"
    if isinstance(value, tuple):
        return between.join(map(str, value))
    return "none" if value is None else str(value)


def _tensors(graph: Graph) -> dict[str, np.ndarray]:
    return {
        f"{node.name}.{key}": np.ascontiguousarray(getattr(node, key))
        for node in graph.nodes for key in TENSORS.get(node.op, ())
        if getattr(node, key) is not None
    }


def to_bytes(graph: Graph) -> bytes:
    """The file form of a graph: safetensors with a JSON header, the same bytes every time."""
    nodes = []
    for node in graph.nodes:
        item = {"op": node.op, "name": node.name}
        if node.src:
            item["src"] = node.src
        for key, value in _attributes(node).items():
            if dataclasses.is_dataclass(value):
                value = {"kind": value.kind, **dataclasses.asdict(value)}
            item[key] = value
        nodes.append(item)
    header = {"format": FORMAT, "num_steps": graph.num_steps, "nodes": nodes}
    if graph.max_shift:
        header["max_shift"] = graph.max_shift
    return save(_tensors(graph), metadata={"spikeloom": json.dumps(header, sort_keys=True)})


def _node(item: dict, tensors: dict[str, np.ndarray]):
    item = dict(item)
    op = item.pop("op")
    if op not in NODES:
        raise GraphError(unknown("node kind", op, NODES))
    for key in TUPLES:
        if key in item:
            item[key] = tuple(item[key])
    if isinstance(item.get("src"), list):
        item["src"] = tuple(item["src"])
    if "neuron" in item:
        item["neuron"] = neuron_from(item["neuron"])
    for key in TENSORS.get(op, ()):
        item[key] = tensors.get(f"{item['name']}.{key}")
    return NODES[op](**item)


def neuron_from(item: dict):
    """Neuron parameters from ``{"kind": ..., parameter: value}``."""
    item = dict(item)
    kind = item.pop("kind", None)
    if kind not in neurons.KINDS:
        raise GraphError(unknown("neuron", kind, neurons.KINDS))
    cls = neurons.KINDS[kind]
    known = [f.name for f in dataclasses.fields(cls)]
    for key in item:
        if key not in known:
            raise GraphError(f"{kind}: " + unknown("parameter", key, known))
    return cls(**item)


def load_graph(path: Path) -> Graph:
    """Read a graph written by `Graph.save`, and verify it.

    Raises RunError for a file that is missing, damaged or of another format version.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); 'spikeloom train' or "
                       "'spikeloom search' writes it") from error
    return from_bytes(data, str(path))


def from_bytes(data: bytes, where: str) -> Graph:
    """Read back `to_bytes`, and verify; RunError, naming `where` it came from, as `load_graph`."""
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + size])["__metadata__"]["spikeloom"]
        header = json.loads(header)
        version = header["format"]
        if version == FORMAT:
            tensors = load(data)
            graph = Graph(num_steps=header["num_steps"], max_shift=header.get("max_shift", 0),
                          nodes=tuple(_node(item, tensors) for item in header["nodes"]))
    except GraphError:
        raise
    except Exception as error:
        raise RunError(f"{where}: is damaged or no spikeloom graph "
                       f"({type(error).__name__}); train or search again") from error
    if version != FORMAT:
        raise RunError(f"{where}: has format {version}, this version reads format {FORMAT}; "
                       "train or search again")
    return graph.verify()


def chain(*, shape, encoder, layers, readout, num_steps, input_sng=None) -> Graph:
    """Build the graph ``input -> (dense -> population)+ -> readout``.

    layers: a sequence of dicts with `out_features`, `weight_bits`, `bitstream_length`, `sng`,
    `neuron` and, where known, `delay`, `weight`, `bias`. A generator may be `auto`: the best
    one for its layer (`passes.generators`).
    """
    input_sng, layers = generators.choose(encoder, input_sng, layers)
    nodes = [Input(name="input", shape=tuple(shape), encoder=encoder, sng=input_sng)]
    size = nodes[0].size
    for index, layer in enumerate(layers, 1):
        layer = dict(layer)
        neuron = layer.pop("neuron")
        nodes.append(Dense(name=f"fc{index}", src=nodes[-1].name, in_features=size, **layer))
        size = layer["out_features"]
        nodes.append(Population(name=f"pop{index}", src=f"fc{index}", size=size, neuron=neuron))
    nodes.append(Readout(name="readout", src=nodes[-1].name, size=size, kind=readout))
    return Graph(num_steps=num_steps, nodes=tuple(nodes))


def check_sng(name: str | None, where: str) -> None:
    if name not in sng.KINDS:
        raise GraphError(f"{where}: " + unknown("number generator", name, sng.KINDS))
