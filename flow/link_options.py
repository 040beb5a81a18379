"""What the link of a build offers, from words on the command line."""

from ..hdl.protocol import BASIC, PIXEL_BITS, Features
from .errors import ConfigError, unknown

_WORDS = {
    "duplex": {"duplex": True}, "counters": {"counters": True}, "steps": {"steps": True},
    **{f"pixels{bits}": {"pixel_bits": bits} for bits in PIXEL_BITS},
}


def add_argument(parser) -> None:
    """The option --link, for `link_features`."""
    parser.add_argument("--link", metavar="WORDS", default="", help=(
        "what the link offers beyond the cheapest, separated by commas: duplex (the next image "
        "arrives while one is computed), counters (clocks, spikes, errors), steps (fewer timesteps "
        "at run time), pixels1, pixels2 or pixels4 (bits of a pixel on the line)"))


def link_features(words: str) -> Features:
    """Features from words such as "duplex,pixels4"; ConfigError for an unknown one."""
    chosen = {}
    for word in filter(None, (word.strip() for word in words.split(","))):
        if word not in _WORDS:
            raise ConfigError("--link: " + unknown("feature", word, _WORDS))
        chosen |= _WORDS[word]
    return Features(**chosen) if chosen else BASIC
