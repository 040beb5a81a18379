"""Costs as they are printed: components, layers, steps from one mode to another, assumptions."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from .price import Cost


def component_table(cost: Cost) -> Table:
    """A row a component, with its shares."""
    table = Table(title=f"COST of {cost.network}, mode {cost.mode}, {cost.technology}",
                  title_justify="left")
    for column in ("", "mm2", "share", "uJ", "share"):
        table.add_column(column, justify="right" if column else "left")
    for row in cost.rows:
        table.add_row(row.component, _number(1e-6 * row.area_um2), f"{row.area_share:.1%}",
                      _number(1e-6 * row.energy_pj), f"{row.energy_share:.1%}")
    table.add_section()
    table.add_row("total", _number(cost.area_mm2), "", _number(cost.energy_uj), "")
    return table


def layer_table(cost: Cost) -> Table:
    """A row a layer; leakage is nobody's."""
    table = Table(title="by layer, shared tiles by PEs in use, leakage left out",
                  title_justify="left")
    for column in ("", "mm2", "ms", "uJ", "most of it"):
        table.add_column(column, justify="left" if column in ("", "most of it") else "right")
    for layer in cost.layers:
        most = max(layer.components, key=layer.components.get)
        table.add_row(layer.name, _number(1e-6 * layer.area_um2), _number(1e-6 * layer.latency_ns),
                      _number(1e-6 * layer.energy_pj), most)
    return table


def step_table(steps: Sequence[tuple[str, str, Cost]]) -> Table:
    """What `price.explain` found, a row a switch."""
    first, last = steps[0], steps[-1]
    table = Table(title=f"from mode {first[0]} to {last[2].mode}, switch by switch",
                  title_justify="left")
    for column in ("switch", "now", "mm2", "ms", "uJ"):
        table.add_column(column, justify="left" if column in ("switch", "now") else "right")
    for name, setting, cost in steps:
        table.add_row(name, setting, _number(cost.area_mm2), _number(cost.latency_ms),
                      _number(cost.energy_uj))
    return table


def lines(cost: Cost) -> Iterator[str]:
    """Totals, then everything that they assume."""
    yield (f"{_number(cost.area_mm2)} mm2, {_number(cost.latency_ms)} ms and "
           f"{_number(cost.energy_uj)} uJ an inference; {cost.pes:,} PEs in use, "
           f"{cost.tiles:,} tiles")
    nodes: dict[float, list[str]] = {}
    for figure, node in cost.borrowed.items():
        nodes.setdefault(node, []).append(figure)
    for node, figures in sorted(nodes.items()):
        yield f"of {node:g} nm: {', '.join(figures)}"
    yield "assumed:"
    yield from (f"  {line}" for line in cost.assumptions)
    yield "not priced:"
    yield from (f"  {part}: {why}" for part, why in cost.not_priced.items())


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
