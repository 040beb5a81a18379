"""iCE40UP5K-B-EVN, Lattice's breakout board: an iCE40UP5K-SG48 at 12 MHz with an FT2232H."""

from .board import FT2232H, Board, Flash, register


def _platform():
    from amaranth_boards.ice40_up5k_b_evn import ICE40UP5KBEVNPlatform
    from amaranth_boards.resources import UARTResource

    platform = ICE40UP5KBEVNPlatform()
    platform.add_resources([UARTResource(0, rx="9", tx="7", conn=("j", 1))])
    return platform


register(Board(
    name="ice40_up5k_b_evn",
    title="iCE40UP5K-B-EVN",
    device="UP5K",
    package="SG48",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=tuple(("led", index) for index in range(3)),  # blue, green, red of one RGB LED
    buttons=(("switch", 0),),
    sram_programmer=("iceprog", "-S"),
    usb=FT2232H,
    flash=Flash(),
    notes="its jumpers choose flash or SRAM programming, see the board's guide; its FT2232H is "
          "wired for programming only: connect a 3.3 V serial adapter to header B (J2), 9 (RX of "
          "the board) and 7 (TX)",
))
