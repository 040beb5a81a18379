"""Frames of a recording: what a network reads of its events, one frame a timestep."""

import numpy as np

from ...flow.events import EventData
from .events import Events, Sensor

#: The largest count of a frame.
TOP = 255


def shape(data: EventData, sensor: Sensor) -> tuple[int, ...]:
    """Shape of a frame: (polarities, rows, columns), or (channels,) of a sensor of one row."""
    polarities, rows, columns = sensor
    if rows == polarities == 1:
        return (-(-columns // data.downsample),)
    return (1 if data.polarity == "merged" else polarities, -(-rows // data.downsample),
            -(-columns // data.downsample))


def frames(events: Events, data: EventData, sensor: Sensor) -> np.ndarray:
    """The frames of one recording, uint8 [num_steps, channels], channels in the order of `shape`.

    events: in order of time, on the sensor. Of squares that the sensor's edge cuts, the rest.
    """
    extent = shape(data, sensor)
    extent = (1,) * (3 - len(extent)) + extent
    step = steps(events.t, data)
    kept = step < data.num_steps
    polarity = np.zeros_like(events.p) if extent[0] == 1 else events.p
    place = np.ravel_multi_index(
        (step[kept], polarity[kept], events.y[kept] // data.downsample,
         events.x[kept] // data.downsample), (data.num_steps, *extent))
    size = data.num_steps * int(np.prod(extent))
    counts = np.bincount(place, minlength=size).reshape(data.num_steps, -1)
    if data.values == "counts":
        return np.minimum(counts, TOP).astype(np.uint8)
    return (counts >= data.threshold).astype(np.uint8)


def steps(t: np.ndarray, data: EventData) -> np.ndarray:
    """The timestep of each event, int64 [n]; with binning `window` it may be num_steps or more.

    t: times in order. `time`: of n equal windows over first..last, both included, the one that the
    microsecond lies in; a recording shorter than that leaves timesteps without events.
    """
    if data.binning == "count":
        return np.arange(len(t)) * data.num_steps // len(t)
    since = t - t[0]
    if data.binning == "window":
        return since // data.window_us
    return since * data.num_steps // (since[-1] + 1)
