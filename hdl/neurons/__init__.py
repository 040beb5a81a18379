"""Neuron kinds: one file each, with the parameters every rung shares and the gateware."""

from .lif import Lif

#: Parameter class of each neuron kind, by the name that configurations and files use.
KINDS = {cls.kind: cls for cls in (Lif,)}
