"""Neuron kinds that can be trained: one file each, named as in `hdl.neurons`.

A plug-in (`flow.plugins`) adds its own with `register`.
"""

import dataclasses

from ...flow import plugins
from ...flow.errors import ConfigError
from ...hdl import neurons as hardware
from ...sim import neurons as reference
from .fixed import FixedPointLifTraining
from .homeostatic import HomeostaticLifTraining
from .izhikevich import IzhikevichTraining
from .lif import LifTraining

#: Training class of each neuron kind.
KINDS = {"lif": LifTraining, "fixed": FixedPointLifTraining,
         "homeostatic": HomeostaticLifTraining, "izhikevich": IzhikevichTraining}


def register(parameters: type, *, state: type, training: type, cell: type | None = None,
             saturating: type | None = None) -> None:
    """Add a plug-in's kind of neuron, `parameters.kind`.

    parameters: a frozen dataclass that extends `hdl.neurons.Lif`; what it adds has defaults, and
    what its membrane does differently, `leak` and `after_step` say. state: one timestep of the
    reference model, as `sim.neurons.LifState`; training: as `LifTraining`, its forward pass equal
    to the reference model. cell, saturating: gateware as `hdl.neurons.LifCell`, and that of neurons
    with `saturate_bits`. Without a cell a kind is trained and simulated, and nothing built of it.
    """
    kind = getattr(parameters, "kind", None)
    if not (issubclass(parameters, hardware.Lif) and dataclasses.is_dataclass(parameters)
            and parameters.integrates and kind != hardware.Lif.kind):
        raise ConfigError("the parameters of a neuron must be a dataclass that extends Lif, with a "
                          f"`kind` of its own, not {parameters.__name__} of kind {kind!r}")
    for field in dataclasses.fields(parameters):
        if field.name != parameters.learned and field.default is dataclasses.MISSING:
            raise ConfigError(f"{parameters.__name__}.{field.name} must have a default, which "
                              "searches use")
    for registry, made in ((hardware.KINDS, parameters), (reference.KINDS, state),
                           (KINDS, training), (hardware.CELLS, cell),
                           (hardware.SATURATING, saturating)):
        if made is not None:
            plugins.add("neuron", registry, kind, made)
