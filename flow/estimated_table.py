"""An estimate by synthesis alone, for people."""

from rich.table import Table

from .estimated import Estimate, find

_TITLES = {"luts": "LUTs", "ffs": "flip-flops", "carry": "carry chains", "bram": "block memories",
           "dsp": "multipliers"}


def table(found: Estimate) -> Table:
    """What the core takes of the device, resource by resource."""
    target = find(found.target)
    shown = Table(title=f"ESTIMATE for {target.title} ({found.device}): {found.basis}",
                  title_justify="left")
    for column in ("", "unit", "synthesised", "available", "share"):
        shown.add_column(column, justify="left" if column in ("", "unit") else "right")
    for key, has in found.capacity.items():
        used = getattr(found, key)
        shown.add_row(_TITLES[key], target.names[key], f"{used:,}", f"{has:,}", f"{used / has:.0%}")
    return shown


def lines(found: Estimate, *, clocks: int, event_driven: bool, source: str, drawn: bool
          ) -> list[str]:
    """What stands below the table; drawn: whether the weights are assumed."""
    out = [f"{source}: the core alone, without a link; {clocks:,} clocks an inference "
           f"({'at most' if event_driven else 'exact'}), at a clock that place and route alone "
           "could tell",
           f"{find(found.target).synth.split()[0]} of {found.tool}, {found.seconds:,.1f} s"
           f"{', from the cache' if found.cached else ''}; capacity: {found.source}"]
    if drawn:
        out.append("assumed weights: codes drawn from a normal distribution with a fixed seed, no "
                   "biases; trained ones differ")
    out.append(f"does not fit: {found.problem}" if found.problem else
               "it should fit; spikeloom makes no bitstream for it")
    return out
