"""Published numbers that studies are printed beside, from one file of data with their sources."""

from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from ..flow.files import read_toml
from .study import Sheet

FILE = Path(__file__).parent / "studies" / "published.toml"
KINDS = ("paper", "released code")
HEADING = ("Published, on whole data sets and with large networks, or found with released code: "
           "not to be compared value by value with those above")


class Number(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number, or what a paper says in words; kind is one of `KINDS`."""

    studies: tuple[str, ...]
    system: str
    quantity: str
    data: str = ""
    value: int | float | str
    unit: str = ""
    kind: str
    source: str


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """Groups of operations, the most significant first."""

    order: tuple[tuple[str, ...], ...]
    source: str


class Published(Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    format: int
    operations: Order
    numbers: tuple[Number, ...]


@lru_cache
def load() -> Published:
    """Everything that is published."""
    return msgspec.convert(read_toml(FILE), Published)


def significance() -> dict[str, int]:
    """Operations by their place in the published order; more is more significant."""
    groups = load().operations.order
    return {name: len(groups) - place for place, names in enumerate(groups) for name in names}


def sheet(study: str) -> Sheet:
    """The published numbers that a study is compared with."""
    rows = tuple((item.system, item.quantity, item.data,
                  item.value if isinstance(item.value, str) else f"{item.value:,}", item.unit,
                  item.kind, item.source) for item in load().numbers if study in item.studies)
    columns = ("system", "quantity", "data", "value", "unit", "published by", "source")
    return Sheet("published", HEADING, tuple((name, "") for name in columns), rows)
