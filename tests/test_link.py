import struct

import pytest

from spikeloom.hdl.checksum import crc16
from spikeloom.hdl.protocol import (
    PROTOCOL,
    SYNC_REPLY,
    SYNC_REQUEST,
    Command,
    Info,
    Status,
    frame,
    infer_reply_bytes,
    pack_info,
)

PIXELS = bytes([1, 2, 3, 4, 5, 255])
DESIGN = bytes(range(0xA0, 0xA8))
#: A wait that is longer than a short inference and than the silence of 64 bits, in bits.
LONG = 400


def request(command, payload=b""):
    return frame(SYNC_REQUEST, command, payload)


def exchange(wire, data, n):
    """Send bytes; up to n bytes that come back."""
    wire.write(data)
    return wire.read(n, (11 * len(data) + 11 * n + LONG) / wire.baud)


def answer(wire, data):
    """Send bytes; status and payload of the one reply, which must be whole and all there is."""
    wire.write(data)
    wait = (11 * len(data) + LONG) / wire.baud
    head = wire.read(4, wait)
    sync, status, length = struct.unpack("<BBH", head)
    rest = wire.read(length + 2, wait + 11 * length / wire.baud)
    assert sync == SYNC_REPLY and len(rest) == length + 2
    assert crc16(head[1:] + rest) == 0
    assert wire.read(1, 30 / wire.baud) == b""
    return Status(status), rest[:-2]


def result(pixels, n_classes=3, design=DESIGN):
    """The reply to INFER that a CountingCore gives."""
    scores = [(sum(pixels) + k) * (-1) ** k for k in range(n_classes)]
    packed = b"".join(score.to_bytes(3, "little", signed=True) for score in scores)
    return bytes([PROTOCOL]) + design[:4] + packed + bytes([len(pixels) & 255])


def info(n_inputs=6, n_classes=3, num_steps=515, design=DESIGN, **more):
    return pack_info(Info(design=design.hex(), image_bytes=n_inputs, n_classes=n_classes,
                          num_steps=num_steps, **more))


def test_checksum_is_the_catalogued_one():
    assert crc16(b"123456789") == 0x6F91
    assert request(Command.INFO) == bytes.fromhex("a5 01 0000") + struct.pack(
        "<H", crc16(b"\x01\0\0"))


def test_info(wire):
    assert answer(wire(), request(Command.INFO)) == (Status.OK, info())


@pytest.mark.parametrize("core", [
    {"n_inputs": 1, "n_classes": 1}, {"n_inputs": 2, "n_classes": 2},
    {"n_inputs": 64, "n_classes": 10, "num_steps": 8},
    {"n_inputs": 300, "n_classes": 90, "num_steps": 1024}, {"n_inputs": 5, "n_classes": 256}])
def test_infer_for_networks_of_every_size(wire, core):
    line = wire(**core)
    assert answer(line, request(Command.INFO)) == (Status.OK, info(**{"num_steps": 515, **core}))
    for first in (0, 7):
        pixels = bytes((first + 5 * k) % 200 for k in range(core["n_inputs"]))
        status, payload = answer(line, request(Command.INFER, pixels))
        assert status == Status.OK and len(payload) == infer_reply_bytes(core["n_classes"])
        assert payload == result(pixels, core["n_classes"])


def test_garbage_before_a_request_is_skipped(wire):
    line = wire()
    noise = bytes(k for k in range(256) if k != SYNC_REQUEST)
    assert answer(line, noise + request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


@pytest.mark.parametrize("payload", [b"", PIXELS])
@pytest.mark.parametrize("command", [0, 4, 5, 6, 7, 0x41, 0xFF])
def test_unknown_command(wire, command, payload):
    line = wire()
    assert answer(line, request(command, payload)) == (Status.UNKNOWN, b"")
    assert answer(line, request(Command.INFO)) == (Status.OK, info())


@pytest.mark.parametrize("command,payload", [
    (Command.INFO, b"\0"), (Command.INFER, b""), (Command.INFER, PIXELS[:-1]),
    (Command.INFER, PIXELS + b"\0"), (Command.INFER, bytes(6 + 256)),
    (Command.DIVISOR, b"\x08"), (Command.DIVISOR, b"\x08\0\0")])
def test_wrong_length(wire, command, payload):
    line = wire()
    assert answer(line, request(command, payload)) == (Status.LENGTH, b"")
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_the_rest_of_a_bad_request_is_not_read_as_another(wire):
    line = wire()
    hidden = request(Command.INFER, bytes(6)) + request(Command.INFO)
    assert answer(line, request(Command.INFER, hidden)) == (Status.LENGTH, b"")


@pytest.mark.parametrize("where", [4, 9, 10, 11])
def test_wrong_checksum_starts_no_inference(wire, where):
    line = wire()
    data = bytearray(request(Command.INFER, PIXELS))
    data[where] ^= 0x10
    assert answer(line, bytes(data)) == (Status.CHECKSUM, b"")
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


@pytest.mark.parametrize("length", range(1, 12))
def test_a_request_that_breaks_off_is_dropped(wire, length):
    line = wire()
    assert exchange(line, request(Command.INFER, PIXELS)[:length], 1) == b""
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_a_pause_within_a_request_is_allowed(wire):
    line = wire()
    data = request(Command.INFER, PIXELS)
    for k in range(len(data) - 1):
        line.write(data[k:k + 1])
        assert line.read(1, 42 / line.baud) == b""  # half the silence that would drop it
    assert answer(line, data[-1:]) == (Status.OK, result(PIXELS))


def test_a_pixel_that_the_core_does_not_take_is_reported(wire):
    line = wire()
    late = bytes([1, 2, 0xEE, 4, 5, 6])
    assert answer(line, request(Command.INFER, late)) == (Status.REFUSED, b"")
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


@pytest.mark.parametrize("divisor", [0, 3, 256, 4096, 0xFF04, 0xFFFF])
def test_divisor_out_of_range_is_refused(wire, divisor):
    line = wire()
    assert answer(line, request(Command.DIVISOR, struct.pack("<H", divisor))) == (
        Status.REFUSED, b"")
    assert answer(line, request(Command.INFO)) == (Status.OK, info())


def test_the_rate_changes_after_the_reply(wire):
    line = wire(divisor=4)
    for divisor in (9, 255, 16, 5):
        change = request(Command.DIVISOR, struct.pack("<H", divisor))
        assert answer(line, change) == (Status.OK, b"")
        line.baud = line.clock_hz / divisor
        assert answer(line, request(Command.INFO)) == (Status.OK, info())
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_a_damaged_divisor_request_changes_nothing(wire):
    line = wire()
    data = bytearray(request(Command.DIVISOR, struct.pack("<H", 77)))
    data[-1] ^= 1
    assert answer(line, bytes(data)) == (Status.CHECKSUM, b"")
    assert exchange(line, bytes(data)[:-1], 1) == b""
    assert answer(line, request(Command.INFO)) == (Status.OK, info())
