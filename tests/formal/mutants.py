"""Gateware with one line changed, for the test that a proof can fail."""

import inspect
import sys
import types


def mutant(cls: type, old: str, new: str) -> type:
    """The class `cls` from its module's source with `old`, once in the class, become `new`."""
    original = sys.modules[cls.__module__]
    whole, own = inspect.getsource(original), inspect.getsource(cls)
    assert own.count(old) == 1, f"{cls.__name__} must have {old!r} once; update the mutant"
    source = whole.replace(own, own.replace(old, new))
    module = types.ModuleType(original.__name__)
    module.__package__ = original.__package__
    module.__file__ = original.__file__
    exec(compile(source, original.__file__, "exec"), module.__dict__)
    return getattr(module, cls.__name__)
