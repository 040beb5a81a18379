"""Readers of recordings of events, the frames made of them, and recordings that are refused."""

import importlib
import os
import re
import sys
from types import ModuleType

import event_files as made
import numpy as np
import pytest
from event_files import at, bar, gestures, joined

from spikeloom.flow import config
from spikeloom.flow.errors import ConfigError, RunError
from spikeloom.flow.events import EventData, Recorded
from spikeloom.sim.recordings import READERS, aedat3, read_frames
from spikeloom.sim.recordings.events import Events, checked, columns
from spikeloom.sim.recordings.frames import frames, shape

SENSOR = {"atis": (2, 34, 34), "aedat2": (2, 128, 128), "aedat3": (2, 128, 128)}
WRITERS = {"atis": made.atis, "aedat2": made.aedat2, "aedat3": made.aedat3}


def recording(kind: str, seed=0) -> Events:
    return bar(3, 10, SENSOR[kind][1], seed)


def read(kind, path, mend=False, places=(0,), sensor=None):
    return list(READERS[kind].read(path, list(places), sensor or SENSOR[kind], mend))


def same(found: Events, wanted: Events):
    for name in "txyp":
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def data(**changes) -> EventData:
    return config.section(EventData, {"downsample": 1, "num_steps": 4, **changes}, "e.toml", "data")


# Readers


@pytest.mark.parametrize("kind", WRITERS)
def test_what_was_written_is_read(tmp_path, kind):
    path = tmp_path / f"a{READERS[kind].SUFFIX}"
    path.write_bytes(WRITERS[kind](recording(kind)))
    (found,) = read(kind, path)
    same(found, recording(kind))
    assert READERS[kind].labels(path, 10) is None


def test_an_event_of_an_atis_bit_by_bit(tmp_path):
    """x = 17, y = 5, brighter, 0x012345 us; then one of a time that overflowed twice."""
    path = tmp_path / "00001.bin"
    path.write_bytes(bytes.fromhex("1105812345" "00f0000000" "03f0000000" "2100012346"))
    same(*read("atis", path), columns([0x12345, 0x12346 + 2 * 8192], [17, 33], [5, 0], [1, 0]))


def test_an_event_of_a_dvs128_bit_by_bit(tmp_path):
    path = tmp_path / "a.aedat"
    words = ("00007f01" "00000005"   # bits 8 to 14 all set: column 0; bits 1 to 7 clear: row 127
             "00008000" "00000006"   # bit 15: no pixel's
             "000000fe" "00000007")  # column 127, row 0, brighter
    path.write_bytes(b"#!AER-DAT2.0\r\n# a comment\r\n" + bytes.fromhex(words))
    same(*read("aedat2", path), columns([5, 7], [0, 127], [127, 0], [0, 1]))


def test_packets_of_aedat3_bit_by_bit(tmp_path):
    """Overflows are above 31 bits of time; invalid events and other packets are no events."""
    one = columns([5, 9], [3, 127], [100, 0], [1, 0])
    path = tmp_path / "a.aedat"
    path.write_bytes(made.HEAD3 + made.packet(one) + made.packet(one, valid=0)
                     + made.packet(one, kind=0) + made.packet(one, overflow=1))
    same(*read("aedat3", path), joined(one, at(one, 1 << 31)))


def test_gestures_are_cut_out_of_a_trial(tmp_path):
    parts = [at(bar(label, 11, 128, label), 1000 + 200_000 * label) for label in range(3)]
    path = tmp_path / "user01_led.aedat"
    path.write_bytes(made.aedat3(joined(*parts)))
    rows = [(label + 1, 1000 + 200_000 * label, 101_000 + 200_000 * label) for label in (0, 2, 1)]
    (tmp_path / "user01_led_labels.csv").write_text(gestures(rows))
    assert aedat3.labels(path, 11).tolist() == [0, 2, 1]
    assert len(aedat3.files(path)) == 2
    for found, label in zip(read("aedat3", path, places=(0, 2, 1)), (0, 1, 2)):
        same(found, parts[label])


def test_spoken_digits(tmp_path):
    path, rng = tmp_path / "shd_test.h5", np.random.default_rng(0)
    written = [columns(np.sort(rng.integers(0, 900_000, n)), rng.integers(0, 700, n), [0] * n,
                       [0] * n) for n in (40, 25, 60)]
    made.shd(path, written, [3, 19, 0])
    assert READERS["shd"].labels(path, 20).tolist() == [3, 19, 0]
    for found, wanted in zip(read("shd", path, places=(2, 0), sensor=(1, 1, 700)),
                             (written[2], written[0])):
        np.testing.assert_array_equal(found.x, wanted.x)
        assert np.abs(found.t - wanted.t).max() <= 1, "single precision holds microseconds"


@pytest.fixture
def tonic(yardsticks, monkeypatch):
    """Modules of the package tonic, without what importing all of it takes along."""
    found = next((place for path in sys.path
                  if os.path.isdir(place := os.path.join(path, "tonic"))), None)
    if found is None:
        assert not os.environ.get("CI"), "tonic is missing"
        pytest.skip("tonic is missing")
    for name, place in (("tonic", found), ("tonic.functional", os.path.join(found, "functional"))):
        module = ModuleType(name)
        module.__path__ = [place]
        monkeypatch.setitem(sys.modules, name, module)
    io = importlib.import_module("tonic.io")
    header = io.read_aedat_header_from_file  # of whose three values its own callers expect two
    monkeypatch.setattr(io, "read_aedat_header_from_file", lambda path: header(path)[:2])
    yield lambda name: importlib.import_module(f"tonic.{name}")
    for name in [name for name in sys.modules if name.startswith("tonic.")]:
        sys.modules.pop(name)


@pytest.mark.parametrize("kind", WRITERS)
def test_tonic_reads_the_same(tmp_path, tonic, kind):
    io, path = tonic("io"), tmp_path / f"a{READERS[kind].SUFFIX}"
    # without the packet of special events, whose type tonic does not look at
    content = (made.HEAD3 + made.packet(recording(kind)) if kind == "aedat3"
               else WRITERS[kind](recording(kind)))
    path.write_bytes(content)
    (found,) = read(kind, path)
    if kind == "atis":
        theirs = io.read_mnist_file(str(path), np.dtype([(name, int) for name in "xytp"]))
        x, y, p = theirs["x"], theirs["y"], theirs["p"]
    else:
        _, theirs = (io.read_dvs_128 if kind == "aedat2" else io.read_dvs_ibm)(str(path))
        x, y, p = theirs["x"], theirs["y"], theirs["p"].astype(int)
        if kind == "aedat2":  # which it leaves mirrored, and darker where it became brighter
            x, y, p = 127 - x, 127 - y, 1 - p
    same(found, columns(theirs["t"], x, y, p))


@pytest.mark.parametrize("changes,theirs", [
    ({"binning": "time", "num_steps": 10}, {"n_time_bins": 10}),
    ({"binning": "window", "window_us": 5000, "num_steps": 12}, {"time_window": 5000}),
    ({"binning": "count", "num_steps": 20}, {"n_event_bins": 20})])
def test_tonic_makes_the_same_frames(tonic, changes, theirs):
    """Of 400 events within 0..99,999 us, the last of which it leaves out of windows."""
    rng = np.random.default_rng(0)
    t = np.sort(np.concatenate([[0], rng.integers(0, 99_000, 398), [99_999]]))
    events = columns(t, *(rng.integers(0, top, 400) for top in (34, 34, 2)))
    settings = data(values="counts", **changes)
    array = np.zeros(401, [(name, int) for name in "xytp"])
    for name in "xytp":
        array[name] = np.append(getattr(events, name), 100_000 if name == "t" else 0)
    array = array if changes["binning"] != "count" else array[:400]
    wanted = tonic("functional.to_frame").to_frame_numpy(array, (34, 34, 2), **theirs)
    wanted = wanted[:settings.num_steps].reshape(settings.num_steps, -1)
    assert wanted.sum() == (400 if changes["binning"] != "window" else (t < 60_000).sum())
    np.testing.assert_array_equal(frames(events, settings, (2, 34, 34)), wanted)


# Frames

FEW = columns([10, 11, 14, 19, 20, 30, 49], [0, 3, 3, 4, 4, 2, 0], [0, 0, 0, 2, 2, 1, 2],
              [1, 0, 1, 0, 0, 1, 0])


@pytest.mark.parametrize("changes,steps", [
    ({"binning": "time"}, [0, 0, 0, 0, 1, 2, 3]),  # 40 us in four windows
    ({"binning": "time", "num_steps": 3}, [0, 0, 0, 0, 0, 1, 2]),
    ({"binning": "window", "window_us": 10}, [0, 0, 0, 0, 1, 2, 3]),
    ({"binning": "window", "window_us": 3}, [0, 0, 1, 3, 3, None, None]),
    ({"binning": "window", "window_us": 1000}, [0] * 7),
    ({"binning": "count"}, [0, 0, 1, 1, 2, 2, 3]),
    ({"binning": "count", "num_steps": 7}, list(range(7))),
    ({"binning": "count", "num_steps": 9}, [0, 1, 2, 3, 5, 6, 7])])
@pytest.mark.parametrize("downsample", [1, 2, 5])
@pytest.mark.parametrize("polarity", ["both", "merged"])
def test_frames_count_events(changes, steps, downsample, polarity):
    """Against a loop over the events, whose timesteps were worked out by hand."""
    settings = data(values="counts", downsample=downsample, polarity=polarity, **changes)
    wanted = np.zeros((settings.num_steps, *shape(settings, (2, 3, 5))), int)
    for step, x, y, p in zip(steps, FEW.x, FEW.y, FEW.p):
        if step is not None:
            wanted[step, p if polarity == "both" else 0, y // downsample, x // downsample] += 1
    found = frames(FEW, settings, (2, 3, 5))
    np.testing.assert_array_equal(found, wanted.reshape(settings.num_steps, -1))
    binary = data(downsample=downsample, polarity=polarity, **changes)
    assert (frames(FEW, binary, (2, 3, 5)) == (found > 0)).all()
    two = data(downsample=downsample, polarity=polarity, threshold=2, **changes)
    assert (frames(FEW, two, (2, 3, 5)) == (found > 1)).all()


def test_shapes_of_frames():
    assert shape(data(downsample=2), (2, 34, 34)) == (2, 17, 17)
    assert shape(data(downsample=8, polarity="merged"), (2, 128, 128)) == (1, 16, 16)
    assert shape(data(downsample=3), (2, 34, 34)) == (2, 12, 12)
    assert shape(data(downsample=10), (1, 1, 700)) == (70,)


def test_counts_end_at_a_byte_and_one_event_is_a_recording():
    many = columns([5] * 300, [1] * 300, [1] * 300, [0] * 300)
    assert frames(many, data(values="counts"), (2, 3, 3)).max() == 255
    one = columns([5], [1], [1], [0])
    for binning in ("time", "count"):
        assert frames(one, data(binning=binning), (2, 3, 3)).sum(1).tolist() == [1, 0, 0, 0]


# What is refused


def refused(call, *words):
    """One line that begins with the file, and says what to do."""
    with pytest.raises(RunError) as error:
        call()
    text = str(error.value)
    assert all(word in text for word in words), text
    assert "\n" not in text and "unpack it again" in text and error.value.exit_code == 2


HEADER = 28


@pytest.mark.parametrize("kind,cut,words,kept", [
    ("atis", -3, "must have 5 bytes, not 2: the file ends within it", -1),
    ("aedat2", -1, "must have 8 bytes, not 7: the file ends within it", -1),
    ("aedat3", -5, "must have 8 bytes, not 3: the file ends within it", -1)])
def test_a_recording_that_is_cut_short(tmp_path, kind, cut, words, kept):
    whole, path = recording(kind), tmp_path / f"a{READERS[kind].SUFFIX}"
    path.write_bytes(WRITERS[kind](whole)[:cut])
    refused(lambda: read(kind, path), f"{path}: event {len(whole) - 1:,} ", words, "data.faults")
    same(*read(kind, path, mend=True), whole.some(slice(None, kept)))


def test_a_trial_that_ends_within_the_header_of_a_packet(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(made.aedat3(recording("aedat3")) + b"\1\0")
    refused(lambda: read("aedat3", path), "whole packet, not with 2 bytes", "data.faults = 'mend'")
    same(*read("aedat3", path, mend=True), recording("aedat3"))


@pytest.mark.parametrize("kind", WRITERS)
def test_events_beyond_the_sensor_and_times_that_go_backward(tmp_path, kind):
    whole, path = recording(kind), tmp_path / f"a{READERS[kind].SUFFIX}"
    path.write_bytes(WRITERS[kind](whole))
    small = (2, 20, 20)
    off = (whole.x >= 20) | (whole.y >= 20)
    at_ = int(np.argmax(off))
    refused(lambda: read(kind, path, sensor=small), f"{path}: event {at_} must be on the sensor of "
            f"20 x 20, not at x = {whole.x[at_]}, y = {whole.y[at_]}", "leaves such events out")
    same(*read(kind, path, mend=True, sensor=small), whole.some(~off))
    path.write_bytes(WRITERS[kind](joined(whole.some(slice(5, None)), whole.some(slice(0, 5)))))
    place = len(whole) - 5
    refused(lambda: read(kind, path), f"{path}: event {place} must not be before event {place - 1}",
            f"at {whole.t[0]:,} us after {whole.t[-1]:,} us", "sorts events by time")
    same(*read(kind, path, mend=True), whole)


def test_sorting_keeps_the_order_of_equal_times():
    events = columns([3, 1, 3, 1], [0, 1, 2, 3], [0] * 4, [0] * 4)
    assert checked(events, (1, 1, 9), True, None).x.tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("mend", [False, True])
def test_no_events(tmp_path, kind, mend):
    path = tmp_path / f"a{READERS[kind].SUFFIX}"
    none = recording(kind).some(slice(0, 0))
    for content in (b"", made.HEAD3 if kind == "aedat3" else WRITERS[kind](none)):
        path.write_bytes(content)
        refused(lambda: read(kind, path, mend), f"{path}: must have events, not no", "leave it out")


@pytest.mark.parametrize("kind,content,words", [
    ("aedat2", b"#!AER-DAT4.0\r\n", "must begin with #!AER-DAT2.0, not '#!AER-DAT4.0'; convert it"),
    ("aedat3", made.HEAD2, "must begin with #!AER-DAT3.1, not '#!AER-DAT2.0'"),
    ("aedat2", b"#!AER-DAT2.0", "events behind its header, not end within it"),
    ("aedat3", made.HEAD3[:-14], "must have a header that ends with #!END-HEADER"),
    ("aedat3", made.HEAD3 + bytes(28), "the packet at byte 61 must have events of 8 bytes"),
    ("aedat3", made.HEAD3 + made.packet(FEW)[:16] + b"\xff" * 12, "not -1 of -1 of 8 bytes"),
    ("aedat2", made.HEAD2 + b"\0\1\0\0\0\0\0\1", "event 0 must be on the sensor of 128 x 128"),
])
def test_damaged_files(tmp_path, kind, content, words):
    path = tmp_path / "a.aedat"
    path.write_bytes(content)
    refused(lambda: read(kind, path), f"{path}: ", words)


@pytest.mark.parametrize("text,words", [
    ("", "must have gestures, not none"),
    ("class,startTime_usec,endTime_usec\n1,2\n", "line 2 must be a class and two times, not '1,2'"),
    ("1,5,-9\n", "line 1 must be a class and two times"),
    ("12,5,9\n", "line 1: the class must be in 1..11, not 12"),
    ("0,5,9\n", "line 1: the class must be in 1..11, not 0"),
    ("1,900,900\n", "must begin before it ends, not at 900 and 900 us"),
])
def test_damaged_labels_of_gestures(tmp_path, text, words):
    path = tmp_path / "a.aedat"
    path.write_bytes(made.aedat3(recording("aedat3")))
    path.with_name("a_labels.csv").write_text(text)
    refused(lambda: aedat3.labels(path, 11), str(path.with_name("a_labels.csv")), words)


def test_a_gesture_without_events(tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(made.aedat3(recording("aedat3")))
    path.with_name("a_labels.csv").write_text(gestures([(1, 10**6, 2 * 10**6)]))
    refused(lambda: read("aedat3", path), "events between 1,000,000 and 2,000,000 us, gesture 0 of "
            "a_labels.csv, not none")


def spoil(path, how):
    import h5py

    with h5py.File(path, "r+") as file:
        how(file)


def _set(name, place, values):
    def how(file):
        file[name][place] = values
    return how


def _replace(name, **what):
    def how(file):
        del file[name]
        if what:
            file.create_dataset(name, **what)
    return how


@pytest.mark.parametrize("how,words", [
    (_set("spikes/units", 0, np.array([1, 700], np.uint16)), "[0]: event 1 must be on the sensor"),
    (_set("spikes/units", 0, np.array([1], np.uint16)), "[0]: must have an integer unit for every"),
    (_set("spikes/times", 0, np.array([0.1, np.nan], np.float32)), "up to 3600 s, not nan"),
    (_set("spikes/times", 0, np.array([0.2, 0.1], np.float32)), "event 1 must not be before event"),
    (_replace("labels"), "must be a whole HDF5 file with spikes/times, spikes/units, labels"),
    (_replace("labels", data=np.zeros(1, int)), "must have as many of spikes/times"),
    (_replace("labels", data=np.zeros(2)), "labels must be integers, not float64"),
])
def test_damaged_spoken_digits(tmp_path, how, words):
    path = tmp_path / "a.h5"
    two = columns([5, 6], [1, 2], [0, 0], [0, 0])
    made.shd(path, [two, two], [0, 1])
    spoil(path, how)
    refused(lambda: read("shd", path, sensor=(1, 1, 700)), str(path), words)


def test_other_files_than_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    refused(lambda: READERS["shd"].labels(path, 20), f"{path}: cannot be read")
    path.write_bytes(b"no HDF5 at all")
    refused(lambda: READERS["shd"].labels(path, 20), "must be a whole HDF5 file")
    made.shd(path, [FEW], [20])
    refused(lambda: READERS["shd"].labels(path, 20), "labels must be in 0..19, not 20 of recording")


def test_one_file_as_a_run_reads_it(tmp_path):
    recorded = Recorded(1, "atis", (2, 34, 34), 10, data(name="nmnist", downsample=2))
    path = tmp_path / "00007.bin"
    path.write_bytes(made.atis(recording("atis")))
    found, labels = read_frames(path, recorded)
    assert found.shape == (1, 4, 578) and labels is None
    np.testing.assert_array_equal(found[0], frames(recording("atis"), recorded.data, (2, 34, 34)))
    with pytest.raises(ConfigError, match=re.escape("recordings for a network of 'nmnist' must be "
                                                    ".bin files, not .aedat")):
        read_frames(tmp_path / "a.aedat", recorded)


@pytest.mark.parametrize("changes,words", [
    ({"num_steps": 0}, "data.num_steps must be in 1..1024, not 0"),
    ({"binning": "events"}, "data.binning must be one of 'time', 'window', 'count', not"),
    ({"binning": "window"}, "data.window_us must be in 1..1000000000 with binning = 'window'"),
    ({"window_us": 5}, "data.window_us must be 0 with binning = 'time'"),
    ({"downsample": -1}, "data.downsample must be in 1..1024, or 0"),
    ({"polarity": "on"}, "data.polarity must be one of 'both', 'merged'"),
    ({"values": "spikes"}, "data.values must be one of 'binary', 'counts'"),
    ({"threshold": 0}, "data.threshold must be in 1..255, not 0"),
    ({"threshold": 2, "values": "counts"}, "data.threshold must be 1 with values = 'counts'"),
    ({"faults": "ignore"}, "data.faults must be one of 'refuse', 'mend'"),
    ({"bins": 3}, "data.bins: unknown key 'bins'; did you mean 'binning'?"),
    ({"num_steps": 2.5}, "data.num_steps must be an integer, not 2.5"),
])
def test_settings_that_are_refused(changes, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        config.experiment_from({"data": {"name": "nmnist", **changes}}, "e.toml")


def test_settings_are_part_of_an_experiment(tmp_path):
    found = config.experiment_from({"data": {"name": "shd", "binning": "count"}})
    again = tmp_path / "experiment.toml"
    again.write_text(config.to_toml(found))
    assert config.load_experiment(again) == found and found.data.binning == "count"
    assert "num_steps = 16\n" in again.read_text()
    images = config.to_toml(config.experiment_from({"data": {"name": "mnist"}}))
    assert "binning" not in images
    texts = {EventData(**item).text() for item in (
        {}, {"num_steps": 9}, {"binning": "count"}, {"binning": "window", "window_us": 9},
        {"polarity": "merged"}, {"downsample": 3}, {"values": "counts"}, {"threshold": 2},
        {"faults": "mend"})}
    assert len(texts) == 9, "what differs has different names"
