"""Drawings and pictures made into images as those of MNIST were made of NIST's.

Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist/: a digit is "size normalized to
fit in a 20x20 pixel box while preserving [its] aspect ratio", grey by anti-aliasing, and "centered
in a 28x28 image by computing the center of mass of the pixels, and translating the image so as to
position this point at the center". Ink is light on dark ground.
"""

import math

import numpy as np

from ..flow import ir
from ..flow.errors import ConfigError

#: Of MNIST: the side of an image and of the box in it.
SIDE, BOX = 28, 20
#: Images with a shorter side are filled, as scikit-learn's digits fill their 8 x 8 pixels.
SMALL = BOX
#: Less ink than this share of the most is ground: paper is never of one grey.
FAINT = 0.1
#: Ink and ground must differ by this much, of 255.
LEAST_CONTRAST = 16


def image_shape(graph: ir.Graph) -> tuple[int, int, int]:
    """Planes, height and width of a network's images; ConfigError if its input is no image.

    A plain number of pixels is a square, if it can be one.
    """
    shape = graph.input.shape
    if graph.input.encoder == "spikes":
        raise ConfigError("pictures must go to a network that takes pixels, not events (encoder "
                          "'spikes'); choose another --run")
    if len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0]:
        shape = (math.isqrt(shape[0]),) * 2
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ConfigError("pictures must go to a network whose input is an image of one plane or "
                          f"of three, not of the shape {list(graph.input.shape)}; give arrays as "
                          ".npy, or choose another --run")
    return shape


def box(shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width that ink takes at most in an image: 20 x 20 in one of 28 x 28."""
    return tuple(side if side < SMALL else round(side * BOX / SIDE) for side in shape)


def ink_of(grey: np.ndarray, invert: str = "auto") -> np.ndarray:
    """Ink in 0..1, float [h, w], of a picture of brightness 0..255 [h, w]; ConfigError if none.

    Its ground is the median of its border. invert: `yes`, ink is darker than the ground; `no`, it
    is lighter; `auto`, darker if the border is nearer to the lightest pixel than to the darkest.
    """
    grey = np.asarray(grey, float)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(border))
    if invert == "auto":
        invert = "yes" if ground > (grey.min() + grey.max()) / 2 else "no"
    ink = np.clip(ground - grey if invert == "yes" else grey - ground, 0, None)
    if ink.max() < LEAST_CONTRAST:
        kind = "darker" if invert == "yes" else "lighter"
        raise ConfigError(f"must have ink at least {LEAST_CONTRAST} of 255 {kind} than its border, "
                          f"not {ink.max():.0f}; is it blank, or is --invert wrong?")
    ink /= ink.max()
    return np.where(ink < FAINT, 0.0, ink)


def fit(ink: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """An image uint8 `shape` of ink >= 0, float [h, w] with some: scaled to `box`, and centred.

    Centred by the centre of mass, as far as no ink leaves the image.
    """
    rows, cols = np.nonzero(ink.any(1))[0], np.nonzero(ink.any(0))[0]
    ink = ink[rows[0]:rows[-1] + 1, cols[0]:cols[-1] + 1]
    scale = min(most / side for most, side in zip(box(shape), ink.shape, strict=True))
    small = [min(max(1, round(side * scale)), most)
             for side, most in zip(ink.shape, box(shape), strict=True)]
    ink = resampling(ink.shape[0], small[0]) @ ink @ resampling(ink.shape[1], small[1]).T
    out = np.zeros(shape)
    place = tuple(_placed(ink.sum(1 - axis), shape[axis]) for axis in range(2))
    out[place] = ink / ink.max()
    return np.rint(255 * out).astype(np.uint8)


def resampling(size: int, wanted: int) -> np.ndarray:
    """What each of `wanted` pixels takes of `size`, float [wanted, size]: a triangle as wide as
    two of the larger pixels.
    """
    scale = size / wanted
    centres = (np.arange(wanted) + 0.5) * scale
    apart = np.abs(np.arange(size) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - apart, 0, None)
    return weights / weights.sum(1, keepdims=True)


def _placed(mass: np.ndarray, side: int) -> slice:
    """Where ink of this mass per row lies in `side` rows.

    MNIST's centres of mass lie within half a pixel of the pixel side / 2; those of small images
    between two.
    """
    centre = (side - 1) / 2 if side < SMALL else side // 2
    at = round(centre - float(mass @ np.arange(len(mass))) / float(mass.sum()))
    at = min(max(at, 0), side - len(mass))
    return slice(at, at + len(mass))
