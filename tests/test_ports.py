"""Serial ports of boards, as pyserial lists them."""

from types import SimpleNamespace

import pytest

from spikeloom.flow import ports, targets
from spikeloom.flow.errors import ConfigError


def port(device, usb=(0x0403, 0x6010), location=None, serial=None):
    vendor, product = usb
    return SimpleNamespace(device=device, vid=vendor, pid=product, location=location,
                           serial_number=serial)


@pytest.fixture
def connect(monkeypatch):
    return lambda *found: monkeypatch.setattr(ports.list_ports, "comports", lambda: list(found))


ICEBREAKER = targets.board("icebreaker")


def test_the_uart_is_the_second_port_of_an_ft2232h(connect):
    connect(port("/dev/ttyUSB1", location="1-2:1.1"), port("/dev/ttyUSB0", location="1-2:1.0"),
            port("/dev/ttyS0", (None, None)), port("/dev/ttyACM0", (0x1D50, 0x602B)))
    assert ports.uarts(ICEBREAKER) == ["/dev/ttyUSB1"] and ports.uart(ICEBREAKER) == "/dev/ttyUSB1"
    assert ports.uart(targets.board("icesugar")) == "/dev/ttyACM0"
    assert ports.boards_of(port("x", (0x0403, 0x6014))) == ["upduino_v3"]


def test_two_boards_of_one_chip_are_two_ports(connect):
    connect(*(port(f"/dev/ttyUSB{2 * k + i}", location=f"1-{k}:1.{i}", serial=f"S{k}")
              for k in range(2) for i in range(2)))
    assert ports.uarts(ICEBREAKER) == ["/dev/ttyUSB1", "/dev/ttyUSB3"]
    with pytest.raises(ConfigError, match="/dev/ttyUSB1 and /dev/ttyUSB3 could both be it"):
        ports.uart(ICEBREAKER)


@pytest.mark.parametrize("name, message", [
    ("icebreaker", "no port of board icebreaker is connected"),
    ("upduino_v3", "the UART of UPduino v3 needs an adapter"),
])
def test_a_board_without_a_port_of_its_own_needs_one_named(connect, name, message):
    connect(port("/dev/ttyUSB0", (0x0403, 0x6014)))
    with pytest.raises(ConfigError, match=f"--port must name the serial port .*{message}"):
        ports.uart(targets.board(name))


def test_a_chip_with_one_port_alone_has_no_uart(connect):
    connect(port("/dev/ttyUSB0", location="1-2:1.0"))
    assert ports.uarts(ICEBREAKER) == []
