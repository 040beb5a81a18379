"""Neuron kinds: one file each, with the parameters every rung shares and the gateware."""

from .lif import Lif, LifCell

#: Parameter class of each neuron kind, by the name that configurations and files use.
KINDS = {cls.kind: cls for cls in (Lif,)}

#: Gateware cell of each neuron kind.
CELLS = {"lif": LifCell}
