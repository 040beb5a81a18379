"""iCESugar (Muse Lab): an iCE40UP5K-SG48 at 12 MHz with an iCELink, which has a serial port."""

from .board import WEIGHTS_AT, Board, Flash, register


def _platform():
    from amaranth_boards.icesugar import ICESugarPlatform

    return ICESugarPlatform()


register(Board(
    name="icesugar",
    title="iCESugar",
    device="UP5K",
    package="SG48",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=tuple(("led", index) for index in range(3)),  # red, green, blue of one RGB LED
    buttons=(("switch", 0),),
    programmer=("icesprog",),
    usb=(0x1D50, 0x602B),
    uart_port=0,
    flash=Flash(programmer=("icesprog", "-o", hex(WEIGHTS_AT))),
    notes="its switches need the jumpers of PMOD4; copying top.bin to the iCELink's disk programs "
          "it, too",
))
