"""Neuron kinds that can be trained: one file each, named as in `hdl.neurons`."""

from .lif import LifTraining

#: Training class of each neuron kind.
KINDS = {"lif": LifTraining}
