import errno
import os
import select
import threading

import numpy as np
import pytest
import serial
from networks import random_graph

from spikeloom.flow.errors import ConfigError, LinkError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl import protocol
from spikeloom.hdl.protocol import Info
from spikeloom.sim import attached
from spikeloom.sim.host import Device, NoAnswerError
from spikeloom.sim.serial_port import SerialTransport

IMAGE = np.array([[1, 2, 3], [4, 5, 255]], np.uint8)
SCORES = (270, -271, 272)
DESIGN = bytes(range(0xA0, 0xA8))


@pytest.fixture
def short_silence(monkeypatch):
    """The host waits as long as the devices of these tests do, so that they are quick."""
    monkeypatch.setattr(protocol, "SILENCE_BITS", 6)


class Damaging:
    """A transport that damages what passes: `toward` and `back` take and return bytes."""

    def __init__(self, inner, toward=bytes, back=bytes):
        self.inner, self.toward, self.back = inner, toward, back
        self.name, self.timeout = inner.name, 1000 / inner.baud

    @property
    def baud(self):
        return self.inner.baud

    def write(self, data):
        self.inner.write(self.toward(data))

    def read(self, n, timeout):
        return self.back(self.inner.read(n, timeout))

    def close(self):
        self.inner.close()


class Times:
    """Applies a change to the first `count` of the chunks that are longer than `least`."""

    def __init__(self, count, change, least=3):
        self.left, self.change, self.least = count, change, least

    def __call__(self, data):
        if len(data) > self.least and self.left:
            self.left -= 1
            return self.change(data)
        return data


def flip(data):
    return data[:-3] + bytes([data[-3] ^ 4]) + data[-2:]


def test_the_device_over_simulated_gateware(wire):
    device = Device(wire(), expect=DESIGN)
    info = device.info()
    assert info == Info(design=DESIGN.hex(), image_bytes=6, n_classes=3, num_steps=515)
    result = device.infer(IMAGE)
    assert (result.cls, result.scores, result.design) == (6, SCORES, DESIGN[:4].hex())


def test_the_rate_can_be_changed(wire):
    transport = wire()
    device = Device(transport)
    for divisor in (13, 4):
        device.set_divisor(divisor)
        assert transport.baud == pytest.approx(12e6 / divisor)
        assert device.infer(IMAGE).scores == SCORES


@pytest.mark.parametrize("change", [flip, lambda data: data[:-1], lambda data: b"\x77" + data[1:],
                                    lambda data: data[:1] + b"\x07" + data[2:]])
def test_one_damaged_request_is_sent_again(wire, short_silence, change):
    transport = Damaging(wire(), toward=Times(1, change))
    device = Device(transport)
    assert device.infer(IMAGE).scores == SCORES
    assert transport.toward.left == 0


@pytest.mark.parametrize("change", [flip, lambda data: data[:-1]])
def test_one_damaged_reply_is_asked_for_again(wire, short_silence, change):
    transport = Damaging(wire(), back=Times(1, change))
    assert Device(transport).info().image_bytes == 6
    assert transport.back.left == 0


@pytest.mark.parametrize("toward,back,text", [
    (lambda data: data[:-1] + b"\x00", bytes, "CHECKSUM: the request arrived damaged"),
    (lambda data: data[:-1], bytes, "no answer within"),
    (lambda data: data[:1] + b"\x07" + data[2:], bytes, "UNKNOWN"),
    (bytes, Times(9, flip), "wrong checksum in the reply"),
    (bytes, Times(9, lambda data: data[:-1]), "the reply broke off"),
])
def test_damage_that_stays_is_one_clear_error(wire, short_silence, toward, back, text):
    device = Device(Damaging(wire(), toward, back))
    with pytest.raises(NoAnswerError, match=text) as caught:
        device.info()
    assert str(caught.value).startswith("simulation: INFO failed twice: ")
    assert "\n" not in str(caught.value)


def test_other_designs_are_named(wire):
    other = bytes(8)
    with pytest.raises(LinkError, match=f"runs design {DESIGN.hex()}, not {other.hex()}; flash"):
        Device(wire(), expect=other).info()
    device = Device(wire(), expect=DESIGN)
    device.info()
    device.transport = wire(design=other)
    with pytest.raises(LinkError, match="runs design 00000000, not a0a1a2a3; flash"):
        device.infer(IMAGE)


@pytest.mark.parametrize("p8,text", [
    (IMAGE[0], "must have 6 pixels for this design, not 3"),
    (IMAGE.astype(float), "integer pixels, not float64"),
    (IMAGE.astype(int) + 1, r"0\.\.255, not 2\.\.256"),
    (IMAGE.astype(int) - 2, r"0\.\.255, not -1\.\.253"),
])
def test_images_are_checked_before_they_are_sent(wire, p8, text):
    device = Device(wire())
    device.info()
    device.transport.write = None
    with pytest.raises(ConfigError, match=text):
        device.infer(p8)


@pytest.mark.parametrize("divisor", [3, 256])
def test_divisors_are_checked_before_they_are_sent(wire, divisor):
    with pytest.raises(ConfigError, match=r"--baud must be in 47059\.\.3000000"):
        Device(wire()).set_divisor(divisor)


class Stream:
    """A port with something else behind it: `answer` makes bytes of what was written."""

    name, timeout, baud = "other", 0.0, 1e6

    def __init__(self, answer, endless=False):
        self.answer, self.endless, self.pending = answer, endless, b""

    def write(self, data):
        self.pending += self.answer(data)

    def read(self, n, timeout):
        if self.endless:
            return b"x" * n
        out, self.pending = self.pending[:n], self.pending[n:]
        return out


@pytest.mark.parametrize("stream,text", [
    (Stream(lambda data: b""), "no answer"),
    (Stream(lambda data: data), "6 bytes of something else"),
    (Stream(lambda data: b"OK\r\n"), "4 bytes of something else"),
    (Stream(bytes, endless=True), "keeps sending without being asked"),
    (Stream(lambda data: protocol.frame(protocol.SYNC_REPLY, 0, b"abc")), "3 bytes, not 16"),
    (Stream(lambda data: protocol.frame(protocol.SYNC_REPLY, 9)), "status 9: of another protocol"),
    (Stream(lambda data: protocol.frame(protocol.SYNC_REPLY, 0)), "0 bytes, not 16"),
    (Stream(lambda data: protocol.frame(protocol.SYNC_REPLY, 0, bytes([1]) + bytes(15))),
     "speaks protocol 1, this version speaks 3"),
])
def test_something_else_on_the_port(stream, text):
    with pytest.raises(LinkError, match=text):
        Device(stream).info()


def test_a_missing_port_says_what_to_do():
    with pytest.raises(LinkError, match=r"ttyNONE: no such port; plug the board in \(ports found"):
        SerialTransport("/dev/ttyNONE")


def test_a_file_is_no_port(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(LinkError, match="cannot be opened as a serial port"):
        SerialTransport(str(path))


def test_a_forbidden_port_says_what_to_do(monkeypatch):
    def refuse(*args, **kwargs):
        raise serial.SerialException(errno.EACCES, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(LinkError, match=r"ttyUSB1: no permission; .* dialout"):
        SerialTransport("/dev/ttyUSB1")


@pytest.fixture
def terminal():
    """A pseudo-terminal: file descriptor of our end, name of the other."""
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    os.close(theirs)
    yield ours, name
    os.close(ours)


def test_a_busy_port_is_named(terminal):
    first = SerialTransport(terminal[1])
    try:
        with pytest.raises(LinkError, match="in use by another program"):
            SerialTransport(terminal[1])
    finally:
        first.close()


def test_the_same_host_code_over_a_serial_port(terminal, wire):
    ours, name = terminal
    line = wire()
    stop = threading.Event()

    def bridge():
        while not stop.is_set():
            if select.select([ours], [], [], 0.001)[0]:
                line.write(os.read(ours, 4096))
            if back := line.read(4096, 40 / line.baud):
                os.write(ours, back)

    transport = SerialTransport(name, timeout=10.0)
    thread = threading.Thread(target=bridge)
    thread.start()
    try:
        device = Device(transport, expect=DESIGN)
        assert device.info().n_classes == 3
        assert device.infer(IMAGE).scores == SCORES
    finally:
        stop.set()
        thread.join()
        transport.close()


def test_a_port_that_is_unplugged():
    ours, theirs = os.openpty()
    transport = SerialTransport(os.ttyname(theirs))
    os.close(theirs)
    os.close(ours)
    try:
        with pytest.raises(LinkError, match=r"the connection was lost .* plug the board in"):
            Device(transport).info()
    finally:
        transport.close()


@pytest.mark.parametrize("clocks,seconds", [(1_000, 2.0), (60_000_000, 10.0)])
def test_a_long_inference_is_waited_for(monkeypatch, clocks, seconds):
    class Opened(Exception):
        pass

    def opened(port, *, timeout):
        raise Opened(timeout)

    monkeypatch.setattr(attached, "SerialTransport", opened)
    monkeypatch.setattr(attached, "most_clocks", lambda graph: clocks)
    graph = compile_graph(random_graph(np.random.default_rng(0), sizes=(1, 1)))
    with pytest.raises(Opened) as found:
        attached.open_device(graph, "/dev/ttyUSB1", 12e6, None)
    assert found.value.args[0] == pytest.approx(seconds, rel=0.01)
