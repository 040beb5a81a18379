"""Gateware with one line changed, for the test that a proof can fail."""

import inspect
import sys
import types


def mutant(cls: type, old: str, new: str) -> type:
    """The class `cls` from its module's source with `old`, which must occur once, become `new`."""
    original = sys.modules[cls.__module__]
    source = inspect.getsource(original)
    assert source.count(old) == 1, f"{original.__file__} must have {old!r} once; update the mutant"
    module = types.ModuleType(original.__name__)
    module.__package__ = original.__package__
    module.__file__ = original.__file__
    exec(compile(source.replace(old, new), original.__file__, "exec"), module.__dict__)
    return getattr(module, cls.__name__)
