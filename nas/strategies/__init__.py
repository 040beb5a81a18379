"""Search strategies, one a file: a module here with a class `Strategy` is one, by its name.

A strategy asks and is told, and knows nothing of training or of stores::

    strategy = Strategy(space, objectives=2, constraints=1, population=32, seed=1, excess=...)
    genomes = strategy.ask()      # the next generation, none twice; empty when it has no more
    strategy.tell(F, G)           # float [n, objectives], [n, constraints]; less is better, G <= 0

A strategy that breeds from earlier answers has `revise(known)`, too, which is told what they are
by now: F and G by genome. `excess(genome)` is the closed-form price above what is allowed; nothing
with an excess is asked for. The same arguments and the same answers give the same questions.

A plug-in (`flow.plugins`) adds its own with `register`.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module

from ...flow import plugins
from ...flow.errors import ConfigError, unknown

#: Strategies of plug-ins.
ADDED: dict[str, type] = {}


def register(name: str) -> Callable[[type], type]:
    """Decorator of a plug-in's class, which becomes the strategy `name`."""
    def add(strategy: type) -> type:
        plugins.add("strategy", ADDED, name, strategy, names())
        return strategy
    return add


def names() -> list[str]:
    """Every strategy."""
    return sorted([*ADDED, *(module.name for module in pkgutil.iter_modules(__path__))])


def load(name: str, source: str = "experiment") -> type:
    """The class of the strategy `name`; ConfigError if there is none."""
    if name not in names():
        raise ConfigError(f"{source}: search.strategy: " + unknown("strategy", name, names()))
    return ADDED[name] if name in ADDED else import_module(f"{__name__}.{name}").Strategy
