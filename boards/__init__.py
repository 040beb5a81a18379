"""Boards: one file each, which registers itself; every module of this folder is imported."""

from importlib import import_module
from pkgutil import iter_modules

from .board import BOARDS, Board

for _module in iter_modules(__path__):
    import_module(f".{_module.name}", __name__)

__all__ = ["BOARDS", "Board"]
