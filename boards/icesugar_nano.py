"""iCESugar-nano (Muse Lab): an iCE40LP1K-CM36 with an iCELink, which gives it clock and port."""

from .board import Board, register


def _platform():
    from amaranth_boards.icesugar_nano import ICESugarNanoPlatform

    return ICESugarNanoPlatform()


register(Board(
    name="icesugar_nano",
    title="iCESugar-nano",
    device="LP1K",
    package="CM36",
    clock_hz=12_000_000,  # of the iCELink after power-on (its README)
    make_platform=_platform,
    leds=(("led", 0),),
    programmer=("icesprog",),
    usb=(0x1D50, 0x602B),
    uart_port=0,
    notes="'icesprog -c 2' sets its clock back to 12 MHz, should it have been changed; copying "
          "top.bin to the iCELink's disk programs it, too",
))
