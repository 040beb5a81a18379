"""Compile: the passes in order, from a trained graph to a scheduled one."""

from .. import ir
from .legalize import legalize
from .quantize import quantize
from .schedule import schedule

PASSES = (quantize, legalize, schedule)


def compile_graph(graph: ir.Graph) -> ir.Graph:
    """Run every pass; `verify` runs after each. Deterministic, and the identity on its result."""
    for step in PASSES:
        graph = step(graph)
    return graph
