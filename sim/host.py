"""The host's side of the link: one `Device` over a serial port or over the simulated gateware.

The protocol's constants, frames and checksum come from `hdl.link`. A transport has ``write(data)``,
``read(n, timeout) -> bytes`` (fewer than n after `timeout` seconds), ``close()``, a settable
`baud`, a `name` for messages, and `timeout`, how many seconds an inference may take. Whatever goes
wrong on the way is a LinkError of one line.
"""

import errno
import math
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from amaranth.sim import Simulator

from ..flow.errors import ConfigError, LinkError
from ..hdl import link
from ..hdl.link import Command, Status
from ..hdl.uart import MAX_DIVISOR, MIN_DIVISOR

#: The rate of every device after reset, and the clock that `hdl.top.Top`'s divisor expects then.
RESET_BAUD, CLOCK_HZ = 115200, 12_000_000
#: How far a rate may be from the one asked for, in either direction.
BAUD_TOLERANCE = 0.02

_ADVICE = {
    Status.UNKNOWN: "the device does not know this command; flash a bitstream of this version",
    Status.LENGTH: "the device expected another length; flash the bitstream of this run",
    Status.REFUSED: "the device could not take the payload; try a lower --baud",
    Status.CHECKSUM: "the request arrived damaged; try a shorter cable or a lower --baud",
}


@dataclass(frozen=True)
class Info:
    """What a device says about itself; design: 16 hexadecimal digits."""

    protocol: int
    design: str
    n_inputs: int
    n_classes: int
    num_steps: int
    n_traces: int


@dataclass(frozen=True)
class Result:
    """One inference; scores: one integer per class; design: the first 8 digits of the hash.

    crcs: of a proof build, a checksum per layer (`hdl.trace.trace_crc`).
    """

    cls: int
    scores: tuple[int, ...]
    design: str
    crcs: tuple[int, ...] = ()


def check_rate(option: str, value: float) -> None:
    """ConfigError unless a rate is positive and finite."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{option} must be a positive number, not {value:g}")


def divisor_for(clock_hz: float, baud: float) -> int:
    """Clocks per bit for a rate; ConfigError if the clock cannot make it."""
    check_rate("--clock", clock_hz)
    check_rate("--baud", baud)
    divisor = round(clock_hz / baud)
    if not MIN_DIVISOR <= divisor <= MAX_DIVISOR:
        raise ConfigError(f"--baud must be in {clock_hz / MAX_DIVISOR:.0f}.."
                          f"{clock_hz / MIN_DIVISOR:.0f} with a clock of {clock_hz:.0f} Hz, "
                          f"not {baud:g}")
    made = clock_hz / divisor
    if abs(made / baud - 1) > BAUD_TOLERANCE:
        raise ConfigError(f"--baud must be within 2 % of the clock over an integer, not {baud:g}; "
                          f"the nearest is {made:.0f}")
    return divisor


class NoAnswerError(LinkError):
    """The device has not answered properly, twice."""


class _Broken(Exception):
    """An exchange failed in a way that is worth one more try."""


class Device:
    """A device behind a transport.

    expect: the design hash (8 bytes) it must answer with, None for any. clock_hz: its clock.
    """

    def __init__(self, transport, *, expect: bytes | None = None,
                 clock_hz: float = CLOCK_HZ) -> None:
        self.transport = transport
        self.expect = expect[:link.DESIGN_BYTES].hex() if expect is not None else None
        self.clock_hz = clock_hz
        self._info: Info | None = None

    def info(self) -> Info:
        """Ask what the device is; LinkError if it is not the expected design."""
        data = self._ask(Command.INFO, b"", link.INFO_REPLY.size)
        protocol, design, *numbers = link.INFO_REPLY.unpack(data)
        if protocol != link.PROTOCOL:
            raise LinkError(f"{self.transport.name}: speaks protocol {protocol}, this version "
                            f"speaks {link.PROTOCOL}; flash a bitstream of this version")
        self._check_design(design.hex())
        self._info = Info(protocol, design.hex(), *numbers)
        return self._info

    def infer(self, p8: np.ndarray) -> Result:
        """Classify one image of n_inputs pixels, integers in 0..255 of any shape."""
        info = self._info or self.info()
        pixels = np.asarray(p8).reshape(-1)
        if pixels.dtype.kind not in "iu":
            raise ConfigError(f"an image must have integer pixels, not {pixels.dtype}")
        if pixels.size != info.n_inputs:
            raise ConfigError(f"an image must have {info.n_inputs} pixels for this design, "
                              f"not {pixels.size}")
        if pixels.min() < 0 or pixels.max() > 255:
            raise ConfigError("pixels must be in 0..255, not "
                              f"{pixels.min()}..{pixels.max()}")
        data = self._ask(Command.INFER, pixels.astype(np.uint8).tobytes(),
                         link.infer_reply_bytes(info.n_classes, info.n_traces))
        design = data[1:link.TAG_BYTES].hex()
        self._check_design(design)
        end = link.TAG_BYTES + link.SCORE_BYTES * info.n_classes
        scores = tuple(int.from_bytes(data[k:k + link.SCORE_BYTES], "little", signed=True)
                       for k in range(link.TAG_BYTES, end, link.SCORE_BYTES))
        return Result(data[end], scores, design, struct.unpack(f"<{info.n_traces}I",
                                                               data[end + 1:]))

    def set_divisor(self, divisor: int) -> None:
        """Change the rate to clock_hz / divisor on both sides, and check that it works."""
        if not MIN_DIVISOR <= divisor <= MAX_DIVISOR:
            raise ConfigError(f"the divisor must be in {MIN_DIVISOR}..{MAX_DIVISOR} clocks per "
                              f"bit, not {divisor}")
        self._ask(Command.DIVISOR, struct.pack("<H", divisor), 0)
        self.transport.read(1, 4 / self.transport.baud)  # the device switches after its stop bit
        self.transport.baud = self.clock_hz / divisor
        self.info()

    def close(self) -> None:
        self.transport.close()

    def _check_design(self, design: str) -> None:
        if self.expect is not None and not self.expect.startswith(design):
            raise LinkError(f"{self.transport.name}: runs design {design}, not "
                            f"{self.expect[:len(design)]}; flash this run's bitstream "
                            "(spikeloom flash), or choose its --run")

    def _ask(self, command: Command, payload: bytes, wanted: int) -> bytes:
        """The payload of the reply; after a failure once more, on a line brought to rest."""
        request = link.frame(link.SYNC_REQUEST, command, payload)
        failure = None
        for _ in range(2):
            if failure is not None:
                self._rest()
            self.transport.write(request)
            try:
                return self._reply(wanted, self._seconds(len(request)))
            except _Broken as error:
                failure = error
        raise NoAnswerError(f"{self.transport.name}: {command.name} failed twice: {failure}")

    def _reply(self, wanted: int, sending: float) -> bytes:
        """Read one reply; skips what comes before its sync byte."""
        wait = sending + self.transport.timeout
        skipped = 0
        while (byte := self.transport.read(1, wait)) != bytes([link.SYNC_REPLY]):
            skipped += len(byte)
            if not byte or skipped > 4096:
                what = f"{skipped} bytes of something else" if skipped else "no answer"
                raise _Broken(f"{what} within {self.transport.timeout:g} s at "
                              f"{self.transport.baud:.0f} baud; check that the board is flashed, "
                              "connected here, and at this rate (its reset restores it)")
        header = self._read(3)
        status, length = struct.unpack("<BH", header)
        if length not in (0, wanted):
            raise _Broken(f"a reply of {length} bytes, not {wanted}; another design or a bad line")
        body = self._read(length + 2)
        if link.crc16(header + body):
            raise _Broken("wrong checksum in the reply; try a shorter cable or a lower --baud")
        if status != Status.OK:
            known = status in iter(Status)
            text = _ADVICE[Status(status)] if known else "of another protocol version"
            raise _Broken(f"status {Status(status).name if known else status}: {text}")
        if length != wanted:
            raise _Broken(f"a reply of {length} bytes, not {wanted}")
        return body[:-2]

    def _read(self, n: int) -> bytes:
        data = self.transport.read(n, self._seconds(n) + self.transport.timeout)
        if len(data) < n:
            raise _Broken("the reply broke off; check the cable")
        return data

    def _seconds(self, n: int) -> float:
        """Time on the line of n bytes, with a start bit's worth of waiting each."""
        return 11 * n / self.transport.baud

    def _rest(self) -> None:
        """Wait until the device has given up on any half request, and drop what it sent."""
        silence = 1.25 * (1 << link.SILENCE_BITS) / self.transport.baud
        for _ in range(64):
            if not self.transport.read(4096, silence):
                return
        raise LinkError(f"{self.transport.name}: keeps sending without being asked; "
                        "is it the port of this board?")


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


class SimTransport:
    """The gateware in Amaranth's simulator behind the same interface; `timeout` is simulated time.

    top: a `hdl.top.Top`, best with divisor 4. Synchronous: time passes only within `read`.
    """

    name = "simulation"

    def __init__(self, top, *, clock_hz: float = CLOCK_HZ, timeout: float = 0.1) -> None:
        self.timeout = timeout
        self.clock_hz = clock_hz
        self.baud = clock_hz / top.link.divisor.init
        self._top = top
        self._now = 0.0
        self._to_send: deque[int] = deque()
        self._received = bytearray()
        self._sim = Simulator(top)
        self._sim.add_clock(1 / clock_hz)
        self._sim.add_testbench(self._send, background=True)
        self._sim.add_testbench(self._receive, background=True)
        self._sim.advance()  # Python warns of testbenches that never ran

    @property
    def clocks(self) -> int:
        """Clocks simulated so far."""
        return int(self._now * self.clock_hz)

    def write(self, data: bytes) -> None:
        self._to_send += data

    def read(self, n: int, timeout: float) -> bytes:
        end = self._now + timeout
        while len(self._received) < n and self._now < end:
            self._now += 10 / self.baud
            self._sim.run_until(self._now)
        data = bytes(self._received[:n])
        del self._received[:n]
        return data

    def close(self) -> None:
        self._to_send.clear()

    async def _send(self, ctx) -> None:
        while True:
            if not self._to_send:
                await ctx.delay(1 / self.baud)
                continue
            byte = self._to_send.popleft()
            for level in (0, *(byte >> k & 1 for k in range(8)), 1):
                ctx.set(self._top.rx, level)
                await ctx.delay(1 / self.baud)

    async def _receive(self, ctx) -> None:
        while True:
            await ctx.negedge(self._top.tx)
            bit = 1 / self.baud
            await ctx.delay(1.5 * bit)
            byte = 0
            for k in range(8):
                byte |= ctx.get(self._top.tx) << k
                await ctx.delay(bit)
            if ctx.get(self._top.tx):
                self._received.append(byte)
