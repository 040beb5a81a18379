"""iCEBreaker (1BitSquared): an iCE40UP5K-SG48 at 12 MHz with an FT2232H."""

from .board import Board, register


def _platform():
    from amaranth_boards.icebreaker import ICEBreakerPlatform

    return ICEBreakerPlatform()


register(Board(
    name="icebreaker",
    title="iCEBreaker",
    device="UP5K",
    package="SG48",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=(("led_r", 0), ("led_g", 0)),
    usb=(0x0403, 0x6010),
    notes="the second port of the FT2232H is the UART",
))
