"""The spike-aware fitness: B. Na et al., "AutoSNN", ICML 2022, equation 4."""

import math

from ...flow.errors import ConfigError

#: The paper's exponent.
LAMBDA = -0.08


def check(spike_lambda: float, where: str = "spike_lambda") -> float:
    """The exponent; ConfigError for one that is no number or would reward spikes."""
    if not (math.isfinite(spike_lambda) and spike_lambda <= 0):
        raise ConfigError(f"{where} must be a finite number at most 0, as the fitness is accuracy "
                          f"(N / N_avg)^lambda and falls with more spikes, not {spike_lambda}")
    return spike_lambda


def fitness(accuracy: float, spikes: float, average: float, spike_lambda: float = LAMBDA) -> float:
    """F = accuracy (N / N_avg)^lambda.

    spikes: N, per image. average: N_avg, that of the super-network's training; it scales every F
    alike. A network that fires nothing has no N to a negative power: it knows nothing, and is 0.
    """
    check(spike_lambda)
    if average <= 0:
        raise ConfigError(f"average must be above 0 spikes per image, not {average}; train the "
                          "super-network first")
    if spikes < 0:
        raise ConfigError(f"spikes must be at least 0 per image, not {spikes}")
    if not spikes:
        return accuracy if spike_lambda == 0 else 0.0
    return accuracy * (spikes / average) ** spike_lambda
