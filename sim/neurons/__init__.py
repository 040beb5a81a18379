"""Neuron kinds of the reference model: one file each, named as in `hdl.neurons`."""

from .fixed import FixedPointLifState
from .homeostatic import HomeostaticLifState
from .izhikevich import IzhikevichState
from .lif import LifState

#: State class of each neuron kind.
KINDS = {"lif": LifState, "fixed": FixedPointLifState, "homeostatic": HomeostaticLifState,
         "izhikevich": IzhikevichState}
