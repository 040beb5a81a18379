"""An attached board, as a rung: the driver of `sim.host` and what the device answers."""

import time

import numpy as np

from ..boards import Board
from ..boards.board import RESET_BAUD
from ..flow import fold, ir
from ..flow.errors import ConfigError
from ..flow.lower import design_hash
from . import rate_search
from .host import Device, NoAnswerError
from .icarus import most_clocks
from .images import payload
from .rates import divisor_for
from .reference import Trace
from .serial_port import SerialTransport

#: Seconds that an answer takes at most, unless the inference alone takes half of them.
TIMEOUT = 2.0


def open_device(graph: ir.Graph, port: str, clock_hz: float, baud: float | None,
                tolerance: float = 0.0) -> Device:
    """The device of this design on a serial port, at the rate asked for.

    A board starts at 115,200 baud; a host that was interrupted may have left it at `baud`. With a
    tolerance of its clock its rate is looked for (`rate_search`).
    """
    divisor = None if baud is None else divisor_for(clock_hz, baud)
    after_reset = round(clock_hz / RESET_BAUD)
    transport = SerialTransport(port, timeout=max(TIMEOUT, 2 * most_clocks(graph) / clock_hz))
    device = Device(transport, expect=design_hash(graph), clock_hz=clock_hz,
                    reset_divisor=after_reset)
    try:
        try:
            _meet(device, after_reset, tolerance)
        except NoAnswerError:
            if baud is None:
                raise
            device.transport.baud = baud
            _meet(device, divisor, tolerance)
        if divisor is not None:
            device.set_divisor(divisor)
    except BaseException:
        device.close()
        raise
    return device


def _meet(device: Device, divisor: int, tolerance: float) -> None:
    """Ask a device what it is, whose line is at so many clocks a bit."""
    if tolerance:
        rate_search.meet(device, device.clock_hz / divisor, tolerance)
    else:
        device.info()


def infer(graph: ir.Graph, images: np.ndarray, board: Board, port: str | None,
          baud: float | None, shift: int = 0) -> tuple[Trace, dict]:
    """Images through a board; figures: `proof`, whether it answers checksums, `design`, `seconds`.

    Raises LinkError if it runs another design, or does not answer.
    """
    if port is None:
        raise ConfigError("--level board needs --port, the serial port of the board; 'spikeloom "
                          "doctor' lists what is connected")
    device = open_device(graph, port, board.clock_hz, baud, board.tolerance)
    try:
        device.wait_for_weights(TIMEOUT)
        device.restore()
        if shift:
            device.set_shift(shift)
        start = time.monotonic()
        results = list(device.infer_all(np.frombuffer(payload(graph, image), np.uint8)
                                        for image in images))
        seconds = time.monotonic() - start
        proof = device.info().proof
        device.restore()
        if baud is not None:
            device.set_divisor(board.divisor)  # as the next host expects it
    finally:
        device.close()
    trace = Trace(scores=np.array([r.scores for r in results], np.int64),
                  classes=np.array([r.cls for r in results], np.int64),
                  crcs=list(np.array([r.crcs for r in results], np.int64).T),
                  orders=fold.orders(graph))
    return trace, {"proof": proof, "board": board.name, "port": port, "seconds": seconds}
