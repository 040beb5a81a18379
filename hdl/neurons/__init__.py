"""Neuron kinds: one file each, with the parameters every rung shares and the gateware."""

from .fixed import FixedPointLif, FixedPointLifCell
from .homeostatic import HomeostaticLif, HomeostaticLifCell
from .izhikevich import Izhikevich, IzhikevichCell, IzhikevichEngine
from .lif import Lif, LifCell
from .saturating import (
    SaturatingFixedPointLifCell,
    SaturatingHomeostaticLifCell,
    SaturatingLifCell,
)

#: Parameter class of each neuron kind, by the name that configurations and files use.
KINDS = {cls.kind: cls for cls in (Lif, FixedPointLif, HomeostaticLif, Izhikevich)}

#: Gateware cell of each neuron kind.
CELLS = {"lif": LifCell, "fixed": FixedPointLifCell, "homeostatic": HomeostaticLifCell,
         "izhikevich": IzhikevichCell}

#: Gateware cells of the kinds that can saturate (`saturate_bits`), where they do.
SATURATING = {"lif": SaturatingLifCell, "fixed": SaturatingFixedPointLifCell,
              "homeostatic": SaturatingHomeostaticLifCell}

#: Kinds that `hdl.engine` can serve one after the other.
SERIAL = ("fixed", "lif")

#: What the cells of a layer share beside its streams, for the kinds that have such a thing.
ENGINES = {"izhikevich": IzhikevichEngine}


def cell_of(neuron):
    """The class of the gateware cell for a population with these parameters."""
    saturates = getattr(neuron, "saturate_bits", None) is not None
    return (SATURATING if saturates else CELLS)[neuron.kind]
