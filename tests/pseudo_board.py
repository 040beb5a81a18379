"""A board that is none: the simulated gateware behind a pseudo-terminal."""

import os
import select
import threading
from contextlib import contextmanager
from unittest.mock import patch

from spikeloom.sim import attached
from spikeloom.sim.simulated import SimTransport

#: Seconds for an answer: a simulation is slower than a board.
TIMEOUT = 60.0


@contextmanager
def pseudo_board(top, **options):
    """The name of a serial port behind which `top` (a `hdl.top.Top`, best at divisor 4) runs."""
    ours, theirs = os.openpty()
    line, stop = SimTransport(top, **options), threading.Event()

    def bridge() -> None:
        while not stop.is_set():
            if select.select([ours], [], [], 0.001)[0]:
                line.write(os.read(ours, 4096))
            if back := line.read(4096, 40 / line.baud):
                os.write(ours, back)

    thread = threading.Thread(target=bridge)
    thread.start()
    try:
        with patch.object(attached, "TIMEOUT", TIMEOUT):
            yield os.ttyname(theirs)
    finally:
        stop.set()
        thread.join()
        os.close(ours)
        os.close(theirs)
