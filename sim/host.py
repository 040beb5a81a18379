"""The host's side of the link: one `Device` over a serial port, or over simulated gateware.

The protocol's constants, frames and checksum come from `hdl.protocol`. A transport has
``write(data)``, ``read(n, timeout) -> bytes`` (fewer than n after `timeout` seconds), ``close()``,
a settable `baud`, a `name` for messages, and `timeout`, how many seconds an inference may take:
`serial_port`, `simulated`, and `benches.replay` in cocotb. Whatever goes wrong on the way is a
LinkError of one line.
"""

import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..boards.board import BAUD_TOLERANCE
from ..flow.errors import ConfigError, LinkError
from ..hdl import protocol
from ..hdl.checksum import crc16
from ..hdl.pixels import pack_pixels
from ..hdl.protocol import CHECKSUM_BYTES, FRAME_BYTES, PIECE_BYTES, Command, Info, Status
from ..hdl.uart import MAX_DIVISOR, MIN_DIVISOR

#: The clock that `hdl.top.Top`'s divisor expects after reset.
CLOCK_HZ = 12_000_000
#: Requests that a duplex device has at once: the one that it serves, and the next.
AHEAD = 2

_ADVICE = {
    Status.UNKNOWN: "the device does not know this command; flash a bitstream of this version",
    Status.LENGTH: "the device expected another length; flash the bitstream of this run",
    Status.REFUSED: "the device could not take the payload; try a lower --baud",
    Status.CHECKSUM: "the request arrived damaged; try a shorter cable or a lower --baud",
    Status.OVERRUN: "the device was still busy with the request before; is another program "
                    "using this port?",
}
#: Why there are no weights, and what to do about it.
_NO_WEIGHTS = {
    Status.LOADING: "its weights are not loaded yet; wait a moment, or send them",
    Status.MISSING: "there are no weights in its flash; write them, or send them",
    Status.VERSION: "the weights that it was given have the format of another version; write them "
                    "again, or send them",
    Status.NETWORK: "the weights that it was given are another network's; write those of this "
                    "run, or send them",
    Status.DAMAGED: "the weights that it was given are damaged or were cut short; write them "
                    "again, or send them",
}
_HOW = "('spikeloom flash' writes, 'spikeloom infer --load' sends)"
#: Bit times between two looks at weights that are being loaded.
_LOOK = 1000
#: What a link may lack, and what has it.
_BUILT_WITHOUT = {
    Command.STEPS: ("run-time timesteps", "'--link steps' of synth, or of infer --sim"),
    Command.SHIFT: ("run-time bitstream lengths", "'synth --max-shift'"),
    Command.STATS: ("counters", "'--link counters' of synth, or of infer --sim"),
    Command.WEIGHTS: ("weights that are loaded", "'synth' with a layer whose memory is spram"),
}


@dataclass(frozen=True)
class Result:
    """One inference; scores: one integer per class; design: the first 8 digits of the hash.

    crcs: of a proof build, a checksum per layer (`hdl.trace.trace_crc`).
    """

    cls: int
    scores: tuple[int, ...]
    design: str
    crcs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stats:
    """What a device has counted: clocks of the last inference, its spikes per layer, and errors.

    failed: requests and bytes that it could not take since its reset, at most 255.
    """

    cycles: int
    failed: int
    spikes: tuple[int, ...]


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


class NotLoadedError(LinkError):
    """The device has no weights, which is why it does not infer; status: why it has none."""

    def __init__(self, name: str, status: Status) -> None:
        super().__init__(f"{name}: {status.name}: {_NO_WEIGHTS[status]} {_HOW}")
        self.status = status


class _Broken(Exception):
    """An exchange failed in a way that is worth one more try."""


class Device:
    """A device behind a transport.

    expect: the design hash (8 bytes) it must answer with, None for any. clock_hz: its clock.
    """

    def __init__(self, transport, *, expect: bytes | None = None,
                 clock_hz: float = CLOCK_HZ) -> None:
        self.transport = transport
        self.expect = expect[:protocol.DESIGN_BYTES].hex() if expect is not None else None
        self.clock_hz = clock_hz
        self._info: Info | None = None

    def info(self) -> Info:
        """Ask what the device is; LinkError if it is not the expected design."""
        info = protocol.unpack_info(self._ask(Command.INFO, b"", protocol.INFO_REPLY.size))
        if info.protocol != protocol.PROTOCOL:
            raise LinkError(f"{self.transport.name}: speaks protocol {info.protocol}, this version "
                            f"speaks {protocol.PROTOCOL}; flash a bitstream of this version")
        self._check_design(info.design)
        self._info = info
        return info

    def infer(self, p8: np.ndarray) -> Result:
        """Classify one image: pixels in 0..255 of any shape, or for `spikes` bytes of frames."""
        return self._infer(self._payload(p8))

    def infer_all(self, images: Iterable[np.ndarray]) -> Iterator[Result]:
        """Classify images in order; a duplex device gets the next while it infers one."""
        if not self._known().features.duplex:
            yield from (self.infer(p8) for p8 in images)
            return
        waiting: deque[bytes] = deque()

        def answered() -> Iterator[Result]:
            sending = sum(self._seconds(len(payload) + FRAME_BYTES) for payload in waiting)
            try:
                results = [self._result(self._reply(self._answer_bytes(), sending,
                                                    self._known().proof))]
                waiting.popleft()
            except _Broken:  # all that wait once more, one by one, when none can be answered late
                self._rest(sending + self.transport.timeout)
                results = [self._infer(payload) for payload in waiting]
                waiting.clear()
            yield from results

        for p8 in images:
            payload = self._payload(p8)
            self.transport.write(protocol.frame(protocol.SYNC_REQUEST, Command.INFER, payload))
            waiting.append(payload)
            if len(waiting) == AHEAD:
                yield from answered()
        while waiting:
            yield from answered()

    def set_divisor(self, divisor: int) -> None:
        """Change the rate to clock_hz / divisor on both sides, and check that it works."""
        limits = protocol.number_limits(Command.DIVISOR, self._known())
        if divisor not in limits:
            raise ConfigError(f"--baud must be in {math.ceil(self.clock_hz / limits[-1])}.."
                              f"{self.clock_hz / limits[0]:.0f} for this device, not "
                              f"{self.clock_hz / divisor:.0f}")
        self._ask(Command.DIVISOR, struct.pack("<H", divisor), 0)
        self.transport.read(1, 4 / self.transport.baud)  # the device switches after its stop bit
        self.transport.baud = self.clock_hz / divisor
        self.info()

    def set_steps(self, num_steps: int) -> None:
        """Let inferences have `num_steps` timesteps from now on."""
        self._set(Command.STEPS, "the number of timesteps", num_steps)

    def set_shift(self, shift: int) -> None:
        """Let bitstreams be L >> shift long from now on."""
        self._set(Command.SHIFT, "the shift of bitstream lengths", shift)

    def restore(self) -> None:
        """Undo `set_steps` and `set_shift`, which a host before may have left."""
        info = self._known()
        if info.features.steps:
            self.set_steps(info.num_steps)
        if info.features.max_shift:
            self.set_shift(0)

    def weights(self) -> Status:
        """OK if the weights are loaded, else why they are not."""
        self._check_built(Command.WEIGHTS)
        try:
            self._ask(Command.WEIGHTS, b"", 0)
        except NotLoadedError as error:
            return error.status
        return Status.OK

    def wait_for_weights(self, patience: float) -> None:
        """Return when the weights are loaded; NotLoadedError if they are not in so many seconds.

        Nothing to wait for with a network that needs none.
        """
        if not self._known().features.weights:
            return
        pause = _LOOK / self.transport.baud
        for look in range(1 + math.ceil(patience / pause)):
            if look:
                self.transport.read(1, pause)
            status = self.weights()
            if status == Status.OK:
                return
            if status != Status.LOADING:
                break
        raise NotLoadedError(self.transport.name, status)

    def load(self, image: bytes, sent: Callable[[int], None] = lambda count: None) -> None:
        """Send an image of weights (`hdl.flash_image`), all of it; `sent` is told of its bytes.

        After a failure once more, from its beginning. Raises NotLoadedError if the device does not
        take it for its own.
        """
        self._check_built(Command.WEIGHTS)
        image += bytes(-len(image) % PIECE_BYTES)
        failure = None
        for _ in range(2):
            if failure is not None:
                self._rest()
            try:
                self._exchange(Command.FORGET, b"", 0)
                for start in range(0, len(image), PIECE_BYTES):
                    sent(start)
                    self._exchange(Command.LOAD, image[start:start + PIECE_BYTES], 0)
                sent(len(image))
                break
            except _Broken as error:
                failure = error
        else:
            raise NoAnswerError(f"{self.transport.name}: LOAD failed twice: {failure}")
        if (status := self.weights()) != Status.OK:
            raise NotLoadedError(self.transport.name, status)

    def stats(self) -> Stats:
        """What the device has counted."""
        self._check_built(Command.STATS)
        data = self._ask(Command.STATS, b"", 2 * protocol.WORD_BYTES, words=True)
        cycles, failed, *spikes = struct.unpack(f"<{len(data) // protocol.WORD_BYTES}I", data)
        return Stats(cycles, failed, tuple(spikes))

    def close(self) -> None:
        self.transport.close()

    def _known(self) -> Info:
        return self._info or self.info()

    def _set(self, command: Command, what: str, number: int) -> None:
        self._check_built(command)
        limits = protocol.number_limits(command, self._known())
        if number not in limits:
            raise ConfigError(f"{what} must be in {limits[0]}..{limits[-1]}, for which the device "
                              f"was compiled, not {number}")
        self._ask(command, struct.pack("<H", number), 0)

    def _check_built(self, command: Command) -> None:
        if command not in self._known().features.commands():
            what, cure = _BUILT_WITHOUT[command]
            raise ConfigError(f"{self.transport.name}: its design was built without {what}; build "
                              f"one that has them, with {cure}")

    def _payload(self, p8: np.ndarray) -> bytes:
        """The payload of an image; ConfigError if it is none."""
        info = self._known()
        pixels = np.asarray(p8).reshape(-1)
        bits = info.features.pixel_bits
        if pixels.dtype.kind not in "iu":
            raise ConfigError(f"an image must have integer pixels, not {pixels.dtype}")
        if -(-pixels.size * bits // 8) != info.image_bytes:
            fits = info.image_bytes * 8 // bits
            raise ConfigError(f"an image must have {fits} pixels for this design, not "
                              f"{pixels.size}")
        if pixels.min() < 0 or pixels.max() > 255:
            raise ConfigError("pixels must be in 0..255, not "
                              f"{pixels.min()}..{pixels.max()}")
        step = 255 // ((1 << bits) - 1)
        odd = pixels[pixels % step != 0]
        if odd.size:
            raise ConfigError(f"pixels must be multiples of {step} for this device, which takes "
                              f"{bits} bits each, not {odd[0]}; round them first")
        return pack_pixels(pixels // step, bits)

    def _infer(self, payload: bytes) -> Result:
        return self._result(self._ask(Command.INFER, payload, self._answer_bytes(),
                                      self._known().proof))

    def _answer_bytes(self) -> int:
        """Bytes of a reply to INFER, without those of a proof build."""
        return protocol.infer_reply_bytes(self._known().n_classes)

    def _result(self, data: bytes) -> Result:
        design = data[1:protocol.TAG_BYTES].hex()
        self._check_design(design)
        end = self._answer_bytes() - 1
        scores = tuple(int.from_bytes(data[k:k + protocol.SCORE_BYTES], "little", signed=True)
                       for k in range(protocol.TAG_BYTES, end, protocol.SCORE_BYTES))
        words = (len(data) - end - 1) // protocol.WORD_BYTES
        return Result(data[end], scores, design, struct.unpack(f"<{words}I", data[end + 1:]))

    def _check_design(self, design: str) -> None:
        if self.expect is not None and not self.expect.startswith(design):
            raise LinkError(f"{self.transport.name}: runs design {design}, not "
                            f"{self.expect[:len(design)]}; flash this run's bitstream "
                            "(spikeloom flash), or choose its --run")

    def _ask(self, command: Command, payload: bytes, wanted: int, words: bool = False) -> bytes:
        """The payload of the reply; after a failure once more, on a line brought to rest.

        `words` may follow the `wanted` bytes.
        """
        failure = None
        for _ in range(2):
            if failure is not None:
                self._rest()
            try:
                return self._exchange(command, payload, wanted, words)
            except _Broken as error:
                failure = error
        raise NoAnswerError(f"{self.transport.name}: {command.name} failed twice: {failure}")

    def _exchange(self, command: Command, payload: bytes, wanted: int, words: bool = False
                  ) -> bytes:
        """Send a request once, and read its reply."""
        request = protocol.frame(protocol.SYNC_REQUEST, command, payload)
        self.transport.write(request)
        return self._reply(wanted, self._seconds(len(request)), words)

    def _reply(self, wanted: int, sending: float, words: bool = False) -> bytes:
        """Read one reply; skips what comes before its sync byte."""
        wait = sending + self.transport.timeout
        skipped = 0
        while (byte := self.transport.read(1, wait)) != bytes([protocol.SYNC_REPLY]):
            skipped += len(byte)
            if not byte or skipped > 4096:
                what = f"{skipped} bytes of something else" if skipped else "no answer"
                raise _Broken(f"{what} within {self.transport.timeout:g} s at "
                              f"{self.transport.baud:.0f} baud; check that the board is flashed, "
                              "connected here, and at this rate (its reset restores it)")
        header = self._read(3)
        status, length = struct.unpack("<BH", header)
        more = length - wanted
        right = more == 0 or (words and more > 0 and more % protocol.WORD_BYTES == 0)
        if length and not right:
            raise _Broken(f"a reply of {length} bytes, not {wanted}; another design or a bad line")
        body = self._read(length + CHECKSUM_BYTES)
        if crc16(header + body):
            raise _Broken("wrong checksum in the reply; try a shorter cable or a lower --baud, or "
                          "flash a bitstream of this version")
        if status in _NO_WEIGHTS and self._info is not None and self._info.features.weights:
            raise NotLoadedError(self.transport.name, Status(status))
        if status != Status.OK:
            known = status in _ADVICE
            text = _ADVICE[Status(status)] if known else "of another protocol version"
            raise _Broken(f"status {Status(status).name if known else status}: {text}")
        if not right:
            raise _Broken(f"a reply of {length} bytes, not {wanted}")
        return body[:-CHECKSUM_BYTES]

    def _read(self, n: int) -> bytes:
        data = self.transport.read(n, self._seconds(n) + self.transport.timeout)
        if len(data) < n:
            raise _Broken("the reply broke off; check the cable")
        return data

    def _seconds(self, n: int) -> float:
        """Time on the line of n bytes, with a start bit's worth of waiting each."""
        return 11 * n / self.transport.baud

    def _rest(self, more: float = 0.0) -> None:
        """Wait until the device has given up on any half request, and drop what it sent.

        more: seconds in which it may still answer.
        """
        silence = 1.25 * (1 << protocol.SILENCE_BITS) / self.transport.baud + more
        for _ in range(64):
            if not self.transport.read(4096, silence):
                return
        raise LinkError(f"{self.transport.name}: keeps sending without being asked; "
                        "is it the port of this board?")
