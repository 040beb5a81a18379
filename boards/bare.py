"""A board of one's own: any iCE40 and any of its pins."""

from .board import Board


def bare(*, name: str, device: str, package: str, clock: str, clock_hz: int, rx: str, tx: str,
         leds: tuple[str, ...] = (), leds_inverted: bool = False, buttons: tuple[str, ...] = (),
         buttons_inverted: bool = False, programmer: tuple[str, ...] = ("iceprog",),
         option: str = "") -> Board:
    """A board of these pins, which is not registered; inverted LEDs and buttons are active low.

    Inputs but the clock have the pull-up of the iCE40.
    """
    def make_platform():
        from amaranth.build import Attrs, Clock, Pins, Resource
        from amaranth.vendor import LatticeICE40Platform
        from amaranth_boards.resources import ButtonResources, LEDResources, UARTResource

        pulled = Attrs(PULLUP=1)

        return type("Bare", (LatticeICE40Platform,), {
            "device": f"iCE40{device}", "package": package, "default_clk": "clk",
            "connectors": [], "resources": [
                Resource("clk", 0, Pins(clock, dir="i"), Clock(clock_hz)),
                UARTResource(0, rx=rx, tx=tx, attrs=pulled),
                *LEDResources(pins=list(leds), invert=leds_inverted),
                *ButtonResources(pins=list(buttons), invert=buttons_inverted, attrs=pulled),
            ]})()

    return Board(
        name=name, title=name, device=device, package=package, clock_hz=clock_hz,
        make_platform=make_platform, programmer=programmer, option=option,
        leds=tuple(("led", index) for index in range(len(leds))),
        buttons=tuple(("button", index) for index in range(len(buttons))))
