"""Search: spaces, training, scores, strategies, and what stores their results.

What users of the search from Python import stands here, and is loaded when it is asked for:
importing this package loads no torch.
"""

from importlib import import_module

#: Where each name is.
_EXPORTS = {
    "SearchSpace": "space", "Architecture": "space", "nas": "search", "Result": "result",
    "estimate": "estimate", "SpikingNet": "kit", "train_epoch": "kit", "evaluate": "kit",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".api.{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
