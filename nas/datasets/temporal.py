"""A generated data set in which only the timing of spikes tells the classes apart.

It is the task that barn owls solve: from which side does a sound come? Each of `BANDS` frequency
bands has a channel per ear. A band's events are random; they reach one ear `LAGS[class]` timesteps
later than the other (negative: the right ear first). Each event is then lost with a small
probability, and each channel also has noise of its own.

Every channel of every class is thus the same random process, so counts of spikes say nothing: the
class is in the coincidences of pairs of channels, at a lag. L. A. Jeffress, "A place theory of
sound localization", Journal of Comparative and Physiological Psychology 41, 1948, is the classic
circuit for it, made of axonal delays and coincidence detectors.
"""

import numpy as np

from .dataset import Dataset, Split

#: Timesteps and frequency bands of a sample; channel 2 * band is the left ear's, the next its twin.
NUM_STEPS, BANDS = 48, 8
CHANNELS = 2 * BANDS
SHAPE = (CHANNELS,)

#: Timesteps by which the right ear's events come late, of each class.
LAGS = (-3, -2, -1, 0, 1, 2, 3)
CLASSES = len(LAGS)

#: Chance of an event per band and timestep, that an ear hears it, and of one that is noise.
EVENTS, HEARD, NOISE = 0.15, 0.95, 0.01

#: Samples and seed of each split.
SPLITS = {"train": (1500, 201), "validation": (1000, 202), "test": (2000, 203)}
SETS = {"temporal": SPLITS}


def sizes(name: str) -> tuple[int, int, int]:
    return tuple(count for count, _ in SETS[name].values())


def about(name: str) -> str:
    return f"generated with the seeds {', '.join(str(seed) for _, seed in SETS[name].values())}"


def load(name: str) -> Dataset:
    """All of them, drawn anew and always the same."""
    return Dataset(name=name, shape=SHAPE, num_classes=CLASSES, num_steps=NUM_STEPS, **{
        split: Split(*generate(*drawn)) for split, drawn in SETS[name].items()})


def generate(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Events 0/1 uint8 [count, NUM_STEPS, CHANNELS] and labels int64 [count], as many of each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES).astype(np.int64)
    most = max(LAGS)
    # longer than a sample by the largest lag at either end, so that no class has a silent edge
    events = rng.random((count, NUM_STEPS + 2 * most, BANDS)) < EVENTS
    left = events[:, most:most + NUM_STEPS]
    at = np.arange(NUM_STEPS) + most - np.array(LAGS)[labels][:, None]
    right = np.take_along_axis(events, at[:, :, None], axis=1)
    ears = np.stack([left, right], axis=3).reshape(count, NUM_STEPS, CHANNELS)
    heard = (ears & (rng.random(ears.shape) < HEARD)) | (rng.random(ears.shape) < NOISE)
    return heard.astype(np.uint8), labels
