"""The gateware in Amaranth's simulator, as a transport of `host`."""

from collections import deque

from amaranth.sim import Simulator

from .host import CLOCK_HZ


class SimTransport:
    """The pins of a `hdl.top.Top`, best with divisor 4; `timeout` is simulated time.

    Synchronous: time passes only within `read`.
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
