"""Reading back from a board which design it runs, after it was programmed."""

import time
from collections.abc import Callable

from ..boards import Board
from ..flow import ir
from ..flow.errors import LinkError
from .attached import open_device
from .host import NotLoadedError

#: A board loads its flash in far less; the operating system may need a moment to give the port
#: back after the programmer had it.
PATIENCE = 10.0


def readback(graph: ir.Graph, board: Board, port: str, *,
             note: Callable[[str], None] | None = None) -> str:
    """The design hash that the device on `port` answers, which is the graph's.

    Asks again for `PATIENCE` seconds. Raises LinkError if it answers another one, or nothing, or
    has not got the weights that should be in its flash.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            device = open_device(graph, port, board.clock_hz, None, board.tolerance)
        except LinkError as error:
            if time.monotonic() >= end:
                raise LinkError(f"programmed, but not verified: {error}") from error
            if note is not None:
                note(f"waiting for the board: {error}")
            time.sleep(0.5)
            continue
        try:
            if board.flash is not None:
                device.wait_for_weights(PATIENCE)
            return device.info().design
        except NotLoadedError as error:
            raise LinkError(f"programmed, but not verified: {error}") from error
        finally:
            device.close()
