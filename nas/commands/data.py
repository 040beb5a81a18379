"""``spikeloom show data``: data sets, their splits, which are there, and where others are from."""

from rich.table import Table

from ...flow.errors import SpikeloomError
from ...flow.output import Wide
from .. import datasets
from ..datasets import images


def show(args, out) -> None:
    """A row for each data set; files are looked for, not read, so that this is quick."""
    del args
    rows = [_ours(name) if name in datasets.HOMES else _added(name) for name in datasets.LOADERS]
    table = Table("name", "shape", "classes", "train", "validation", "test", "state",
                  title="data sets", title_justify="left")
    for row in rows:
        numbers = ("" if row[key] is None else f"{row[key]:,}"
                   for key in ("classes", "train", "validation", "test"))
        table.add_row(row["name"], " x ".join(map(str, row["shape"])), *numbers, row["state"])
    problems = dict.fromkeys(row["problem"] for row in rows if row["problem"])
    where = str(images.folder())
    out.result({"folder": where, "datasets": rows}, Wide(table), f"folder of data sets: {where}",
               *(f"- {problem}" for problem in problems))


def _ours(name: str) -> dict:
    """A data set that ships: what its module knows of it, and the first file that is missing."""
    home = datasets.HOMES[name]
    train, validation, test = home.sizes(name)
    origin = getattr(home, "ORIGIN", None)
    gone = [path for path in home.files(name) if not path.exists()] if origin else []
    return {"name": name, "shape": list(home.SHAPE), "classes": home.CLASSES, "train": train,
            "validation": validation, "test": test, "state": "missing" if gone else "here",
            "missing": [str(path) for path in gone], "source": origin.source if origin else "",
            "problem": f"{gone[0]} is missing; {origin.advice}" if gone else ""}


def _added(name: str) -> dict:
    """A data set of a plug-in, which has to be loaded to be known."""
    row = {"name": name, "shape": [], "classes": None, "train": None, "validation": None,
           "test": None, "state": "here", "missing": [], "source": "a plug-in", "problem": ""}
    try:
        data = datasets.load(name)
    except SpikeloomError as error:
        return row | {"state": "refused", "problem": str(error)}
    return row | {"shape": list(data.shape), "classes": data.num_classes, "train": len(data.train),
                  "validation": len(data.validation), "test": len(data.test)}
