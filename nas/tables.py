"""Tables of candidates, as they are printed."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

#: Digits of an id that a table shows; --choose takes any unique beginning.
SHORT = 8


def framed(heading: str, *columns: str, left: Sequence[str] = ("", "id", "network")) -> Table:
    """An empty table; numbers stand to the right."""
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right",
                         no_wrap=column != "network", overflow="fold")
    return table
