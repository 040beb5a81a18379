"""Weights in the SPRAMs of a netlist in Python (`cells`), without the clocks that loading takes.

A 784-128-10 network takes 870,000. Loading is no part of an inference, so what SPRAMs hold is put
there, and the loader is given the beginning and the end of an image alone: between them its address
is moved on, and the check at its end is that of the bytes that it saw.
"""

import zlib

from ..flow import ir
from ..flow.weights_file import packed
from ..flow.weights_image import Section, sections, weights_image
from ..hdl.flash_image import CHECK_BYTES
from ..hdl.protocol import PIECE_BYTES
from ..hdl.spram import ADDRESS_BITS
from .cells import Circuit
from .flat_netlist import Module
from .host import Device

#: The address at which the loader (`hdl.boot`) writes, in its lowest bits; a register.
_ADDRESS = "top.boot.load__payload"
#: Bytes of the words that end an image, which are loaded.
_ENDING = 16


def load_weights(device: Device, circuit: Circuit, module: Module, graph: ir.Graph) -> None:
    """Make a scheduled graph's netlist ready to infer; nothing to do without weights in SPRAM.

    Where a name of the design is not in the netlist the whole image is sent, as one that is short
    is. Raises as `Device.load`.
    """
    found, image = sections(graph), packed(graph)
    if not found:
        return
    cells = {cell: words for section in found for cell, words in _cells(section)}
    address = [bit for bit in _bits(module) if isinstance(bit, int)]
    ends = PIECE_BYTES + _ENDING + CHECK_BYTES
    if cells.keys() != circuit.sprams.keys() or not address or len(image) <= ends:
        device.load(image)
        return
    words = len(weights_image(graph))
    for cell, content in cells.items():
        circuit.sprams[cell].words[:len(content)] = content
    body = image[:PIECE_BYTES] + image[-CHECK_BYTES - _ENDING:-CHECK_BYTES]

    def move_on(sent: int) -> None:
        if sent == PIECE_BYTES:
            for k, bit in enumerate(_bits(module)):
                if isinstance(bit, int):
                    circuit.set(bit, words - _ENDING // 2 >> k & 1)

    device.load(body + zlib.crc32(body).to_bytes(CHECK_BYTES, "little"), move_on)


def _bits(module: Module) -> list[int | str]:
    """Nets of the loader's address, and constants where it has none; empty if it is not named."""
    net = module.netnames.get(_ADDRESS)
    return net.bits[:ADDRESS_BITS] if net else []


def _cells(section: Section) -> list[tuple[str, list[int]]]:
    """The SPRAMs of a run by the names of their cells, and what they hold."""
    return [(f"top.core.{section.run}.lanes.weights.spram{k}.ram", content.tolist())
            for k, content in enumerate(section.memories())]
