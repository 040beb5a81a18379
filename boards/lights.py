"""What a board's LEDs show: alive, busy and the class, as far as there are LEDs for them."""

from amaranth.hdl import ResetSignal


def lights(count: int, busy, cls) -> list:
    """What `count` LEDs show, in order; at most as many as there is something to show.

    Alive is lit when the device is configured and its clock has run through the power-on reset,
    which costs no logic. The class comes whole, from its lowest bit, or not at all; where it needs
    the LED of `busy`, alive goes dark while busy, as it does on a single LED.
    """
    alive = ~ResetSignal("sync")
    if count >= 2 + len(cls):
        return [alive, busy, *cls]
    if count >= 1 + len(cls):
        return [alive & ~busy, *cls]
    return [alive, busy] if count >= 2 else [alive & ~busy][:count]
