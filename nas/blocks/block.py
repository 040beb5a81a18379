"""Blocks: what stands at a place of the macro network, by its convolutions.

B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022, section 4, and
the code released with it. Every convolution has a batch norm behind it and no bias:

* SCB, spiking convolution block: two times k x k convolution and PLIF;
* SRB, spiking residual block: as SCB, the block's input added before the last PLIF;
* SIB, spiking inverted bottleneck: 1 x 1 to e times as many channels, k x k, 1 x 1, a PLIF behind
  each, the block's input added before the last one. The paper calls the middle one depth-wise; in
  the released code it is a full convolution, and so it is here, but in those with `_dw`;
* skip: what comes in goes on as it is.

Where the channels differ, the input that is added goes through a 1 x 1 convolution, and so does
that of a skip, which then has a PLIF as well (released code; the paper does not say). Where a block
halves maps, its first convolution of k x k has stride 2; a SRB's 1 x 1 has it too, a SIB has no
input added, and a skip is the 1 x 1 (in the released code two of half the channels, the second one
a pixel further on).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...flow.errors import ConfigError, unknown

#: The candidates of the paper's space, in the order of its code.
BLOCKS = ("skip", "scb_k3", "scb_k5", "srb_k3", "srb_k5")
#: Every block by name: those of the paper's study of blocks too, and depth-wise forms.
KNOWN = (*BLOCKS, "sib_k3_e1", "sib_k3_e3", "sib_k3_e1_dw", "sib_k3_e3_dw")
SKIP = BLOCKS[0]
#: What a convolution is called whose output is added before the last PLIF.
SHORT = "short"
#: In texts of networks: maps are halved here, by max or by average.
MARKS = {"M": "max", "A": "avg"}


@dataclass(frozen=True)
class Conv:
    """One convolution with its batch norm; groups is in_channels where it is depth-wise."""

    name: str
    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    groups: int = 1

    @property
    def weights(self) -> int:
        return self.out_channels * self.in_channels // self.groups * self.kernel_size ** 2


@dataclass(frozen=True)
class Plan:
    """A block at a place. main: its convolutions in order, with a PLIF behind each; of a skip that
    changes nothing there is none. adds: the input is added before the last PLIF, through `short`
    where there is that.
    """

    main: tuple[Conv, ...]
    adds: bool = False
    short: Conv | None = None

    @property
    def convolutions(self) -> tuple[Conv, ...]:
        return self.main if self.short is None else (*self.main, self.short)


def check(name: str, where: str = "block") -> str:
    """The name; ConfigError for one that is no block's."""
    if name not in KNOWN:
        raise ConfigError(f"{where}: " + unknown("block", name, KNOWN))
    return name


@lru_cache
def plan(name: str, ins: int, outs: int, stride: int = 1) -> Plan:
    """What a block is between so many channels; ConfigError for an unknown one."""
    check(name)
    same = ins == outs and stride == 1
    if name == SKIP:
        return Plan(() if same else (Conv("conv1", ins, outs, 1, stride),))
    short = None if same else Conv(SHORT, ins, outs, 1, stride)
    kind, kernel = name[:3], int(re.search(r"_k(\d)", name)[1])
    if kind != "sib":
        main = (Conv("conv1", ins, outs, kernel, stride), Conv("conv2", outs, outs, kernel))
        return Plan(main, adds=kind == "srb", short=short if kind == "srb" else None)
    inner = ins * int(re.search(r"_e(\d)", name)[1])
    main = (Conv("conv1", ins, inner, 1),
            Conv("conv2", inner, inner, kernel, stride, inner if name.endswith("_dw") else 1),
            Conv("conv3", inner, outs, 1))
    return Plan(main, adds=stride == 1, short=short if stride == 1 else None)


def words(text: str) -> tuple[str, ...]:
    """Names of blocks and marks of a text, between spaces or commas; ConfigError for others."""
    found = tuple(text.replace(",", " ").split())
    for word in found:
        if word not in MARKS:
            check(word, "blocks")
    if not set(found) - set(MARKS):
        raise ConfigError("blocks must be names of blocks, as in 'srb_k5 M srb_k5 skip M srb_k3 "
                          f"srb_k5 M', not {text!r}")
    return found


def parse(text: str) -> tuple[str, ...]:
    """The blocks of a text such as ``srb_k5 M srb_k5 skip M srb_k3 srb_k5 M``.

    Where its marks may be says `Macro.parse`. Raises ConfigError.
    """
    return tuple(word for word in words(text) if word not in MARKS)


def text(blocks: Sequence[str]) -> str:
    """Blocks as a text without marks; `Macro.text` writes them too."""
    return " ".join(blocks)
