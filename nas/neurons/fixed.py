"""FixedPointLIF populations of many candidates at once: the LIF with its leak replaced."""

from torch import Tensor

from ...hdl.neurons import FixedPointLif
from .lif import LifTraining


class FixedPointLifTraining(LifTraining):
    """As `LifTraining`; beta and n may differ from candidate to candidate."""

    @staticmethod
    def kept(neuron: FixedPointLif) -> float:
        """Share of v that the leak leaves, before rounding; exact in float32."""
        return neuron.beta / (1 << neuron.n)

    def leaked(self, v: Tensor) -> Tensor:
        """v after the leak, ``floor(v * beta / 2**n)``, in place.

        A product may have 17 bits more than v, too many for float32, so it is taken in float64.
        """
        return v if self.keep is None else v.copy_((v.double() * self.keep).floor_())
