"""TinyFPGA BX: an iCE40LP8K-CM81 at 16 MHz, its USB wired to the FPGA itself."""

from .board import Board, register


def _platform():
    from amaranth_boards.resources import UARTResource
    from amaranth_boards.tinyfpga_bx import TinyFPGABXPlatform

    platform = TinyFPGABXPlatform()
    platform.add_resources([UARTResource(0, rx="1", tx="2", conn=("gpio", 0))])
    return platform


register(Board(
    name="tinyfpga_bx",
    title="TinyFPGA BX",
    device="LP8K",
    package="CM81",
    clock_hz=16_000_000,
    make_platform=_platform,
    leds=(("led", 0),),
    programmer=("tinyprog", "-p"),
    usb=(0x1D50, 0x6130),
    notes="no UART chip, and its USB is the bootloader's: connect a 3.3 V serial adapter to pins 1 "
          "(RX of the board) and 2 (TX); press its button to reach the bootloader",
))
