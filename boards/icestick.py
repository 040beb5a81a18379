"""iCEstick (Lattice): an iCE40HX1K-TQ144 at 12 MHz with an FT2232H, on a USB stick."""

from .board import FT2232H, Board, register


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
    leds=tuple(("led", index) for index in (4, 0, 1, 2, 3)),  # the green one in the middle first
    usb=FT2232H,
    uart_port=1,
))
