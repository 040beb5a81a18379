"""``spikeloom bench fronts``: what measuring within the search is worth, search against search."""

import statistics
from argparse import Namespace
from pathlib import Path

from rich.table import Table

from ...flow import tools
from ...flow.build import TIMEOUTS
from ...flow.errors import ConfigError
from ...flow.output import Output, Wide
from .. import fronts

FOLDER = Path("build/fronts")


def run(args: Namespace, out: Output) -> int:
    """Run every arm from every seed that the file lacks, one after the other; print all."""
    path = Path(args.out or FOLDER / "fronts.json")
    if path.is_dir():
        raise ConfigError(f"--out must be a file, not the directory {path}")
    found = fronts.load(path) if path.exists() else []
    fronts.save(found, path)  # where it cannot be written, no search is worth its minutes
    tools.prepare(TIMEOUTS, out.note)
    done = {(item.arm, item.seed) for item in found}
    for arm, seed in fronts.order():
        if (arm, seed) in done:
            continue
        try:
            found.append(fronts.alone(arm, seed, FOLDER / f"{arm}-{seed}", args.jobs, out.note))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"the searches that had ended are in {path}; the same command "
                                    "goes on with the others") from None
        fronts.save(found, path)
    table = Table("seed", *(f"{arm}, s" for arm in fronts.ARMS), *fronts.ARMS,
                  title="hypervolume of the measured front, and seconds", title_justify="left")
    for seed in fronts.SEEDS:
        row = [next(item for item in found if (item.arm, item.seed) == (arm, seed))
               for arm in fronts.ARMS]
        table.add_row(str(seed), *(f"{item.seconds:.0f}" for item in row),
                      *(f"{item.marks[-1].hypervolume:.4f}" for item in row))
    ratios = {other: fronts.ratio(found, "loop", other) for other in fronts.ARMS
              if other != "loop"}
    out.result({"file": str(path), "ratios": ratios}, Wide(table), *(
        f"loop over {other}, at equal seconds: {statistics.mean(values):.4f} on average "
        f"({', '.join(f'{value:.4f}' for value in values)})" for other, values in ratios.items()),
        str(path))
    return 0
