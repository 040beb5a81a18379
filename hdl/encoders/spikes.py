"""`spikes`: events from outside, as frames of bits over the link."""

import numpy as np

from .scan import ScanEncoder


class SpikesEncoder(ScanEncoder):
    """An image is num_steps frames of n bits, input 0 in the lowest bit of a frame's first byte.

    Every frame begins with a byte of its own; the bits above n in its last byte are ignored.
    """

    rewind = False
    bits_per_clock = 8

    def shift_in(self, m, value, scanning, idle):
        return value


def pack_frames(spikes: np.ndarray) -> bytes:
    """The bytes of one image; spikes 0/1 [T, n]."""
    return np.packbits(np.asarray(spikes, np.uint8), axis=1, bitorder="little").tobytes()
