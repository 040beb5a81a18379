"""The gateware in Amaranth's simulator, as a transport of `host`."""

from collections import deque

from amaranth.sim import Simulator

from .rates import CLOCK_HZ
from .spi_flash import SpiFlash


class SimTransport:
    """The pins of a `hdl.top.Top`, best with divisor 4; `timeout` is simulated time.

    Synchronous: time passes only within `read`. flash: of a design that reads one.
    """

    name = "simulation"

    def __init__(self, top, *, clock_hz: float = CLOCK_HZ, timeout: float = 0.1,
                 flash: SpiFlash | None = None) -> None:
        assert (flash is not None) == hasattr(top, "flash"), "a flash is for a design that reads it"
        self.timeout = timeout
        self.clock_hz = clock_hz
        self.baud = clock_hz / top.link.divisor.init
        self._top = top
        self._now = 0.0
        self._to_send: deque[int] = deque()
        self._received = bytearray()
        self._sim = Simulator(top)
        self._sim.add_clock(1 / clock_hz)
        for bench in self._benches():
            self._sim.add_testbench(bench, background=True)
        if flash is not None:
            attach(self._sim, top.flash, flash, clock_hz)
        self._sim.advance()  # Python warns of testbenches that never ran

    def _benches(self) -> list:
        """What runs beside the design."""
        return [self._send, self._receive]

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

    def now(self) -> float:
        return self._now

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


def attach(simulator: Simulator, pins, flash: SpiFlash, clock_hz: float) -> None:
    """Connect a flash to the pins (`hdl.flash_reader.flash_signature`) of a simulated design."""
    async def answer(ctx) -> None:
        clocks = 0
        while True:
            if flash.reads and ctx.get(pins.cs_n):  # not wanted any more, for all one knows
                await ctx.negedge(pins.cs_n)
                clocks += round(clock_hz)
            else:
                await ctx.tick()  # and all that its edge changes has changed
                clocks += 1
            levels = ctx.get(pins.cs_n), ctx.get(pins.clk), ctx.get(pins.copi)
            ctx.set(pins.cipo, flash.pins(*levels, clocks / clock_hz))

    simulator.add_testbench(answer, background=True)
