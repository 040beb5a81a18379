"""Recordings made up for tests, in the official formats: bars that move, a direction a class."""

import struct

import numpy as np

from spikeloom.sim.recordings.events import Events, columns

#: Lines before the events of AEDAT files, as cameras write them.
HEAD2 = (b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
         b"# Timestamps tick is 1 us\r\n")
HEAD3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def bar(label: int, classes: int, side: int, seed: int, duration: int = 100_000,
        count: int = 400, noise: int = 10) -> Events:
    """A bar that crosses a sensor of side x side in `duration` microseconds, in order of time.

    The class is its direction. Before it pixels become brighter, behind it darker.
    """
    rng = np.random.default_rng([seed, label])
    angle = 2 * np.pi * label / classes
    along, across = (rng.uniform(-0.5, 0.5, count) * side for _ in range(2))
    ahead = rng.random(count) < 0.5
    t = (along / side + 0.5) * (duration - 4000) + np.where(ahead, 0, 2000)
    x = side / 2 + along * np.cos(angle) - across * np.sin(angle)
    y = side / 2 + along * np.sin(angle) + across * np.cos(angle)
    made = np.stack([t, x, y, ahead])
    odd = [rng.uniform(0, top, noise) for top in (duration, side, side, 2)]
    t, x, y, p = np.floor(np.concatenate([made, odd], axis=1)).astype(np.int64)
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    order = np.argsort(t, kind="stable")
    return columns(t, x, y, p).some(order[inside[order]])


def joined(*parts: Events) -> Events:
    return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in "txyp"))


def at(events: Events, t: int) -> Events:
    """The same, so many microseconds later."""
    return Events(events.t + t, events.x, events.y, events.p)


def atis(events: Events) -> bytes:
    """N-MNIST: 40 bits an event."""
    out = bytearray()
    for t, x, y, p in zip(events.t, events.x, events.y, events.p):
        out += bytes([int(x), int(y), int(p) << 7 | int(t) >> 16, int(t) >> 8 & 255, int(t) & 255])
    return bytes(out)


def aedat2(events: Events, head: bytes = HEAD2) -> bytes:
    """CIFAR10-DVS: a DVS128's address and microseconds, the highest byte first."""
    return head + b"".join(
        struct.pack(">Ii", (127 - int(x)) << 8 | (127 - int(y)) << 1 | 1 - int(p), int(t))
        for t, x, y, p in zip(events.t, events.x, events.y, events.p))


def packet(events: Events, kind: int = 1, overflow: int = 0, valid: int = 1) -> bytes:
    """A packet of AEDAT 3.1."""
    body = b"".join(struct.pack("<II", int(x) << 17 | int(y) << 2 | int(p) << 1 | valid, int(t))
                    for t, x, y, p in zip(events.t, events.x, events.y, events.p))
    n = len(events)
    return struct.pack("<hhiiiiii", kind, 1, 8, 4, overflow, n, n, n * valid) + body


def aedat3(events: Events, head: bytes = HEAD3, each: int = 64) -> bytes:
    """DVS128 Gesture: packets of polarity events, with one of special events among them."""
    parts = [packet(events.some(slice(k, k + each))) for k in range(0, len(events), each)]
    parts.insert(1, packet(events.some(slice(0, 2)), kind=0))
    return head + b"".join(parts)


def gestures(rows: list[tuple[int, int, int]]) -> str:
    """The list of a trial's gestures: class from 1, first and last microsecond."""
    return "class,startTime_usec,endTime_usec\n" + "".join(
        f"{label},{start},{stop}\n" for label, start, stop in rows)


def shd(path, recordings: list[Events], labels) -> None:
    """The Spiking Heidelberg Digits: seconds and channels of each recording."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("spikes")
        for name, kind in (("times", np.float32), ("units", np.uint16)):
            part = group.create_dataset(name, (len(recordings),), h5py.vlen_dtype(kind))
            for k, events in enumerate(recordings):
                part[k] = events.t / 1e6 if name == "times" else events.x
        file.create_dataset("labels", data=np.array(labels, np.uint16))
