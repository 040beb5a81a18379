"""The rules of the IR, checked between stages."""

import dataclasses

import numpy as np

from ..hdl import neurons, sng
from ..hdl.delay import delay_blocks
from . import ir
from .errors import GraphError, unknown


def _between(where: str, key: str, value: object, lo: int, hi: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not lo <= value <= hi:
        raise GraphError(f"{where}: {key} must be an integer in {lo}..{hi}, not {value!r}")


def verify(graph: ir.Graph) -> None:
    """Raise GraphError with the node, the rule and the value for the first rule that is broken."""
    _between("graph", "num_steps", graph.num_steps, 1, ir.MAX_STEPS)
    ops = [node.op for node in graph.nodes]
    wanted = ["input", *["dense", "population"] * ((len(ops) - 2) // 2), "readout"]
    if len(ops) < 4 or ops != wanted:
        raise GraphError("graph: must be a chain input -> (dense -> population)+ -> readout, "
                         f"not {' -> '.join(ops) or 'empty'}")
    names = [node.name for node in graph.nodes]
    if len(set(names)) != len(names):
        raise GraphError(f"graph: node names must differ, not {', '.join(names)}")
    size = None
    for index, node in enumerate(graph.nodes):
        if index and node.src != names[index - 1]:
            raise GraphError(f"{node.name}: src must be {names[index - 1]!r}, the node before it, "
                             f"not {node.src!r}")
        _CHECKS[node.op](node, size)
        size = node.size
    if graph.layers[0][0].max_delay and graph.input.encoder == "stream":
        raise GraphError(f"{names[1]}: delay must be 0 for a layer fed by stream input, "
                         f"not {graph.layers[0][0].max_delay}; delay a later layer, or use rate or "
                         "spikes input")
    if graph.input.encoder == "stream":
        for dense, _ in graph.layers[:1]:
            ir.check_sng(graph.input.sng, graph.input.name)
            assert dense.src == graph.input.name
    longest = [dense.max_delay for dense, _ in graph.layers]
    total = sum(longest)
    if total >= graph.num_steps:
        raise GraphError(f"graph: delays must sum to less than num_steps = {graph.num_steps}, "
                         f"not {' + '.join(map(str, longest))} = {total}, or spikes would never "
                         f"reach the read-out; use num_steps of at least {total + 1} or shorter "
                         "delays")


def _input(node: ir.Input, _size) -> None:
    if node.encoder not in ir.ENCODERS:
        raise GraphError(f"{node.name}: " + unknown("encoder", node.encoder, ir.ENCODERS))
    if not node.shape:
        raise GraphError(f"{node.name}: shape must have at least one dimension")
    for extent in node.shape:
        _between(node.name, "shape", extent, 1, ir.MAX_FEATURES)
    _between(node.name, "size", node.size, 1, ir.MAX_FEATURES)


def _dense(node: ir.Dense, size: int) -> None:
    _between(node.name, "out_features", node.out_features, 1, ir.MAX_FEATURES)
    if node.in_features != size:
        raise GraphError(f"{node.name}: in_features must be {size}, the size of {node.src}, "
                         f"not {node.in_features}")
    length = node.bitstream_length
    _between(node.name, "bitstream_length", length, 1 << sng.MIN_BITS, 1 << sng.MAX_BITS)
    if length & (length - 1):
        raise GraphError(f"{node.name}: bitstream_length must be a power of two, not {length}")
    _between(node.name, "weight_bits", node.weight_bits, 2, node.bits + 1)
    _delay(node)
    _delay_blocks(node)
    ir.check_sng(node.sng, node.name)
    if node.lowering is not None and node.lowering not in ir.LOWERINGS:
        raise GraphError(f"{node.name}: " + unknown("lowering", node.lowering, ir.LOWERINGS))
    if node.lanes is not None:
        _between(node.name, "lanes", node.lanes, 1, node.out_features)
    if node.weight is None:
        return
    if node.weight.shape != (node.out_features, node.in_features):
        raise GraphError(f"{node.name}: weight must have shape [{node.out_features}, "
                         f"{node.in_features}], not {list(node.weight.shape)}")
    if node.bias is None or node.bias.shape != (node.out_features,):
        raise GraphError(f"{node.name}: bias must have shape [{node.out_features}]")
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


def _delay(node: ir.Dense) -> None:
    if not isinstance(node.delay, tuple):
        _between(node.name, "delay", node.delay, 0, ir.MAX_DELAY)
        return
    if len(node.delay) != node.in_features:
        raise GraphError(f"{node.name}: delay must be one integer, or one for each of "
                         f"{node.in_features} input axons, not {len(node.delay)} of them")
    for axon, delay in enumerate(node.delay):
        _between(node.name, f"delay of axon {axon}", delay, 0, ir.MAX_DELAY)


def _delay_blocks(node: ir.Dense) -> None:
    if node.delay_blocks is not None:
        most = len(delay_blocks(node.delays))
        _between(node.name, "delay_blocks", node.delay_blocks, 0, most)


def _population(node: ir.Population, size: int) -> None:
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


def _readout(node: ir.Readout, size: int) -> None:
    if node.kind not in ir.READOUTS:
        raise GraphError(f"{node.name}: " + unknown("readout", node.kind, ir.READOUTS))
    if node.size != size:
        raise GraphError(f"{node.name}: size must be {size}, that of {node.src}, not {node.size}")


_CHECKS = {"input": _input, "dense": _dense, "population": _population, "readout": _readout}
