"""What measuring within the search is worth: from searches that ship, one of them run again."""

import statistics

from ...flow.errors import RunError
from .. import fronts
from ..bench import FOLDER, Bench, group

#: The search that is run again, the shortest of its kind to wait for.
AGAIN = ("loop", 1)


@group(search__hypervolume_ratio=("ratio", ">= 1"), search__hypervolume_ratio_random=("ratio", ""))
def hypervolume(bench: Bench) -> dict:
    """Hypervolume of the loop's measured front over that of searches without it."""
    found = fronts.load(fronts.SHIPPED)
    done = {(item.arm, item.seed) for item in found}
    for arm, seed in fronts.order():
        if (arm, seed) not in done:
            raise RunError(f"{fronts.SHIPPED}: lacks '{arm}' from seed {seed}; '{fronts.COMMAND}' "
                           "runs what is missing")
    about = f"{fronts.COMMAND}; {', '.join(fronts.COMMON)}; {_again(bench, found)}"
    out = {}
    for name, other in (("search.hypervolume_ratio", "structure"),
                        ("search.hypervolume_ratio_random", "random")):
        ratios = fronts.ratio(found, "loop", other)
        out[name] = (statistics.mean(ratios), (
            f"measured fronts of the loop over those of '{other}' at equal seconds, by seed: "
            f"{', '.join(f'{value:.4f}' for value in ratios)} (sd {statistics.stdev(ratios):.4f}); "
            f"when both were done: {_whole(found, other)}; {about}"))
    return out


def _whole(found: list[fronts.Front], other: str) -> str:
    """The ratios of what each came to at last, and the seconds that took."""
    last = {(item.arm, item.seed): item.marks[-1].hypervolume for item in found}
    ratios = [last["loop", seed] / last[other, seed] for seed in fronts.SEEDS]
    seconds = [statistics.mean(item.seconds for item in found if item.arm == arm)
               for arm in ("loop", other)]
    return (", ".join(f"{value:.4f}" for value in ratios)
            + f" after {seconds[0]:.0f} and {seconds[1]:.0f} s on average")


def _again(bench: Bench, found: list[fronts.Front]) -> str:
    """Run one of the searches here, from nothing, and say what it came to."""
    shipped = next(item for item in found if (item.arm, item.seed) == AGAIN)
    here = fronts.alone(*AGAIN, FOLDER / "fronts", bench.jobs, bench.note)
    same = "the same front" if here.front == shipped.front else "another front"
    return (f"{AGAIN[0]} with seed {AGAIN[1]} run again here: {same}, hypervolume "
            f"{here.marks[-1].hypervolume:.4f} in {here.seconds:.0f} s (shipped: "
            f"{shipped.marks[-1].hypervolume:.4f} in {shipped.seconds:.0f} s)")
