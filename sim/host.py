"""The host's side of the link: one `Device` over a serial port, or over simulated gateware.

`exchange` has what goes over the line, and says what a transport is. Whatever goes wrong on the way
is a LinkError of one line.
"""

import math
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from ..flow.errors import ConfigError, LinkError
from ..hdl import protocol
from ..hdl.protocol import FRAME_BYTES, PIECE_BYTES, Command, Info, Status
from .answers import Result, Stats, image_payload, unpack_result, unpack_stats
from .exchange import Broken, Exchange, NoAnswerError, NotLoadedError
from .rates import CLOCK_HZ

__all__ = ["Device", "NoAnswerError", "NotLoadedError", "Result", "Stats"]

#: Requests that a duplex device has at once: the one that it serves, and the next.
AHEAD = 2
#: Images in a row that a duplex device gets before all of them must be answered: replies have no
#: number, so only then is it sure that each is the reply to its own image.
BATCH = 32
#: Bit times between two looks at weights that are being loaded.
_LOOK = 1000
#: Times that a device may lose its weights within one inference.
_LOSSES = 3
#: What a link may lack, and what has it.
_BUILT_WITHOUT = {
    Command.STEPS: ("run-time timesteps", "'--link steps' of synth, or of infer --sim"),
    Command.SHIFT: ("run-time bitstream lengths", "'synth --max-shift'"),
    Command.STATS: ("counters", "'--link counters' of synth, or of infer --sim"),
    Command.WEIGHTS: ("weights that are loaded", "'synth' with a layer whose memory is spram"),
}


class Device:
    """A device behind a transport.

    expect: the design hash (8 bytes) it must answer with, None for any. clock_hz: its clock.
    patience: seconds that its weights take from a reset on, at most, for which an inference waits
    where they turn out not to be loaded (any more). reset_divisor: clocks a bit after a reset, by
    default those at which `set_divisor` finds it.

    A device that loses its power forgets its rate, timesteps and lengths; where it is noticed,
    since an answer is missing, they are set again before it is asked again.
    """

    def __init__(self, transport, *, expect: bytes | None = None,
                 clock_hz: float = CLOCK_HZ, patience: float = 0.0,
                 reset_divisor: int | None = None) -> None:
        self._line = Exchange(transport)
        self.expect = expect[:protocol.DESIGN_BYTES].hex() if expect is not None else None
        self.clock_hz, self.patience, self.reset_divisor = clock_hz, patience, reset_divisor
        self._info: Info | None = None
        self._numbers: dict[Command, int] = {}
        self._rates: tuple[float, int] | None = None  # after a reset; the divisor chosen since

    @property
    def transport(self):
        return self._line.transport

    @transport.setter
    def transport(self, transport) -> None:
        self._line.transport = transport

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
        return self._infer(image_payload(self._known(), p8))

    def infer_all(self, images: Iterable[np.ndarray]) -> Iterator[Result]:
        """Classify images in order; a duplex device gets the next while it infers one."""
        if not self._known().features.duplex:
            yield from (self.infer(p8) for p8 in images)
            return
        payloads = (image_payload(self._known(), p8) for p8 in images)
        while batch := list(islice(payloads, BATCH)):
            try:
                results = self._piped(batch)
            except (Broken, NotLoadedError):  # once more, one by one, when nothing can come late
                sending = AHEAD * self._line.seconds(len(batch[0]) + FRAME_BYTES)
                self._line.rest(sending + self.transport.timeout)
                self.settle()  # it may have been reset, and answers as before all the same
                results = map(self._infer, batch)
            yield from results

    def set_divisor(self, divisor: int) -> None:
        """Change the rate to clock_hz / divisor on both sides, and check that it works."""
        limits = protocol.number_limits(Command.DIVISOR, self._known())
        if divisor not in limits:
            raise ConfigError(f"--baud must be in {math.ceil(self.clock_hz / limits[-1])}.."
                              f"{self.clock_hz / limits[0]:.0f} for this device, not "
                              f"{self.clock_hz / divisor:.0f}")
        before = self._rates
        self._ask(Command.DIVISOR, struct.pack("<H", divisor), 0)
        reset_baud = before[0] if before else self.transport.baud
        if self.reset_divisor is not None:
            reset_baud = self.clock_hz / self.reset_divisor
        self._rates = reset_baud, divisor
        self._at_divisor(divisor)
        try:
            self.info()
        except LinkError:
            self._rates = before
            raise

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
        self._numbers.clear()

    def settle(self) -> None:
        """Set timesteps and lengths again: of a device that nobody has asked for a while."""
        for command, number in self._numbers.items():
            self._ask(command, struct.pack("<H", number), 0)

    def rest(self) -> None:
        """Bring the line to rest after an inference that was interrupted."""
        self._line.rest(self.transport.timeout)

    def weights(self) -> Status:
        """OK if the weights are loaded, else why they are not."""
        self._check_built(Command.WEIGHTS)
        try:
            self._ask(Command.WEIGHTS, b"", 0)
        except NotLoadedError as error:
            return error.status
        return Status.OK

    def wait_for_weights(self, patience: float,
                         waited: Callable[[float], None] = lambda seconds: None) -> None:
        """Return when the weights are loaded; NotLoadedError if they are not in so many seconds.

        Nothing to wait for with a network that needs none. `waited` is told how long it has been.
        """
        if not self._known().features.weights:
            return
        began = self.transport.now()
        while True:
            waited(seconds := self.transport.now() - began)
            status = self.weights()
            if status == Status.OK:
                return
            if status != Status.LOADING or seconds >= patience:
                raise NotLoadedError(self.transport.name, status, seconds)
            self.transport.read(1, _LOOK / self.transport.baud)

    def load(self, image: bytes, sent: Callable[[int], None] = lambda count: None) -> None:
        """Send an image of weights (`hdl.flash_image`), all of it; `sent` is told of its bytes.

        After a failure once more, from its beginning, and where the device did not get all of one
        since it was reset meanwhile. Raises NotLoadedError if it does not take it for its own.
        """
        self._check_built(Command.WEIGHTS)
        image += bytes(-len(image) % PIECE_BYTES)
        failure, status = None, None
        for _ in range(2):
            if failure is not None:
                self._line.rest()
            try:
                self._exchange(Command.FORGET, b"", 0)
                for start in range(0, len(image), PIECE_BYTES):
                    sent(start)
                    self._exchange(Command.LOAD, image[start:start + PIECE_BYTES], 0)
                sent(len(image))
            except Broken as error:
                failure = error
                continue
            if (status := self.weights()) == Status.OK:
                return
            if status not in (Status.LOADING, Status.MISSING, Status.DAMAGED):
                break
        if status is not None:
            raise NotLoadedError(self.transport.name, status)
        raise NoAnswerError(f"{self.transport.name}: LOAD failed twice: {failure}")

    def stats(self) -> Stats:
        """What the device has counted."""
        self._check_built(Command.STATS)
        data = self._ask(Command.STATS, b"", 2 * protocol.WORD_BYTES, words=True)
        return unpack_stats(data)

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
        self._numbers[command] = number

    def _check_built(self, command: Command) -> None:
        if command not in self._known().features.commands():
            what, cure = _BUILT_WITHOUT[command]
            raise ConfigError(f"{self.transport.name}: its design was built without {what}; build "
                              f"one that has them, with {cure}")

    def _infer(self, payload: bytes) -> Result:
        """One inference; waits for weights that the device does not have (yet, or any more)."""
        for loss in range(1 + _LOSSES):
            try:
                return self._result(self._ask(Command.INFER, payload, self._answer_bytes(),
                                              self._known().proof))
            except NotLoadedError as error:
                if error.status != Status.LOADING or not self.patience or loss == _LOSSES:
                    raise
                self.wait_for_weights(self.patience)
                self.settle()
        raise AssertionError

    def _piped(self, batch: list[bytes]) -> list[Result]:
        """Inferences of which each is sent while the one before is computed; Broken if one fails.
        """
        info, results, waiting = self._known(), [], deque()
        for index, payload in enumerate(batch):
            waiting.append(self._line.send(Command.INFER, payload))
            while len(waiting) == AHEAD or (waiting and index == len(batch) - 1):
                results.append(self._result(self._line.reply(
                    self._answer_bytes(), sum(waiting), words=info.proof,
                    loaded=info.features.weights)))
                waiting.popleft()
        return results

    def _answer_bytes(self) -> int:
        """Bytes of a reply to INFER, without those of a proof build."""
        return protocol.infer_reply_bytes(self._known().n_classes)

    def _result(self, data: bytes) -> Result:
        result = unpack_result(self._known(), data)
        self._check_design(result.design)
        return result

    def _check_design(self, design: str) -> None:
        if self.expect is not None and not self.expect.startswith(design):
            raise LinkError(f"{self.transport.name}: runs design {design}, not "
                            f"{self.expect[:len(design)]}; flash this run's bitstream "
                            "(spikeloom flash), or choose its --run")

    def _ask(self, command: Command, payload: bytes, wanted: int, words: bool = False) -> bytes:
        """The payload of the reply; after a failure once more, on a line brought to rest.

        `words` may follow the `wanted` bytes. If the rate was changed, a third time at the one
        after a reset.
        """
        failure = None
        for attempt in range(3 if self._rates else 2):
            try:
                if failure is not None:
                    self._line.rest()
                    self._again(command, revive=attempt == 2)
                return self._exchange(command, payload, wanted, words)
            except Broken as error:
                failure = failure if attempt == 2 else error
        raise NoAnswerError(f"{self.transport.name}: {command.name} failed twice: {failure}")

    def _again(self, command: Command, revive: bool) -> None:
        """What a device may have lost is set anew, before it is asked again."""
        if revive:
            reset_baud, divisor = self._rates
            self.transport.baud = reset_baud
            self._line.rest()
            try:
                self._exchange(Command.DIVISOR, struct.pack("<H", divisor), 0)
            finally:
                self._at_divisor(divisor)
        if command == Command.INFER:
            for other, number in self._numbers.items():
                self._exchange(other, struct.pack("<H", number), 0)

    def _at_divisor(self, divisor: int) -> None:
        """Go on at a rate; the device switches after its stop bit."""
        self.transport.read(1, 4 / self.transport.baud)
        self.transport.baud = self.clock_hz / divisor

    def _exchange(self, command: Command, payload: bytes, wanted: int, words: bool = False
                  ) -> bytes:
        loaded = self._info is not None and self._info.features.weights
        return self._line.exchange(command, payload, wanted, words=words, loaded=loaded)
