"""UPduino v3 (tinyVision.ai): an iCE40UP5K-SG48 with an FT232H and a 12 MHz oscillator.

The internal oscillator of the UP5K would need no jumper, but a UART needs a clock within 2 %, which
it does not promise; so the one of the board is used.
"""

from .board import Board, Flash, register


def _platform():
    from amaranth_boards.resources import LEDResources, SPIFlashResources, UARTResource
    from amaranth_boards.upduino_v3 import UpduinoV3Platform

    class Platform(UpduinoV3Platform):
        default_clk = "clk12"

    platform = Platform()
    platform.add_resources([*LEDResources(pins="39 40 41", invert=True),
                            UARTResource(0, rx="28", tx="38"),
                            # without WP and HOLD: where a jumper would bring HOLD is the clock
                            *SPIFlashResources(1, cs_n="16", clk="15", copi="14", cipo="17")])
    return platform


register(Board(
    name="upduino_v3",
    title="UPduino v3",
    device="UP5K",
    package="SG48",
    clock_hz=12_000_000,
    make_platform=_platform,
    leds=tuple(("led", index) for index in range(3)),  # green, blue, red of one RGB LED
    usb=(0x0403, 0x6014),
    flash=Flash(resource=("spi_flash_1x", 1)),
    notes="solder its OSC jumper, which brings 12 MHz to pin 20; its FT232H is wired for "
          "programming only: connect a 3.3 V serial adapter to pins 28 (RX of the board) and 38 "
          "(TX)",
))
