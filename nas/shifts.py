"""Shifts: images moved by a few pixels each time training sees them, so that it sees more of them.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ..flow import ir
from ..flow.errors import ConfigError


class Shifts:
    """Moves images of an input's shape, (rows, columns) or (channels, rows, columns), by up to
    `most` pixels, as drawn from `seed`.

    Raises ConfigError for inputs that have no rows and columns, or are events.
    """

    def __init__(self, given: ir.Input, most: int, seed: int) -> None:
        shape = given.shape
        if len(shape) not in (2, 3) or given.encoder == "spikes":
            raise ConfigError(f"shift must be 0 for {given.encoder!r} inputs of shape "
                              f"{list(shape)}, which are no images to move")
        self.shape = (1, *shape) if len(shape) == 2 else tuple(shape)
        self.most = most
        self.generator = torch.Generator().manual_seed(seed ^ 0x5317)
        _, rows, columns = self.shape
        self.pitch = columns + 2 * self.most
        self.places = (torch.arange(rows)[:, None] * self.pitch + torch.arange(columns)).flatten()

    def moved(self, images: Tensor) -> Tensor:
        """The images [n, pixels], each by its own whole numbers of rows and columns."""
        count, most = len(images), self.most
        padded = functional.pad(images.view(count, *self.shape), (most,) * 4)
        down, right = torch.randint(0, 2 * most + 1, (2, count, 1, 1), generator=self.generator)
        places = (self.places + down * self.pitch + right).expand(-1, self.shape[0], -1)
        return padded.flatten(2).gather(2, places).flatten(1)
