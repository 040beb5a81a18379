"""cocotb bench: images through the UART of a design, every membrane and spike recorded.

Reads ``job.json`` and ``images.npz`` from the folder that SPIKELOOM_REPLAY names, and writes
``results.npz`` there. It compares nothing: the caller does, against the reference model.
"""

import json
import os
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, Timer, with_timeout

from ...hdl import link


class Line:
    """A UART partner on the pins rx and tx, 8N1."""

    def __init__(self, dut, bit_ns: int) -> None:
        self.dut, self.bit_ns = dut, bit_ns

    async def send(self, data: bytes) -> None:
        for byte in data:
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                self.dut.rx.value = bit
                await Timer(self.bit_ns, "ns")

    async def receive(self, count: int) -> bytes:
        out = bytearray()
        for _ in range(count):
            await FallingEdge(self.dut.tx)
            await Timer(self.bit_ns // 2, "ns")
            value = 0
            for k in range(8):
                await Timer(self.bit_ns, "ns")
                value |= int(self.dut.tx.value) << k
            out.append(value)
            await Timer(self.bit_ns // 2, "ns")
        await Timer(2 * self.bit_ns, "ns")  # the link is half duplex: let its stop bit pass
        return bytes(out)


class Monitor:
    """Records one layer at each of its commits."""

    def __init__(self, dut, layer: dict, num_steps: int, batch: int) -> None:
        self.scope = getattr(dut.core, layer["name"])
        self.fires, size = layer["fires"], layer["neurons"]
        self.cells = [getattr(self.scope, f"neuron{j}").v for j in range(size)]
        self.v = np.zeros((num_steps, batch, size), np.int64)
        self.spikes = np.zeros((num_steps, batch, size), np.int64)
        self.current = np.zeros((num_steps, batch, size), np.int64)
        self.excess = layer["excess"]
        self.at = [0, 0]

    async def count(self, clock) -> None:
        """Add up the counts of each timestep, sampled before every clock edge that uses them."""
        counts = [getattr(self.scope, f"neuron{j}").count for j in range(len(self.cells))]
        while True:
            await FallingEdge(clock)
            if int(self.scope.accumulating.value):
                t, image = self.at
                self.current[t, image] += [count.value.to_unsigned() for count in counts]

    async def watch(self) -> None:
        size = len(self.cells)
        while True:
            await RisingEdge(self.scope.committed)
            await ReadOnly()
            t, image = self.at
            self.current[t, image] -= self.excess
            self.v[t, image] = [cell.value.to_signed() for cell in self.cells]
            if self.fires:
                word = self.scope.o__payload.value.to_unsigned()
                self.spikes[t, image] = [word >> j & 1 for j in range(size)]
            self.at[0] += 1


@cocotb.test()
async def replay(dut) -> None:
    """Send every image, receive every reply."""
    folder = Path(os.environ["SPIKELOOM_REPLAY"])
    job = json.loads((folder / "job.json").read_text())
    with np.load(folder / "images.npz", allow_pickle=False) as data:
        images = data["images"]
    period = job["clock_ns"]
    dut.rx.value = 1
    dut.rst.value = 1
    Clock(dut.clk, period, "ns").start()
    await Timer(period * 5 // 2, "ns")  # from here on, half a clock away from every edge
    dut.rst.value = 0
    monitors = [Monitor(dut, layer, job["num_steps"], len(images)) for layer in job["layers"]]
    for monitor in monitors:
        cocotb.start_soon(monitor.watch())
        if job["currents"]:
            cocotb.start_soon(monitor.count(dut.clk))
    line = Line(dut, job["divisor"] * period)
    wanted = 6 + link.infer_reply_bytes(job["classes"])
    scores = np.zeros((len(images), job["classes"]), np.int64)
    classes = np.zeros(len(images), np.int64)
    began = time.monotonic()
    for image, pixels in enumerate(images):
        for monitor in monitors:
            monitor.at = [0, image]
        reply = cocotb.start_soon(line.receive(wanted))
        await line.send(link.frame(link.SYNC_REQUEST, link.Command.INFER, pixels.tobytes()))
        data = await with_timeout(reply, 100, "ms")
        assert data[0] == link.SYNC_REPLY and data[1] == link.Status.OK, data.hex()
        assert link.crc16(data[1:]) == 0, data.hex()
        body = data[4 + link.TAG_BYTES:-2]
        scores[image] = [int.from_bytes(body[k:k + 3], "little", signed=True)
                         for k in range(0, 3 * job["classes"], 3)]
        classes[image] = body[-1]
        assert all(monitor.at[0] == job["num_steps"] for monitor in monitors), image
    seconds = time.monotonic() - began
    now = cocotb.utils.get_sim_time("ns")
    arrays = {f"v{k}": m.v for k, m in enumerate(monitors)}
    arrays |= {f"current{k}": m.current for k, m in enumerate(monitors)}
    arrays |= {f"spikes{k}": m.spikes for k, m in enumerate(monitors)}
    np.savez(folder / "results.npz", scores=scores, classes=classes, seconds=seconds,
             clock_edges=int(2 * now / period), **arrays)
