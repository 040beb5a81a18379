"""iCEstick (Lattice): an iCE40HX1K-TQ144 at 12 MHz with an FT2232H, on a USB stick."""

from .board import Board, register


def _platform():
    from amaranth_boards.icestick import ICEStickPlatform

    return ICEStickPlatform()


register(Board(
    name="icestick",
    title="iCEstick",
    device="HX1K",
    package="TQ144",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=tuple(("led", index) for index in range(5)),
    usb=(0x0403, 0x6010),
    notes="the second port of the FT2232H is the UART",
))
