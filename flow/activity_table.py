"""Priced activity, for people and as plain data."""

from rich.table import Table

from .activity import Priced
from .cost.actions import Actions
from .cost.split import PARTS, Span


def data(found: Priced) -> dict:
    """What was counted and what it costs, for --json."""
    actions, cost = found.actions, found.split
    total = cost.total()
    return {
        "images": len(actions.images), "baud": actions.clock_hz / found.divisor,
        "clocks": dict(cost.clocks), "line_bits": actions.line_bits,
        "borrowed": found.prices.borrowed,
        "nj": {phase: {name: [span.low, span.high] for name, span in getattr(cost, phase).items()}
               for phase in ("transfer", "compute")},
        "compute_nj": _pair(cost.total("compute")), "transfer_nj": _pair(cost.total("transfer")),
        "total_nj": _pair(total), "milliwatts": _pair(cost.milliwatts()),
        "inferences_per_second": 1 / cost.seconds, "spread_nj": list(found.spread),
        "spikes": {name: [sum(image.spikes[k][t] for image in actions.images)
                          / len(actions.images) for t in range(len(actions.images[0].spikes[k]))]
                   for k, name in enumerate(actions.layers)},
    }


def _sprams(actions: Actions) -> bool:
    """Whether the design has SPRAMs."""
    return "SB_SPRAM256KA" in actions.cells


def _pair(span: Span) -> list[float]:
    return [span.low, span.high]


def energy_table(found: Priced) -> Table:
    """The split by phase and part, for people."""
    cost, actions = found.split, found.actions
    borrowed = ", dynamic prices borrowed from the UP5K" if found.prices.borrowed else ""
    shown = Table(title=f"ESTIMATE: nJ of an inference on {actions.board} ({actions.device}) at "
                        f"{actions.clock_hz / 1e6:g} MHz, mean of {len(actions.images)} images"
                        f"{borrowed}", title_justify="left")
    for column in ("", "inference", f"transfer, {actions.clock_hz / found.divisor:,.0f} baud",
                   "both"):
        shown.add_column(column, justify="right" if column else "left")
    for part in PARTS:
        if part == "spram" and not _sprams(actions):
            continue
        a, b = cost.compute[part], cost.transfer[part]
        shown.add_row(part, a.text(), b.text(), (a + b).text())
    shown.add_row("all", *(cost.total(*phases).text() for phases in (("compute",), ("transfer",),
                                                                    ())))
    shown.add_row("clocks", *(f"{value:,.0f}" for value in (
        cost.clocks["compute"], cost.clocks["transfer"], sum(cost.clocks.values()))))
    return shown


def actions_table(found: Priced) -> Table:
    """What was counted in the mean inference, by component: with its image there, and in transfer.
    """
    actions = found.actions
    transfer, compute = actions.mean(found.divisor)
    shown = Table(title="counted, of the mean image: the inference, and transfer",
                  title_justify="left")
    sprams = ("SPRAM",) if _sprams(actions) else ()  # nothing reads them while an image comes
    for column in ("", "flip-flops", "toggles", "in transfer", "EBR", "in transfer", *sprams):
        shown.add_column(column, justify="right" if column else "left")
    for name in sorted(actions.groups, key=lambda name: -compute.toggles.get(name, 0)):
        accesses = [phase.ebr_reads.get(name, 0) + phase.ebr_writes.get(name, 0)
                    for phase in (compute, transfer)]
        if sprams:
            accesses.append(compute.spram_reads.get(name, 0) + compute.spram_writes.get(name, 0))
        shown.add_row(name, *(f"{value:,.0f}" for value in (
            actions.flip_flops[name], compute.toggles.get(name, 0), transfer.toggles.get(name, 0),
            *accesses)))
    return shown


def lines(found: Priced) -> list[str]:
    """What a reader must know of the tables."""
    cost, actions = found.split, found.actions
    low, high = found.spread
    spikes = ", ".join(
        f"{name} {sum(sum(image.spikes[k]) for image in actions.images) / len(actions.images):,.1f}"
        for k, name in enumerate(actions.layers))
    memories = "block memory and SPRAM" if _sprams(actions) else "block memory"
    memory = f"; {found.memory_share:.0%} of the width is {memories}, of which no figure is " \
             "public" if found.memory_share >= 0.1 else ""
    return [
        f"{cost.total().text()} nJ and {1e3 * cost.seconds:,.3f} ms an inference, "
        f"{cost.milliwatts().text()} mW without a pause (estimate; the core's supply alone)",
        f"an inference whose image is there takes {cost.total('compute').text()} nJ: the interval "
        f"is that of the prices{memory}; over the images the upper end is {low:,.1f} to "
        f"{high:,.1f}",
        f"spikes an inference: {spikes}",
    ]
