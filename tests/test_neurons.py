"""Neuron kinds on every rung: what one registry names, all of them name."""

from spikeloom.hdl import neurons as hardware
from spikeloom.nas import neurons as training
from spikeloom.sim import neurons as reference


def test_every_kind_has_gateware_a_reference_model_and_training():
    assert list(hardware.KINDS) == [cls.kind for cls in hardware.KINDS.values()]
    for registry in (hardware.CELLS, reference.KINDS, training.KINDS):
        assert set(registry) == set(hardware.KINDS)
