"""iCEBreaker bitsy (1BitSquared): an iCE40UP5K-SG48 at 12 MHz, its USB wired to the FPGA itself."""

from .board import Board, Flash, register


def _platform():
    from amaranth_boards.icebreaker_bitsy import ICEBreakerBitsyPlatform
    from amaranth_boards.resources import UARTResource

    platform = ICEBreakerBitsyPlatform()
    platform.add_resources([UARTResource(0, rx="0", tx="1", conn=("edge", 0))])
    return platform


register(Board(
    name="icebreaker_bitsy",
    title="iCEBreaker bitsy",
    device="UP5K",
    package="SG48",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=(("led_r", 0), ("led_g", 0)),
    buttons=(("button", 0),),
    # Its bootloader: what amaranth-boards programs, 1d50:6146.
    programmer=("dfu-util", "-d", "1d50:6146", "-a", "0", "-R", "-D"),
    usb=(0x1D50, 0x6146),
    # Its bootloader's second part, meant for the firmware of a soft processor: 128 kB.
    flash=Flash(weights_at=0xA0000, one_image=False,
                programmer=("dfu-util", "-d", "1d50:6146", "-a", "1", "-D")),
    notes="no UART chip: connect a 3.3 V serial adapter to edge pins P0 (RX of the board) and P1 "
          "(TX); press and hold the button to reach the bootloader",
))
