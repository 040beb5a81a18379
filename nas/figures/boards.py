"""How many boards the network that ships can be built for."""

from ...boards import BOARDS
from ...flow import fit
from ...sim.commands import demo
from ..bench import FOLDER, Bench, group
from .rungs import new_cache


@group(boards__built=("boards", ">= 9"))
def boards(bench: Bench) -> dict:
    """Place and route on every board, the lowering chosen to fit; the rest say why not."""
    graph = demo.install(FOLDER / "boards" / "demo").graph()
    lines = []
    built = 0
    with new_cache(FOLDER / "boards" / "cache"):
        for board in BOARDS.values():
            found = fit.fit(graph, board, note=bench.note)
            built += found.report is not None
            lines.append(line(board.name, found))
    return {"boards.built": (built, f"the digits network that ships, on {len(BOARDS)} boards: "
                                    + "; ".join(lines))}


def line(name: str, found: fit.Fitted) -> str:
    """One board: its lowering, cells and speed, or why it is not built."""
    if found.report is None:
        why = ", ".join(f"{choice}: {problem}" for choice, problem in found.tried.items())
        return f"{name} not built ({why})"
    report = found.report
    return (f"{name} {found.choice}, {report.lc:,} LCs, {report.ebr} EBRs, "
            f"{report.fmax_mhz:.1f} MHz ({report.needed_mhz:g} needed)")
