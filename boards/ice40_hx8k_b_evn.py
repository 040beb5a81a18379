"""iCE40HX8K-B-EVN, Lattice's breakout board: an iCE40HX8K-CT256 at 12 MHz with an FT2232H."""

from .board import FT2232H, Board, register


def _platform():
    from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform

    return ICE40HX8KBEVNPlatform()


register(Board(
    name="ice40_hx8k_b_evn",
    title="iCE40HX8K-B-EVN",
    device="HX8K",
    package="CT256",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=tuple(("led", index) for index in range(8)),
    sram_programmer=("iceprog", "-S"),
    usb=FT2232H,
    uart_port=1,
    notes="its jumpers choose flash or SRAM programming, see the board's guide",
))
