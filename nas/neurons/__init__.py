"""Neuron kinds that can be trained: one file each, named as in `hdl.neurons`."""

from .fixed import FixedPointLifTraining
from .homeostatic import HomeostaticLifTraining
from .izhikevich import IzhikevichTraining
from .lif import LifTraining

#: Training class of each neuron kind.
KINDS = {"lif": LifTraining, "fixed": FixedPointLifTraining,
         "homeostatic": HomeostaticLifTraining, "izhikevich": IzhikevichTraining}
