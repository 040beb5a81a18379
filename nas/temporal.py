"""A generated data set in which only the timing of spikes tells the classes apart.

Each class is a template of lags: channel i spikes `LAGS[class][i]` timesteps after an onset that is
drawn anew for each sample. Each channel's template spike may come a timestep early or late, and
each channel also has `NOISE` spikes at random other timesteps. So in every sample of every class
each channel has exactly ``1 + NOISE`` spikes: a count of spikes, per channel or in all, is the same
number for all samples and says nothing of the class. All that differs between classes is when the
channels spike relative to each other.

The templates are permutations of the same evenly spaced lags, so every class also has the same
span and the same instants at which some channel spikes; which channel it is makes the class.
"""

import numpy as np

#: Timesteps, channels and classes of a sample.
NUM_STEPS, CHANNELS, CLASSES = 24, 8, 8

#: Largest lag of a template, in timesteps.
SPAN = 14

#: Chance that a template spike comes a timestep early, and that it comes one late.
JITTER = 0.1

#: Spikes of each channel beside the one of the template.
NOISE = 1

#: Samples and seed of each split. The templates are no part of that: they are the task.
SPLITS = {"train": (1500, 101), "validation": (1000, 102), "test": (2000, 103)}


def templates() -> np.ndarray:
    """Lags in timesteps after the onset, int64 [CLASSES, CHANNELS]: seeded permutations."""
    rng = np.random.default_rng(0)
    lags = np.arange(CHANNELS) * SPAN // (CHANNELS - 1)
    return np.array([rng.permutation(lags) for _ in range(CLASSES)])


LAGS = templates()


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Events 0/1 uint8 [count, NUM_STEPS, CHANNELS] and labels int64 [count], as many of each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES).astype(np.int64)
    onset = rng.integers(1, NUM_STEPS - SPAN - 1, (count, 1))
    late = rng.choice([-1, 0, 1], (count, CHANNELS), p=[JITTER, 1 - 2 * JITTER, JITTER])
    # each channel's timesteps in random order of priority, that of the template first
    order = rng.random((count, NUM_STEPS, CHANNELS))
    np.put_along_axis(order, (onset + LAGS[labels] + late)[:, None], -1.0, axis=1)
    chosen = np.argsort(order, axis=1)[:, :1 + NOISE]
    events = np.zeros((count, NUM_STEPS, CHANNELS), np.uint8)
    np.put_along_axis(events, chosen, 1, axis=1)
    return events, labels
