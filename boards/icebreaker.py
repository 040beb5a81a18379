"""iCEBreaker (1BitSquared): an iCE40UP5K-SG48 at 12 MHz with an FT2232H."""

from .board import FT2232H, Board, Flash, register


def _platform():
    from amaranth_boards.icebreaker import ICEBreakerPlatform

    platform = ICEBreakerPlatform()
    platform.add_resources(platform.break_off_pmod)
    return platform


register(Board(
    name="icebreaker",
    title="iCEBreaker",
    device="UP5K",
    package="SG48",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=(("led_r", 0), ("led_g", 0), *(("led", index) for index in range(2, 7))),
    buttons=(("button", 0),),
    usb=FT2232H,
    uart_port=1,
    flash=Flash(),
    notes="the class shows on the break-off section with its five LEDs, on PMOD2",
))
