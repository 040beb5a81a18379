"""Encoders: what arrives over the link becomes spikes a timestep, or columns of a bitstream.

Their reset, which `core` drives, makes them wait for the first byte of a new image.
"""

from .rate import RateEncoder
from .spikes import SpikesEncoder
from .stream import StreamEncoder

#: Gateware of each encoder, by the name that configurations use.
KINDS = {"rate": RateEncoder, "spikes": SpikesEncoder, "stream": StreamEncoder}
