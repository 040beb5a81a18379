"""Recordings made up for tests, in the official formats: bars that move, a direction a class."""

import struct

import numpy as np

from spikeloom.nas import datasets
from spikeloom.nas.datasets import cifar10_dvs, dvs128_gesture, nmnist
from spikeloom.nas.datasets import shd as spoken
from spikeloom.nas.datasets.images import Subset
from spikeloom.sim.recordings.events import Events, columns

#: In the place of the subsets that ship.
FEW = Subset(train=3, validation=1, test=2)

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


def sweep(label: int, classes: int, seed: int, duration: int = 500_000, count: int = 60) -> Events:
    """A tone whose channel of 700 rises within `duration` microseconds, from one that is its class.
    """
    rng = np.random.default_rng([seed, label])
    t = np.sort(rng.integers(0, duration, count))
    x = (700 * label // classes + 350 * t // duration + rng.integers(0, 20, count)) % 700
    return columns(t, x, 0 * t, 0 * t)


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


# Data sets


def places(root, monkeypatch):
    """As a fixture: data sets and the cache below `root`, which nothing was loaded of."""
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(root))
    monkeypatch.setenv("SPIKELOOM_CACHE", str(root / "cache"))
    datasets.load.cache_clear()
    yield root
    datasets.load.cache_clear()


def _sizes(monkeypatch, module, **values):
    for name, value in values.items():
        monkeypatch.setattr(module, name, value)


def nmnist_folder(root, monkeypatch):
    """N-MNIST of five and two recordings a digit, of bars; the last ten are held out."""
    _sizes(monkeypatch, nmnist, TRAINING=50, TEST=20, HELD=10)
    monkeypatch.setitem(nmnist.SETS, "nmnist-small", FEW)
    for part, count in (("Train", 50), ("Test", 20)):
        for k in range(count):
            path = root / "nmnist" / part / str(k % 10) / f"{k + 1:05}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(atis(bar(k % 10, 10, 34, 100 * (part == "Test") + k)))
    return root / "nmnist"


def cifar10_dvs_folder(root, monkeypatch):
    """CIFAR10-DVS of twelve recordings a class, of bars."""
    _sizes(monkeypatch, cifar10_dvs, EACH=12)
    monkeypatch.setitem(cifar10_dvs.SETS, "cifar10-dvs", Subset(train=8, validation=1, test=3))
    monkeypatch.setitem(cifar10_dvs.SETS, "cifar10-dvs-small", FEW)
    for label, name in enumerate(cifar10_dvs.NAMES):
        (root / "cifar10-dvs" / name).mkdir(parents=True)
        for k in range(12):
            path = root / "cifar10-dvs" / name / f"cifar10_{name}_{k}.aedat"
            path.write_bytes(aedat2(bar(label, 10, 128, k)))
    return root / "cifar10-dvs"


def gesture_folder(root, monkeypatch):
    """Three and one trials of eleven gestures, the first of them twice, from 1 s on."""
    _sizes(monkeypatch, dvs128_gesture, TRAINING=3, TEST=1, HELD=1)
    folder = root / "DvsGesture"
    folder.mkdir()
    for user in (1, 2, 3, 24):
        parts = [at(bar(k % 11, 11, 128, user), 1_000_000 + 100_000 * k) for k in range(12)]
        (folder / f"user{user:02}_led.aedat").write_bytes(aedat3(joined(*parts)))
        (folder / f"user{user:02}_led_labels.csv").write_text(gestures(
            [(k % 11 + 1, 1_000_000 + 100_000 * k, 1_100_000 + 100_000 * k) for k in range(12)]))
    (folder / "trials_to_train.txt").write_text(
        "user01_led.aedat\r\nuser02_led.aedat\r\nuser03_led.aedat\r\n")
    (folder / "trials_to_test.txt").write_text("user24_led.aedat\n\n")
    return folder


def shd_folder(root, monkeypatch):
    """The Spiking Heidelberg Digits, four and two tones a class."""
    _sizes(monkeypatch, spoken, TRAINING=80, TEST=40)
    monkeypatch.setitem(spoken.SETS, "shd", Subset(train=None, validation=1, test=None))
    (root / "shd").mkdir()
    for part, first, count in (("train", 0, 80), ("test", 100, 40)):
        shd(root / "shd" / f"shd_{part}.h5",
            [sweep(k % 20, 20, first + k) for k in range(count)], np.arange(count) % 20)
    return root / "shd"
