"""What link and UART cost, by Yosys' count, where there is nothing behind them."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from spikeloom.flow import blocks
from spikeloom.hdl.link import Link
from spikeloom.hdl.protocol import Features
from spikeloom.hdl.uart import FullDuplex, HalfDuplex


@pytest.mark.parametrize("features,most", [
    (Features(), 275), (Features(steps=True), 285), (Features(duplex=True), 305)])
def test_a_link_stays_small(features, most):
    """64 pixels, 10 classes, 8 timesteps; README quotes what this measures."""
    m = Module()
    m.submodules.link = link = Link(64, 10, 8, bytes.fromhex("3ad1907fe2c85b44"),
                                    features=features)
    m.submodules.uart = uart = (FullDuplex if features.duplex else HalfDuplex)(8)
    wiring.connect(m, uart.o, link.i)
    wiring.connect(m, link.o, uart.i)
    m.d.comb += [
        uart.divisor.eq(link.divisor), link.tick.eq(uart.tick),
        link.i_bit.eq(uart.o_bit), link.i_strobe.eq(uart.o_strobe),
        link.o_bit.eq(uart.i_bit), link.o_strobe.eq(uart.i_strobe),
    ]
    inner = {"i", "o", "tick", "divisor", "i_bit", "i_strobe", "o_bit", "o_strobe", "failed"}
    ports = [signal for path, _, signal in link.signature.flatten(link)
             if path[0] not in inner and isinstance(signal, Signal)]
    found = blocks.count(m, [uart.rx, uart.tx, *ports])[""]
    assert 200 < found.lut4 <= most
