"""Pictures in files, by Pillow: bounded in size, of a few formats, grey or as they are."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..flow import ir
from ..flow.errors import ConfigError, ToolError
from .fitted import fit, image_shape, ink_of

#: Pillow's formats by suffix.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}
#: Of a file's bytes, and of its pixels, which are looked at before any is unpacked; the more of a
#: side, the larger are the matrices that scale it.
MOST_BYTES, MOST_PIXELS, MOST_SIDE = 64 << 20, 1 << 24, 1 << 14
INVERT = ("auto", "yes", "no")
#: Pillow's modes with 16 bits a pixel.
_DEEP = ("I;16", "I;16B", "I;16L", "I")


def is_picture(path: Path) -> bool:
    return Path(path).suffix.lower() in FORMATS


def read_pictures(paths: Sequence[Path], graph: ir.Graph, *, invert: str = "auto",
                  as_is: bool = False) -> np.ndarray:
    """Images of a network, uint8 [n, pixels], of a picture each.

    Grey, on white where a picture is transparent, its ink light on dark ground (`fitted.ink_of`),
    scaled and centred as MNIST's (`fitted.fit`). as_is: a picture must have the network's size, and
    8 bits a pixel of grey (or of each of three colours), and is not changed but for `invert="yes"`.
    Raises ConfigError with the file and what it must be; ToolError without Pillow.
    """
    if invert not in INVERT:
        raise ConfigError(f"--invert must be one of {', '.join(INVERT)}, not {invert!r}")
    shape = image_shape(graph)
    if shape[0] != 1 and not as_is:
        raise ConfigError("pictures must be given with --as-is to a network of coloured images, "
                          f"{shape[1]} x {shape[2]} pixels of three colours; only grey ones are "
                          "scaled and centred")
    made = [_exact(Path(path), shape, invert == "yes") if as_is else _fitted(path, shape, invert)
            for path in paths]
    return np.stack(made).reshape(len(made), -1)


def _fitted(path: Path, shape: tuple[int, int, int], invert: str) -> np.ndarray:
    grey = _opened(Path(path), _grey)
    try:
        return fit(ink_of(grey, invert), shape[1:])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _exact(path: Path, shape: tuple[int, int, int], inverted: bool) -> np.ndarray:
    planes, height, width = shape
    mode, kind = ("L", "grey") if planes == 1 else ("RGB", "three colours")

    def read(image) -> np.ndarray:
        if image.size != (width, height) or image.mode != mode:
            raise ConfigError(
                f"{path}: must be {width} x {height} pixels of 8 bits, {kind} (mode {mode}), with "
                f"--as-is, not {image.width} x {image.height} of mode {image.mode}"
                + ("; leave --as-is out to have it scaled and centred" if planes == 1 else ""))
        pixels = np.asarray(image, np.uint8).reshape(height, width, planes)
        return pixels.transpose(2, 0, 1)

    pixels = _opened(path, read)
    return 255 - pixels if inverted else pixels


def _grey(image) -> np.ndarray:
    """Brightness 0..255, float [h, w]; what is transparent lies on white."""
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in _DEEP:
        pixels = np.asarray(image, float)
        return pixels / (257 if pixels.max() > 255 else 1)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("L"), float)


def _opened(path: Path, read) -> np.ndarray:
    """What `read` makes of an opened picture; ConfigError for what is no picture."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ToolError(f"{path}: pictures need the Python package Pillow; install it with: pip "
                        "install 'pillow>=10', or give arrays as .npy") from error
    suffix = path.suffix.lower()
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(f"{path}: must have at most {MOST_BYTES >> 20} MiB, not "
                              f"{size / (1 << 20):.1f}; scale it down")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is wrong, but not so wrong as to be refused
            with Image.open(path, formats=(FORMATS[suffix],)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ConfigError(f"{path}: must have at most {MOST_PIXELS:,} pixels, not "
                                      f"{image.width:,} x {image.height:,}; scale it down")
                if max(image.size) > MOST_SIDE:
                    raise ConfigError(f"{path}: must have sides of at most {MOST_SIDE:,} pixels, "
                                      f"not {image.width:,} x {image.height:,}; crop it")
                return read(image)
    except ConfigError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from error
        raise ConfigError(f"{path}: is damaged or no {suffix} picture") from error
    except Exception as error:  # what decoders raise for damaged files is no fixed list
        raise ConfigError(f"{path}: is damaged or no {suffix} picture ({type(error).__name__})"
                          ) from error
