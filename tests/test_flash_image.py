import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeloom.hdl import flash_image
from spikeloom.hdl.flash_image import MAX_WORDS, pack, unpack, verify
from spikeloom.hdl.protocol import Status

DESIGN = bytes(range(0xA0, 0xA8))
WORDS = np.array([0, 1, 0xFFFF, 0x1234], np.uint16)


def test_the_image_of_four_words_byte_by_byte():
    body = (b"SLW\x01" + DESIGN + b"\4\0\0\0" + b"\0\0" b"\1\0" b"\xff\xff" b"\x34\x12")
    assert pack(WORDS, DESIGN) == body + struct.pack("<I", zlib.crc32(body))
    assert flash_image.image_bytes(4) == 28


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40), st.binary(min_size=8, max_size=8))
def test_what_was_packed_is_unpacked(words, design):
    image = pack(np.array(words), design)
    assert verify(image, design, len(words)) == Status.OK
    assert unpack(image).tolist() == words


def test_what_follows_an_image_is_not_looked_at():
    assert verify(pack(WORDS, DESIGN) + b"\xff" * 9, DESIGN, 4) == Status.OK


@pytest.mark.parametrize("byte,status", [
    *((k, Status.MISSING) for k in range(3)), (3, Status.VERSION),
    *((k, Status.NETWORK) for k in range(4, 12)), *((k, Status.DAMAGED) for k in range(12, 28))])
def test_each_byte_that_is_changed_is_noticed(byte, status):
    image = bytearray(pack(WORDS, DESIGN))
    image[byte] ^= 0x20
    assert verify(bytes(image), DESIGN, 4) == status


@pytest.mark.parametrize("length,status", [
    (0, Status.MISSING), (2, Status.MISSING), (3, Status.VERSION), (5, Status.NETWORK),
    (13, Status.DAMAGED), (20, Status.DAMAGED), (27, Status.DAMAGED)])
def test_a_truncated_image_is_noticed(length, status):
    assert verify(pack(WORDS, DESIGN)[:length], DESIGN, 4) == status


def test_an_image_of_another_length_is_noticed():
    assert verify(pack(WORDS[:3], DESIGN), DESIGN, 4) == Status.DAMAGED


@pytest.mark.parametrize("words", [[], [-1], [1 << 16], [[1, 2]], [0] * (MAX_WORDS + 1)])
def test_words_must_be_16_bits_and_fit_the_memories(words):
    with pytest.raises((AssertionError, ValueError)):
        pack(np.array(words, int), DESIGN)
