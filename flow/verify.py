"""The rules of the IR, checked between stages."""

import dataclasses

import numpy as np

from ..hdl import neurons, sng
from ..hdl.delay import delay_blocks
from ..hdl.protocol import MAX_SHIFT
from . import ir
from .errors import GraphError, unknown


def _between(where: str, key: str, value: object, lo: int, hi: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lo <= value <= hi:
        raise GraphError(f"{where}: {key} must be an integer in {lo}..{hi}, not {value!r}")


def verify(graph: ir.Graph) -> None:
    """Raise GraphError with the node, the rule and the value for the first rule that is broken."""
    _between("graph", "num_steps", graph.num_steps, 1, ir.MAX_STEPS)
    _between("graph", "max_shift", graph.max_shift, 0, MAX_SHIFT)
    _order(graph)
    for node in graph.nodes:
        _CHECKS[node.op](graph, node)
    first = graph.input
    if first.encoder == "stream":
        ir.check_sng(first.sng, first.name)
    for dense in graph.synapses:
        if dense.src == first.name and first.encoder == "stream" and dense.max_delay:
            raise GraphError(f"{dense.name}: delay must be 0 for a layer fed by stream input, not "
                             f"{dense.max_delay}; delay a later layer, or use rate or spikes input")
    for node in graph.nodes[:-1]:
        if not graph.readers(node.name):
            raise GraphError(f"{node.name}: some node must read it; leave it out")
    _delays(graph)
    if graph.sums and graph.stage in ("integer", "scheduled"):
        _currents(graph)


def _order(graph: ir.Graph) -> None:
    """From one input to one read-out, names that differ, and nothing read before it is there."""
    ops = [node.op for node in graph.nodes]
    if (len(ops) < 4 or (ops[0], ops[-2], ops[-1]) != ("input", "population", "readout")
            or "input" in ops[1:] or "readout" in ops[:-1]):
        raise GraphError("graph: must go from one input to a population and one readout, "
                         f"not {' -> '.join(ops) or 'empty'}")
    names = [node.name for node in graph.nodes]
    if len(set(names)) != len(names):
        raise GraphError(f"graph: node names must differ, not {', '.join(names)}")
    for index, node in enumerate(graph.nodes):
        for name in ir.sources(node):
            if name not in names:
                raise GraphError(f"{node.name}: src: " + unknown("node", name, names))
            if name not in names[:index] and not _later(node, name):
                raise GraphError(f"{node.name}: src must stand before it, and {name!r} does not; "
                                 "an edge that goes backward (recurrence) cannot be lowered")


def _later(node, name: str) -> bool:
    """Whether a node reads `name` one timestep later, wherever that stands."""
    return isinstance(node, ir.CurrentSum) and len(node.delay) == len(node.src) and all(
        delay == 1 for source, delay in zip(node.src, node.delay) if source == name)


def _follows(graph: ir.Graph, node, name: str, what: tuple, kinds: str) -> None:
    """Raise unless `name`, which the node reads, is of one of these types and right before it."""
    before = graph.nodes[graph.nodes.index(node) - 1]
    if not isinstance(before, what):
        raise GraphError(f"{node.name}: must follow {kinds}, not {before.name}, a {before.op}")
    if name != before.name:
        raise GraphError(f"{node.name}: src must be {before.name!r}, the node before it, not "
                         f"{name!r}")


def _reads(graph: ir.Graph, node, what: tuple, kinds: str, name: str | None = None):
    """What a node reads, which must be of one of these types."""
    source = graph.node(name or node.src)
    if not isinstance(source, what):
        raise GraphError(f"{node.name}: src must be {kinds}, not {source.name}, a {source.op}")
    return source


def _input(graph: ir.Graph, node: ir.Input) -> None:
    if node.encoder not in (*ir.ENCODERS, ir.DIRECT):
        raise GraphError(f"{node.name}: " + unknown("encoder", node.encoder, ir.ENCODERS))
    if not node.shape:
        raise GraphError(f"{node.name}: shape must have at least one dimension")
    for extent in node.shape:
        _between(node.name, "shape", extent, 1, ir.MAX_FEATURES)
    _between(node.name, "size", node.size, 1, ir.MAX_FEATURES)
    if node.encoder == "stream":
        fed = [reader.name for reader in graph.readers(node.name)]
        if len(fed) != 1:
            raise GraphError(f"{node.name}: stream input must feed one layer, not {len(fed)} "
                             f"({', '.join(fed)}); use rate or spikes input")


def _synapses(graph: ir.Graph, node: ir.Dense | ir.Conv2d) -> None:
    """What holds for Dense and Conv2d, once their shapes are known to be sound."""
    most = ir.MAX_NEURONS if isinstance(node, ir.Conv2d) else ir.MAX_FEATURES
    _between(node.name, "out_features", node.out_features, 1, most)
    length = node.bitstream_length
    _between(node.name, "bitstream_length", length, 1 << sng.MIN_BITS, 1 << sng.MAX_BITS)
    if length & (length - 1):
        raise GraphError(f"{node.name}: bitstream_length must be a power of two, not {length}")
    _between(node.name, "weight_bits", node.weight_bits, 2, node.bits + 1)
    ir.check_sng(node.sng, node.name)
    if node.lowering is not None and node.lowering not in ir.LOWERINGS:
        raise GraphError(f"{node.name}: " + unknown("lowering", node.lowering, ir.LOWERINGS))
    if node.lanes is not None:
        _between(node.name, "lanes", node.lanes, 1, node.out_features)
    if node.memory is not None and node.memory not in ir.MEMORIES:
        raise GraphError(f"{node.name}: " + unknown("memory", node.memory, ir.MEMORIES))
    if node.memory is not None and node.lowering == "spatial":
        raise GraphError(f"{node.name}: memory must be None under 'spatial', which has its weights "
                         f"in its logic, not {node.memory!r}; use lowering 'folded'")
    if node.weight is not None:
        _weights(node)


def _weights(node: ir.Dense | ir.Conv2d) -> None:
    if node.weight.shape != node.weight_shape:
        raise GraphError(f"{node.name}: weight must have shape {list(node.weight_shape)}, not "
                         f"{list(node.weight.shape)}")
    if node.bias is None or node.bias.shape != node.bias_shape:
        raise GraphError(f"{node.name}: bias must have shape {list(node.bias_shape)}")
    if not np.isfinite(node.weight).all() or not np.isfinite(node.bias).all():
        raise GraphError(f"{node.name}: weight and bias must be finite")
    if node.weight.dtype.kind != "f":
        largest = int(np.abs(node.weight.astype(np.int64)).max(initial=0))
        if node.bias.dtype.kind not in "iu":
            raise GraphError(f"{node.name}: bias must be integers beside integer weights, not "
                             f"{node.bias.dtype}")
        if largest > node.max_code:
            raise GraphError(f"{node.name}: weight codes must be in -{node.max_code}.."
                             f"{node.max_code} at weight_bits = {node.weight_bits}, not {largest}")


#: What a layer may read.
VALUES = (ir.Input, ir.Population, ir.MaxPool2d, ir.AvgPool2d)
VALUES_TEXT = "the input, a population or a pool"


def _dense(graph: ir.Graph, node: ir.Dense) -> None:
    source = _reads(graph, node, VALUES, VALUES_TEXT)
    size = graph.size(source.name)
    if node.in_features != size:
        raise GraphError(f"{node.name}: in_features must be {size}, the size of {node.src}, "
                         f"not {node.in_features}")
    _between(node.name, "out_features", node.out_features, 1, ir.MAX_FEATURES)
    _delay(node)
    if node.max_delay and isinstance(source, ir.AvgPool2d):
        raise GraphError(f"{node.name}: delay must be 0 behind the window sums of {source.name}, "
                         f"not {node.max_delay}; only spikes wait on an axon")
    if node.delay_blocks is not None:
        most = len(delay_blocks(node.delays))
        _between(node.name, "delay_blocks", node.delay_blocks, 0, most)
    _synapses(graph, node)


def _conv2d(graph: ir.Graph, node: ir.Conv2d) -> None:
    _reads(graph, node, VALUES, VALUES_TEXT)
    _maps(graph, node)
    _between(node.name, "out_channels", node.out_channels, 1, ir.MAX_FEATURES)
    _between(node.name, "padding", node.padding, 0, ir.MAX_FEATURES)
    _between(node.name, "kernel_size", node.kernel_size, 1,
             min(node.in_shape[1:]) + 2 * node.padding)
    if node.padding >= node.kernel_size:
        raise GraphError(f"{node.name}: padding must be less than kernel_size = "
                         f"{node.kernel_size}, not {node.padding}; the outputs beyond see no input")
    _between(node.name, "stride", node.stride, 1, ir.MAX_FEATURES)
    if node.delay != 0:
        raise GraphError(f"{node.name}: delay must be 0 for a conv2d, not {node.delay!r}; delay a "
                         "dense layer instead")
    _synapses(graph, node)


def _pool(graph: ir.Graph, node: ir.MaxPool2d | ir.AvgPool2d) -> None:
    source = _reads(graph, node, (ir.Input, ir.Population, ir.MaxPool2d),
                    "the input, a population or a max_pool2d")
    if isinstance(source, ir.Input) and source.encoder in ("stream", ir.DIRECT):
        raise GraphError(f"{node.name}: src must be spikes, not {source.name}, whose encoder is "
                         f"{source.encoder!r}; put a layer between them, or use rate or spikes "
                         "input")
    _maps(graph, node)
    _between(node.name, "kernel_size", node.kernel_size, 1, min(node.in_shape[1:]))


def _maps(graph: ir.Graph, node) -> None:
    """in_shape is that of the source, or (1, H, W) of a source of shape (H, W)."""
    shape = graph.shape(node.src)
    wanted = (1, *shape) if len(shape) == 2 else shape
    if len(wanted) != 3:
        raise GraphError(f"{node.name}: src must have shape [channels, rows, columns], not "
                         f"{node.src} of shape {list(shape)}")
    if node.in_shape != wanted:
        raise GraphError(f"{node.name}: in_shape must be {list(wanted)}, the shape of {node.src}, "
                         f"not {list(node.in_shape)}")


def _sum(graph: ir.Graph, node: ir.Sum) -> None:
    if not isinstance(node.src, tuple) or len(node.src) != 2:
        raise GraphError(f"{node.name}: src must be the names of synapses and of what spikes, not "
                         f"{node.src!r}")
    _follows(graph, node, node.src[0], (ir.Dense, ir.Conv2d), "a dense or a conv2d")
    source = _reads(graph, node, (ir.Population, ir.MaxPool2d),
                    "a dense or a conv2d, then a population or a max_pool2d", node.src[1])
    if graph.size(source.name) != graph.size(node.src[0]):
        raise GraphError(f"{node.name}: both of src must have the same size, not "
                         f"{graph.size(node.src[0])} of {node.src[0]} and "
                         f"{graph.size(source.name)} of {source.name}")
    if graph.stage in ("integer", "scheduled"):
        _between(node.name, "c_skip", node.c_skip, -ir.MAX_SKIP, ir.MAX_SKIP)
    elif graph.stage == "float" and not (
            isinstance(node.c_skip, int | float) and np.isfinite(node.c_skip)):
        raise GraphError(f"{node.name}: c_skip must be a finite number, not {node.c_skip!r}")


#: What carries currents, and those of it that add them up.
SUMS = (ir.CurrentSum, ir.CurrentPool2d)
CURRENTS = (ir.Dense, ir.Conv2d, *SUMS)
CURRENTS_TEXT = "a dense, a conv2d, a current_sum or a current_pool2d"


def _current_sum(graph: ir.Graph, node: ir.CurrentSum) -> None:
    if not isinstance(node.src, tuple) or not node.src:
        raise GraphError(f"{node.name}: src must be the names of what carries currents, not "
                         f"{node.src!r}")
    if not isinstance(node.delay, tuple) or len(node.delay) != len(node.src) or not all(
            delay in (0, 1) for delay in node.delay):
        raise GraphError(f"{node.name}: delay must be 0 or 1 for each of {len(node.src)} sources, "
                         f"not {node.delay!r}")
    for extent in node.shape:
        _between(node.name, "shape", extent, 1, ir.MAX_NEURONS)
    _between(node.name, "size", node.size, 1, ir.MAX_NEURONS)
    for name in node.src:
        source = _reads(graph, node, CURRENTS, CURRENTS_TEXT, name)
        if tuple(source.out_shape) != tuple(node.shape):
            raise GraphError(f"{node.name}: every source must have shape {list(node.shape)}, not "
                             f"{name} of shape {list(source.out_shape)}")
    channels = node.shape[0]
    if node.scale is None and node.bias is None and graph.stage == "shape":
        return
    for key, shape in (("scale", (len(node.src), channels)), ("bias", (channels,))):
        array = getattr(node, key)
        if array is None or array.dtype != np.int64 or array.shape != shape:
            raise GraphError(f"{node.name}: {key} must be int64 of shape {list(shape)}, not " + (
                "None" if array is None else f"{array.dtype} {list(array.shape)}"))


def _current_pool(graph: ir.Graph, node: ir.CurrentPool2d) -> None:
    _reads(graph, node, CURRENTS, CURRENTS_TEXT)
    _maps(graph, node)
    _between(node.name, "padding", node.padding, 0, ir.MAX_FEATURES)
    _between(node.name, "kernel_size", node.kernel_size, 1,
             min(node.in_shape[1:]) + 2 * node.padding)
    if node.padding >= node.kernel_size:
        raise GraphError(f"{node.name}: padding must be less than kernel_size = "
                         f"{node.kernel_size}, not {node.padding}")
    _between(node.name, "stride", node.stride, 1, ir.MAX_FEATURES)


def _currents(graph: ir.Graph) -> None:
    """No current leaves 64 bits, whatever the inputs are; and what a cycle adds to itself."""
    if graph.recurrent:
        for node in graph.synapses:
            if node.max_delay:
                raise GraphError(f"{node.name}: delay must be 0 in a network with an edge that "
                                 f"goes backward, not {node.max_delay}")
    most = {node.name: _most(graph, node) for node in graph.synapses}
    limit = ir.MAX_CURRENT // graph.num_steps
    for _ in range(graph.num_steps):
        before = dict(most)
        for node in graph.sums:
            if isinstance(node, ir.CurrentPool2d):
                most[node.name] = node.kernel_size ** 2 * most[node.src]
            else:
                most[node.name] = _largest(node.bias) + sum(
                    _largest(scale) * (before if delay else most).get(name, 0)
                    for name, delay, scale in zip(node.src, node.delay, node.scale))
            if most[node.name] >= limit:
                raise GraphError(f"{node.name}: currents must stay below {limit:.2g} in "
                                 f"{graph.num_steps} timesteps, not reach {most[node.name]:.2g}; "
                                 "use smaller scales")
        if most == before:
            break


def _most(graph: ir.Graph, node: ir.Dense | ir.Conv2d) -> int:
    """What the current of synapses, their bias included, cannot exceed in absolute value."""
    source = graph.node(node.src)
    direct = isinstance(source, ir.Input) and source.encoder == ir.DIRECT
    highest = 255 if direct else getattr(source, "highest", 1)
    table = sng.weight_table(node.sng, node.bits, node.weight_bits)
    counts = table[np.abs(node.weight.astype(np.int64))].reshape(len(node.weight), -1)
    return highest * int(counts.sum(1).max()) + _largest(node.bias)


def _largest(values: np.ndarray) -> int:
    return max(abs(int(values.min())), abs(int(values.max())))


def _delay(node: ir.Dense) -> None:
    if not isinstance(node.delay, tuple):
        _between(node.name, "delay", node.delay, 0, ir.MAX_DELAY)
        return
    if len(node.delay) != node.in_features:
        raise GraphError(f"{node.name}: delay must be one integer, or one for each of "
                         f"{node.in_features} input axons, not {len(node.delay)} of them")
    for axon, delay in enumerate(node.delay):
        _between(node.name, f"delay of axon {axon}", delay, 0, ir.MAX_DELAY)


def _delays(graph: ir.Graph) -> None:
    """Delays along any way to the read-out sum to less than num_steps."""
    ways: dict[str, list[int]] = {}
    for node in graph.nodes:
        ways[node.name] = max((ways[name] for name in ir.sources(node) if name in ways), key=sum,
                              default=[])
        if isinstance(node, ir.Dense):
            ways[node.name] = [*ways[node.name], node.max_delay]
    longest = ways[graph.readout.name]
    if sum(longest) >= graph.num_steps:
        total = sum(longest)
        raise GraphError(f"graph: delays must sum to less than num_steps = {graph.num_steps}, "
                         f"not {' + '.join(map(str, longest))} = {total}, or spikes would never "
                         f"reach the read-out; use num_steps of at least {total + 1} or shorter "
                         "delays")


def _population(graph: ir.Graph, node: ir.Population) -> None:
    if not isinstance(graph.node(node.src), SUMS):
        _follows(graph, node, node.src, (ir.Dense, ir.Conv2d, ir.Sum),
                 "a dense, a conv2d or a sum")
    size = graph.size(node.src)
    if node.size != size:
        raise GraphError(f"{node.name}: size must be {size}, that of {node.src}, not {node.size}")
    if type(node.neuron) not in neurons.KINDS.values():
        raise GraphError(f"{node.name}: " + unknown("neuron", node.neuron, neurons.KINDS))
    for field in dataclasses.fields(node.neuron):
        value = getattr(node.neuron, field.name)
        if not (_is_text(field, value) or _is_number(field, value, node.neuron.learned)):
            kind = getattr(field.type, "__name__", field.type)
            raise GraphError(f"{node.name}: {field.name} must be {kind}, not {value!r}")
    problem = node.neuron.check()
    if problem:
        raise GraphError(f"{node.name}: {problem}")


def _is_text(field, value: object) -> bool:
    return isinstance(value, str) if field.type is str else value is None and field.default is None


def _is_number(field, value: object, learned: str) -> bool:
    """A number of the field's type; what is being learned may be a fraction (see quantize)."""
    if field.type is str or isinstance(value, bool):
        return False
    if isinstance(value, float):
        return field.type is float or field.name == learned
    return isinstance(value, int)


def _readout(graph: ir.Graph, node: ir.Readout) -> None:
    if node.kind not in ir.READOUTS:
        raise GraphError(f"{node.name}: " + unknown("readout", node.kind, ir.READOUTS))
    _follows(graph, node, node.src, (ir.Population,), "a population")
    size = graph.node(node.src).size
    if node.size != size:
        raise GraphError(f"{node.name}: size must be {size}, that of {node.src}, not {node.size}")


_CHECKS = {"input": _input, "dense": _dense, "conv2d": _conv2d, "max_pool2d": _pool,
           "avg_pool2d": _pool, "sum": _sum, "current_sum": _current_sum,
           "current_pool2d": _current_pool, "population": _population, "readout": _readout}
