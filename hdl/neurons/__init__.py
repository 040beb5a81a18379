"""Neuron kinds: one file each, with the parameters every rung shares and the gateware."""

from .fixed import FixedPointLif, FixedPointLifCell
from .homeostatic import HomeostaticLif, HomeostaticLifCell
from .lif import Lif, LifCell

#: Parameter class of each neuron kind, by the name that configurations and files use.
KINDS = {cls.kind: cls for cls in (Lif, FixedPointLif, HomeostaticLif)}

#: Gateware cell of each neuron kind.
CELLS = {"lif": LifCell, "fixed": FixedPointLifCell, "homeostatic": HomeostaticLifCell}
