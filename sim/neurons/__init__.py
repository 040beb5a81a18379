"""Neuron kinds of the reference model: one file each, named as in `hdl.neurons`."""

from .lif import LifState

#: State class of each neuron kind.
KINDS = {"lif": LifState}
