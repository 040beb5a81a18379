"""Search strategies, one a file: a module here with a class `Strategy` is one, by its name.

A strategy asks and is told, and knows nothing of training or of stores::

    strategy = Strategy(space, objectives=2, constraints=1, population=32, seed=1, excess=...,
                        broken=..., deduplicate=True, options=...)
    genomes = strategy.ask()      # the next generation; empty when it has no more
    strategy.tell(F, G)           # float [n, objectives], [n, constraints]; less is better, G <= 0

`excess(genome)` is the closed-form price above what is allowed; nothing with an excess is asked
for, and nothing twice where `deduplicate` is on. `broken(genome)` says by bound how much of it the
price breaks. The same arguments and the same answers give the same questions.

A strategy may also have

* `OPTIONS`, a msgspec struct of what an experiment may set in `search.options`, with `rules()`
  (`flow.config`) if there are any; `options` is an instance of it, or None;
* `NETWORKS`, the values of `space.network` that it searches, all without it;
* `revise(known)`, where it breeds from earlier answers: what they are by now, F and G by genome;
* `result`, the genome that it returns, where that is not the best of all that keep the bounds.

A plug-in (`flow.plugins`) adds its own with `register`.
"""

import pkgutil
from collections.abc import Callable
from importlib import import_module

from msgspec import Struct

from ...flow import config, plugins
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


def options(strategy: type, given: dict[str, object], source: str = "experiment") -> Struct | None:
    """The checked options of a strategy, None where it has none; ConfigError for others."""
    kind = getattr(strategy, "OPTIONS", None)
    if kind is None and given:
        raise ConfigError(f"{source}: search.options must be {{}} for this strategy, which has "
                          f"none, not {config.toml_value(given)}")
    return None if kind is None else config.section(kind, given, source, "search.options")


def check_network(name: str, strategy: type, network: str, source: str = "experiment") -> None:
    """Raise ConfigError where a strategy does not search networks of this kind."""
    known = getattr(strategy, "NETWORKS", (network,))
    if network not in known:
        raise ConfigError(f"{source}: search.strategy must be one that searches space.network = "
                          f"{network!r}, not {name!r}, which searches {', '.join(known)} alone")
