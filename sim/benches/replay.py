"""cocotb bench: images through the UART of a design, by the driver that also talks to boards.

Reads ``job.json`` and ``images.npz`` from the folder that SPIKELOOM_REPLAY names, and writes
``results.npz`` there. It compares nothing: the caller does, against the reference model.
"""

import json
import os
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.task import bridge, resume
from cocotb.triggers import Event, FallingEdge, First, Timer

from ..host import Device


class Pins:
    """A transport (see `sim.host`) on the pins rx and tx of a simulated design, 8N1.

    Its methods are called from the thread of the driver, and let simulated time pass.
    """

    name = "simulation"

    def __init__(self, dut, job: dict) -> None:
        self.dut = dut
        self.clock_hz = 1e9 / job["clock_ns"]
        self.baud = self.clock_hz / job["divisor"]
        self.timeout = job["timeout"]
        self.received = bytearray()
        self.arrived = Event()

    @property
    def bit_ns(self) -> int:
        return round(1e9 / self.baud)

    def write(self, data: bytes) -> None:
        resume(self._send)(bytes(data))

    def read(self, n: int, timeout: float) -> bytes:
        return resume(self._take)(n, timeout)

    def now(self) -> float:
        return cocotb.utils.get_sim_time("ns") / 1e9

    def close(self) -> None:
        """Nothing to do."""

    async def _send(self, data: bytes) -> None:
        await Timer(2 * self.bit_ns, "ns")  # the link is half duplex: its stop bit passes
        for byte in data:
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                self.dut.rx.value = bit
                await Timer(self.bit_ns, "ns")

    async def _take(self, n: int, timeout: float) -> bytes:
        end = cocotb.utils.get_sim_time("ns") + 1e9 * timeout
        while len(self.received) < n:
            left = round(end - cocotb.utils.get_sim_time("ns"))
            if left <= 0:
                break
            self.arrived.clear()
            await First(self.arrived.wait(), Timer(left, "ns"))
        data = bytes(self.received[:n])
        del self.received[:n]
        return data

    async def listen(self) -> None:
        while True:
            await FallingEdge(self.dut.tx)
            await Timer(self.bit_ns * 3 // 2, "ns")
            value = 0
            for k in range(8):
                value |= int(self.dut.tx.value) << k
                await Timer(self.bit_ns, "ns")
            self.received.append(value)
            self.arrived.set()


def infer_all(device: Device, images: np.ndarray, divisor: int | None, shift: int,
              weights: bytes) -> list:
    """The driver's part: bring the line to its highest rate, set the length, send every image.

    weights: an image of them, if they are to be sent first.
    """
    if divisor is not None:
        device.set_divisor(divisor)  # which asks what the device is, too
    if weights:
        device.load(weights)
    if shift:
        device.set_shift(shift)
    return list(device.infer_all(images))


@cocotb.test()
async def replay(dut) -> None:
    """Send every image, receive every reply."""
    folder = Path(os.environ["SPIKELOOM_REPLAY"])
    job = json.loads((folder / "job.json").read_text())
    with np.load(folder / "images.npz", allow_pickle=False) as data:
        images = data["images"]
    period = job["clock_ns"]
    weights = Path(job["weights"]).read_bytes() if job["weights"] else b""
    dut.rx.value = 1
    dut.rst.value = 1
    await Timer(period * 3 // 2, "ns")  # from here on, half a clock away from every rising edge
    for clocks in (*job["power_lost"], 1 + job["settle"]):
        dut.rst.value = 1
        await Timer(period, "ns")
        dut.rst.value = 0
        await Timer(period * clocks, "ns")
    pins = Pins(dut, job)
    cocotb.start_soon(pins.listen())
    device = Device(pins, expect=bytes.fromhex(job["design"]), clock_hz=pins.clock_hz)
    began, start = time.monotonic(), cocotb.utils.get_sim_time("ns")
    results = await bridge(infer_all)(device, images, job["fast_divisor"], job["shift"],
                                      weights)
    seconds = time.monotonic() - began
    now = cocotb.utils.get_sim_time("ns")
    np.savez(folder / "results.npz", scores=np.array([r.scores for r in results], np.int64),
             classes=np.array([r.cls for r in results], np.int64),
             crcs=np.array([r.crcs for r in results], np.uint32), seconds=seconds,
             clock_edges=int(2 * (now - start) / period))
