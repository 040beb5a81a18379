"""Serial ports of connected boards, found by USB vendor and product."""

from collections import defaultdict

from serial.tools import list_ports

from ..boards import BOARDS, Board
from .errors import ConfigError


def boards_of(port) -> list[str]:
    """Names of the boards whose USB chip a port (as pyserial lists it) belongs to."""
    return [board.name for board in BOARDS.values()
            if board.usb is not None and (port.vid, port.pid) == board.usb]


def uarts(board: Board) -> list[str]:
    """The ports that may be this board's UART, one for each such chip that is connected."""
    if board.usb is None or board.uart_port is None:
        return []
    chips = defaultdict(list)
    for port in list_ports.comports():
        if (port.vid, port.pid) == board.usb:
            # Linux: "1-2:1.0", bus and socket, then the interface of the chip.
            place, _, interface = (port.location or "").partition(":")
            chips[place, port.serial_number or ""].append((interface, port.device))
    found = [sorted(ports)[board.uart_port:][:1] for ports in chips.values()]
    return sorted(device for ports in found for _, device in ports)


def uart(board: Board) -> str:
    """The port of this board's UART; ConfigError if none, or not one alone, is connected."""
    found = uarts(board)
    if len(found) == 1:
        return found[0]
    if board.uart_port is None:
        why = f"the UART of {board.title} needs an adapter, which could be any port"
    elif not found:
        why = f"no port of board {board.name} is connected"
    else:
        why = f"{' and '.join(found)} could both be it" if len(found) == 2 else \
            f"any of {', '.join(found)} could be it"
    raise ConfigError(f"--port must name the serial port of the board: {why}; 'spikeloom doctor' "
                      "lists the ports")
