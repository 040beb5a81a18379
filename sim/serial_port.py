"""A serial port, as a transport of `host`, with pyserial."""

import errno
import time
from collections.abc import Callable

from ..boards.board import RESET_BAUD
from ..flow.errors import LinkError


class SerialTransport:
    """A serial port, 8N1."""

    def __init__(self, port: str, baud: float = RESET_BAUD, *, timeout: float = 2.0) -> None:
        import serial

        self.name = port
        self.timeout = timeout
        self._lost = (serial.SerialException, OSError)
        try:
            self._serial = serial.Serial(port, round(baud), exclusive=True)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise LinkError(f"{port}: {_why(error)}") from error

    @property
    def baud(self) -> float:
        return self._serial.baudrate

    @baud.setter
    def baud(self, value: float) -> None:
        try:
            self._serial.baudrate = round(value)
        except (OSError, ValueError) as error:
            raise LinkError(f"{self.name}: cannot run at {value:.0f} baud ({error}); "
                            "choose another --baud") from error

    def write(self, data: bytes) -> None:
        self._guard(lambda: (self._serial.write(data), self._serial.flush()))

    def read(self, n: int, timeout: float) -> bytes:
        self._serial.timeout = timeout
        return self._guard(lambda: self._serial.read(n))

    def now(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        self._serial.close()

    def _guard(self, action: Callable):
        try:
            return action()
        except self._lost as error:
            raise LinkError(f"{self.name}: the connection was lost ({error}); plug the board in "
                            "again and repeat") from error


def _why(error: Exception) -> str:
    """What to do about a port that cannot be opened."""
    number = getattr(error, "errno", None)
    if number == errno.ENOTTY:
        return "is not a serial port; give the board's, such as /dev/ttyUSB1"
    if number == errno.ENOENT:
        from serial.tools.list_ports import comports

        found = ", ".join(sorted(port.device for port in comports())) or "none"
        return f"no such port; plug the board in (ports found: {found})"
    if number in (errno.EACCES, errno.EPERM):
        return ("no permission; add yourself to the group that owns it (Debian: sudo adduser "
                "$USER dialout, then log in again) or install the board's udev rule")
    if number in (errno.EBUSY, errno.EAGAIN):
        return "is in use by another program; close that one"
    return f"cannot be opened as a serial port ({error})"
