"""cocotb bench: requests from another implementation of a UART, `cocotbext-uart`.

Sends what ``sent.bin`` holds, and writes what comes back, ``COUNT`` bytes, to ``received.bin``.
"""

import os
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Timer, with_timeout
from cocotbext.uart import UartSink, UartSource

PERIOD_NS = 10


@cocotb.test()
async def exchange(dut):
    baud = 1e9 / (PERIOD_NS * int(os.environ["DIVISOR"]))
    dut.rx.value = 1
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, "ns").start()
    await Timer(PERIOD_NS * 5 // 2, "ns")
    dut.rst.value = 0
    source, sink = UartSource(dut.rx, baud=baud), UartSink(dut.tx, baud=baud)
    folder = Path(os.environ["FOLDER"])
    await source.write((folder / "sent.bin").read_bytes())
    received = bytearray()
    while len(received) < int(os.environ["COUNT"]):
        received += await with_timeout(sink.read(1), 1, "ms")
    (folder / "received.bin").write_bytes(received)
