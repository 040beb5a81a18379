"""Studies: what is varied, measured and drawn; a file each, whose name is the study's.

A study has `WHAT`, a line of help, `configure(parser)` and `run(args, out)`; `nas.study` has what
they share.
"""

from importlib import import_module
from pkgutil import iter_modules


def names() -> list[str]:
    return sorted(module.name for module in iter_modules(__path__))


def load(name: str):
    """The module of a study."""
    return import_module(f".{name}", __name__)
