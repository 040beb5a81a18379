"""The weights of a build that are not in its bitstream: the file beside it, and both as one."""

from pathlib import Path

from ..boards import Board
from ..hdl import flash_image
from ..hdl.protocol import Status
from . import ir, targets
from .errors import ConfigError, RunError
from .files import write_atomic
from .lower import design_hash
from .weights_image import weights_image

WEIGHTS, ONE_IMAGE = "weights.bin", "flash.bin"
#: What erased flash reads as.
ERASED = b"\xff"

_WRONG = {
    Status.MISSING: "is no image of weights",
    Status.VERSION: "has another format than this version writes",
    Status.NETWORK: "holds the weights of another network",
    Status.DAMAGED: "is damaged or was cut short (wrong length or CRC-32)",
}


def packed(graph: ir.Graph) -> bytes:
    """The image (`hdl.flash_image`) of the weights that are loaded, of a scheduled graph; or empty.
    """
    words = weights_image(graph)
    return flash_image.pack(words, design_hash(graph)) if len(words) else b""


def write(folder: Path, graph: ir.Graph) -> None:
    """Put the file of a graph beside its bitstream, or away if it needs none."""
    path, image = Path(folder) / WEIGHTS, packed(graph)
    if image:
        write_atomic(path, image)
    else:
        path.unlink(missing_ok=True)


def check(path: Path, graph: ir.Graph, *, again: str) -> bytes:
    """The content of a file that is right for a graph; RunError says what is wrong with another.

    again: the command that builds it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); run '{again}' again"
                       ) from error
    words = len(weights_image(graph))
    status = flash_image.verify(data, design_hash(graph), words)
    if status == Status.OK and len(data) != flash_image.image_bytes(words):
        status = Status.DAMAGED
    if status != Status.OK:
        raise RunError(f"{path}: {_WRONG[status]}; run '{again}' again")
    return data


def one_image(bitstream: bytes, weights: bytes, board: Board) -> bytes:
    """Bitstream and weights as the flash is to hold them, from the bitstream's address on.

    ConfigError for a board that has no flash for it, or whose programmer takes the two one by one.
    """
    if board.flash is None or not board.flash.one_image:
        raise ConfigError(f"--one-image must not be used with {board.name}, "
                          + ("which is given weights over its link" if board.flash is None else
                             "whose programmer takes bitstream and weights one by one")
                          + "; leave it out")
    room = board.flash.weights_at
    assert targets.device(board.device).bitstream_bytes <= room, "a bitstream ends before weights"
    return bitstream + ERASED * (room - len(bitstream)) + weights
