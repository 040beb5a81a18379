"""Requests and their replies over a transport, one at a time: frames, waiting, what went wrong.

The protocol's constants, frames and checksum come from `hdl.protocol`. A transport has
``write(data)``, ``read(n, timeout) -> bytes`` (fewer than n after `timeout` seconds), ``close()``,
``now()``, seconds of a clock (simulated ones where time is), a settable `baud`, a `name` for
messages, and `timeout`, how many seconds an inference may take: `serial_port`, `simulated`, `pins`,
and `benches.replay` in cocotb.
"""

import struct

from ..flow.errors import LinkError
from ..hdl import protocol
from ..hdl.checksum import crc16
from ..hdl.protocol import CHECKSUM_BYTES, Command, Status

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


class NoAnswerError(LinkError):
    """The device has not answered properly, twice."""


class NotLoadedError(LinkError):
    """The device has no weights, which is why it does not infer; status: why it has none."""

    def __init__(self, name: str, status: Status, waited: float = 0.0) -> None:
        since = f" after {waited:.2g} s" if waited and status == Status.LOADING else ""
        super().__init__(f"{name}: {status.name}{since}: {_NO_WEIGHTS[status]} {_HOW}")
        self.status = status


class Broken(Exception):
    """An exchange failed in a way that is worth one more try."""


class Exchange:
    """The host's end of a line: what is asked, and what comes back."""

    def __init__(self, transport) -> None:
        self.transport = transport

    def send(self, command: Command, payload: bytes) -> float:
        """Send a request; the seconds that it is on the line."""
        request = protocol.frame(protocol.SYNC_REQUEST, command, payload)
        self.transport.write(request)
        return self.seconds(len(request))

    def exchange(self, command: Command, payload: bytes, wanted: int, *, words: bool = False,
                 loaded: bool = False) -> bytes:
        """Send a request once, and read its reply (`reply`)."""
        return self.reply(wanted, self.send(command, payload), words=words, loaded=loaded)

    def reply(self, wanted: int, sending: float, *, words: bool = False, loaded: bool = False
              ) -> bytes:
        """The payload of the next reply, `wanted` bytes; skips what comes before its sync byte.

        sending: seconds until the request is out. words: some may follow the `wanted` bytes.
        loaded: the network's weights are loaded, so that it may answer that they are not, which is
        NotLoadedError. Whatever else is wrong is Broken.
        """
        self._sync(sending + self.transport.timeout)
        header = self._read(3)
        status, length = struct.unpack("<BH", header)
        more = length - wanted
        right = more == 0 or (words and more > 0 and more % protocol.WORD_BYTES == 0)
        if length and not right:
            raise Broken(f"a reply of {length} bytes, not {wanted}; another design or a bad line")
        body = self._read(length + CHECKSUM_BYTES)
        if crc16(header + body):
            raise Broken("wrong checksum in the reply; try a shorter cable or a lower --baud, or "
                         "flash a bitstream of this version")
        if status in _NO_WEIGHTS and loaded:
            raise NotLoadedError(self.transport.name, Status(status))
        if status != Status.OK:
            known = status in _ADVICE
            text = _ADVICE[Status(status)] if known else "of another protocol version"
            raise Broken(f"status {Status(status).name if known else status}: {text}")
        if not right:
            raise Broken(f"a reply of {length} bytes, not {wanted}")
        return body[:-CHECKSUM_BYTES]

    def rest(self, more: float = 0.0) -> None:
        """Wait until the device has given up on any half request, and drop what it sent.

        more: seconds in which it may still answer.
        """
        silence = 1.25 * (1 << protocol.SILENCE_BITS) / self.transport.baud + more
        for _ in range(64):
            if not self.transport.read(4096, silence):
                return
        raise LinkError(f"{self.transport.name}: keeps sending without being asked; "
                        "is it the port of this board?")

    def seconds(self, n: int) -> float:
        """Time on the line of n bytes, with a start bit's worth of waiting each."""
        return 11 * n / self.transport.baud

    def _sync(self, wait: float) -> None:
        skipped = 0
        while (byte := self.transport.read(1, wait)) != bytes([protocol.SYNC_REPLY]):
            skipped += len(byte)
            if not byte or skipped > 4096:
                what = f"{skipped} bytes of something else" if skipped else "no answer"
                raise Broken(f"{what} within {self.transport.timeout:g} s at "
                             f"{self.transport.baud:.0f} baud; check that the board is flashed, "
                             "connected here, and at this rate (its reset restores it)")

    def _read(self, n: int) -> bytes:
        data = self.transport.read(n, self.seconds(n) + self.transport.timeout)
        if len(data) < n:
            raise Broken("the reply broke off; check the cable")
        return data
