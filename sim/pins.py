"""The pins of a netlist in Python (`cells`), as a transport of `host`.

8N1, a bit takes a whole number of clocks.
"""

from collections.abc import Callable

from .cells import Circuit


class NetlistPins:
    """See `sim.host` for what a transport is. Time passes in `write` and `read`, clock by clock.

    settle: clocks of the power-on reset, which pass before the first byte. mark(name) is called
    with "request" before the first bit of one, with "sent" in the middle of its last bit, when the
    device has it, and with "answered" in the clock in which the reply to it begins.
    """

    name = "simulation"

    def __init__(self, circuit: Circuit, rx: int, tx: int, *, divisor: int, clock_hz: float,
                 timeout: float, settle: int, mark: Callable[[str], None] = lambda name: None
                 ) -> None:
        self.circuit, self.rx, self.tx = circuit, rx, tx
        self.clock_hz, self.timeout, self.mark = clock_hz, timeout, mark
        self.divisor = divisor
        #: Bytes on the line so far.
        self.sent = self.taken = 0
        self._received = bytearray()
        self._receiving = -1  # clocks since a start bit began
        self._byte = 0
        self._waiting = False
        circuit.set(rx, 1)
        self.run(settle)

    @property
    def baud(self) -> float:
        return self.clock_hz / self.divisor

    @baud.setter
    def baud(self, value: float) -> None:
        self.divisor = round(self.clock_hz / value)

    def write(self, data: bytes) -> None:
        """The rest of the stop bit before passes first."""
        rest = self.divisor - self.divisor // 2
        self.mark("request")
        self.run(rest)
        for index, byte in enumerate(data, 1):
            for bit in (0, *(byte >> k & 1 for k in range(8))):
                self.circuit.set(self.rx, bit)
                self.run(self.divisor)
            self.circuit.set(self.rx, 1)
            if index < len(data):
                self.run(self.divisor)
        self.run(self.divisor - rest)
        self.sent += len(data)
        self._waiting = True
        self.mark("sent")

    def read(self, n: int, timeout: float) -> bytes:
        """Returns in the middle of the last byte's stop bit."""
        end = self.circuit.clock + round(timeout * self.clock_hz)
        while len(self._received) < n and self.circuit.clock < end:
            self.run(1)
        data = bytes(self._received[:n])
        del self._received[:n]
        return data

    def now(self) -> float:
        return self.circuit.clock / self.clock_hz

    def close(self) -> None:
        """Nothing to do."""

    def run(self, clocks: int) -> None:
        """Let so many clocks pass."""
        circuit, values = self.circuit, self.circuit.values
        for _ in range(clocks):
            circuit.tick()
            level = values[self.tx]
            if self._receiving < 0:
                if not level:
                    self._receiving, self._byte = 0, 0
                    if self._waiting:
                        self._waiting = False
                        self.mark("answered")
                continue
            self._receiving += 1
            bit, phase = divmod(self._receiving, self.divisor)
            if phase != self.divisor // 2:
                continue
            if 1 <= bit <= 8:
                self._byte |= level << bit - 1
            elif bit == 9:
                self._received.append(self._byte)
                self._receiving = -1
                self.taken += 1
