"""Neuron kinds: one file each, with the parameters every rung shares and the gateware."""

from .fixed import FixedPointLif, FixedPointLifCell
from .homeostatic import HomeostaticLif, HomeostaticLifCell
from .izhikevich import Izhikevich, IzhikevichCell, IzhikevichEngine
from .lif import Lif, LifCell

#: Parameter class of each neuron kind, by the name that configurations and files use.
KINDS = {cls.kind: cls for cls in (Lif, FixedPointLif, HomeostaticLif, Izhikevich)}

#: Gateware cell of each neuron kind.
CELLS = {"lif": LifCell, "fixed": FixedPointLifCell, "homeostatic": HomeostaticLifCell,
         "izhikevich": IzhikevichCell}

#: What the cells of a layer share beside its streams, for the kinds that have such a thing.
ENGINES = {"izhikevich": IzhikevichEngine}
