"""What a link can be built with beyond the cheapest."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph, random_images
from test_link import LONG, PIXELS, answer, info, request, result

from spikeloom.flow.errors import ConfigError, GraphError
from spikeloom.flow.lower import core, design_hash, top
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.hdl.checksum import crc16
from spikeloom.hdl.pixels import pack_pixels
from spikeloom.hdl.protocol import (
    SYNC_REPLY,
    Command,
    Features,
    Info,
    Status,
    frame,
    number_limits,
    pack_info,
    unpack_info,
)
from spikeloom.hdl.top import Top
from spikeloom.sim import reference
from spikeloom.sim.host import Device
from spikeloom.sim.images import payload
from spikeloom.sim.simulated import SimTransport

DUPLEX = Features(duplex=True)


def number(command, value):
    return request(command, struct.pack("<H", value))


def replies(line, seconds):
    """Every reply within some seconds: status and payload."""
    data, found = line.read(1 << 16, seconds), []
    while data:
        assert data[0] == SYNC_REPLY
        size = 6 + struct.unpack("<H", data[2:4])[0]
        assert crc16(data[1:size]) == 0 and len(data) >= size
        found.append((Status(data[1]), data[4:size - 2]))
        data = data[size:]
    return found


@pytest.mark.parametrize("features", [
    Features(), DUPLEX, Features(counters=True, steps=True, max_shift=15, pixel_bits=1),
    Features(max_shift=5, pixel_bits=4)])
def test_what_a_device_says_about_itself_comes_back(features):
    told = Info(design="0123456789abcdef", image_bytes=65535, n_classes=256, num_steps=1024,
                proof=True, divisor_bits=12, features=features)
    assert unpack_info(pack_info(told)) == told
    assert number_limits(Command.SHIFT, told) == range(features.max_shift + 1)


def test_the_next_image_arrives_while_the_last_is_computed_and_answered(wire):
    """Three images, each sent as early as may be, take little more than their own time."""
    images = [bytes([k, 1, 2, 3, 4, 255 - k]) for k in range(4)]
    line = wire(features=DUPLEX)
    line.write(b"".join(request(Command.INFER, image) for image in images[:2]))
    for k, image in enumerate(images):
        head = line.read(4, LONG / line.baud)
        rest = line.read(struct.unpack("<H", head[2:])[0] + 2, LONG / line.baud)
        assert crc16(head[1:] + rest) == 0
        assert (head[1], rest[:-2]) == (Status.OK, result(image))
        if k + 2 < len(images):
            line.write(request(Command.INFER, images[k + 2]))


def test_a_third_request_at_once_is_an_overrun_and_the_fourth_is_served(wire):
    line = wire(features=DUPLEX, clocks=900)
    images = [bytes([k, 1, 2, 3, 4, 5]) for k in range(3)]
    line.write(b"".join(request(Command.INFER, image) for image in images))
    assert replies(line, 4000 / line.baud) == [
        (Status.OK, result(images[0])), (Status.OK, result(images[1])), (Status.OVERRUN, b"")]
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_an_error_is_answered_in_its_turn(wire):
    line = wire(features=DUPLEX)
    line.write(request(Command.INFER, PIXELS) + request(Command.INFER, PIXELS[1:]))
    assert replies(line, 2000 / line.baud) == [(Status.OK, result(PIXELS)), (Status.LENGTH, b"")]


def test_a_pixel_is_never_too_early_for_a_duplex_link(wire):
    """Its images wait in a buffer, whose core may take its time."""
    late = bytes([1, 2, 0xEE, 4, 5, 6])
    assert answer(wire(features=DUPLEX), request(Command.INFER, late)) == (
        Status.OK, result(late))


@pytest.mark.parametrize("duplex", [False, True])
def test_timesteps_and_shifts_are_set_within_their_limits(wire, duplex):
    features = Features(duplex=duplex, steps=True, max_shift=3)
    line = wire(features=features)
    for command, good, bad in ((Command.STEPS, (1, 255, 256, 515, 300), (0, 516, 0x8001, 1024)),
                               (Command.SHIFT, (3, 0, 1), (4, 16, 0x100))):
        for value in good:
            assert answer(line, number(command, value)) == (Status.OK, b"")
        for value in bad:
            assert answer(line, number(command, value)) == (Status.REFUSED, b"")
    assert answer(line, request(Command.INFO)) == (Status.OK, info(features=features))


def test_a_cheap_link_knows_none_of_it(wire):
    line = wire()
    for command in (Command.STEPS, Command.SHIFT, Command.STATS):
        assert answer(line, number(command, 1)) == (Status.UNKNOWN, b"")
    device = Device(line)
    for call, what in ((lambda: device.set_steps(1), "run-time timesteps"),
                       (lambda: device.set_shift(1), "run-time bitstream lengths"),
                       (device.stats, "counters")):
        with pytest.raises(ConfigError, match=f"built without {what}; build one that has them"):
            call()


def test_the_host_checks_numbers_before_it_sends_them(wire):
    device = Device(wire(features=Features(steps=True, max_shift=2)))
    device.set_steps(7)
    with pytest.raises(ConfigError, match=r"timesteps must be in 1\.\.515, .* not 516"):
        device.set_steps(516)
    with pytest.raises(ConfigError, match=r"lengths must be in 0\.\.2, .* not 3"):
        device.set_shift(3)


@pytest.mark.parametrize("duplex", [False, True])
def test_the_host_keeps_a_duplex_device_busy(wire, duplex):
    images = np.random.default_rng(0).integers(0, 200, (6, 6))
    line = wire(features=Features(duplex=duplex))
    device = Device(line)
    found = [r.scores[0] for r in device.infer_all(images)]
    assert found == images.sum(1).tolist()
    device = Device(line)
    device.info()
    began = line.clocks
    list(device.infer_all(images))
    # A request has 12 bytes, a reply 21, a byte 40 clocks, and an inference 200.
    each = (line.clocks - began) / len(images)
    assert each > 1500 if not duplex else each < 1250


class Damaged:
    """A line whose second request arrives damaged."""

    def __init__(self, inner):
        self.inner, self.count = inner, 0
        self.name, self.timeout, self.baud = inner.name, 1000 / inner.baud, inner.baud
        self.read = inner.read

    def write(self, data):
        self.count += 1
        self.inner.write(data[:-1] + bytes([data[-1] ^ 1]) if self.count == 3 else data)


def test_a_damaged_image_among_many_is_sent_again(wire, monkeypatch):
    monkeypatch.setattr("spikeloom.hdl.protocol.SILENCE_BITS", 6)
    images = np.random.default_rng(1).integers(0, 200, (5, 6))
    line = Damaged(wire(features=DUPLEX))
    assert [r.scores[0] for r in Device(line).infer_all(images)] == images.sum(1).tolist()
    assert line.count > 6


class Losing(Damaged):
    """A line that loses its third request whole, so that the fourth's reply is the third's."""

    def write(self, data):
        self.count += 1
        if self.count != 3:
            self.inner.write(data)


def test_an_image_that_never_arrives_does_not_get_the_next_one_s_answer(wire, monkeypatch):
    monkeypatch.setattr("spikeloom.hdl.protocol.SILENCE_BITS", 6)
    images = np.random.default_rng(2).integers(0, 200, (6, 6))
    line = Losing(wire(features=DUPLEX))
    assert [r.scores[0] for r in Device(line).infer_all(images)] == images.sum(1).tolist()
    assert line.count > 7


@pytest.mark.parametrize("duplex", [False, True])
@pytest.mark.parametrize("encoder", ["rate", "stream", "spikes"])
def test_fewer_timesteps_at_run_time_equal_the_reference_model(encoder, duplex):
    """And all of them again afterwards; `spikes` gets all its frames, and uses the first."""
    rng = np.random.default_rng(4)
    graph = compile_graph(random_graph(rng, sizes=(9, 5, 3), encoder=encoder, num_steps=5))
    images = random_images(rng, graph, 2)
    device = Device(SimTransport(top(graph, divisor=4, features=Features(steps=True,
                                                                         duplex=duplex))))
    for steps in (1, 3, 5):
        device.set_steps(steps)
        fewer = replace(graph, num_steps=steps)
        wanted = reference.run(fewer, images[:, :steps] if encoder == "spikes" else images)
        found = list(device.infer_all(np.frombuffer(payload(graph, image), np.uint8)
                                      for image in images))
        assert [r.scores for r in found] == [tuple(row) for row in wanted.scores.tolist()]
        assert [r.cls for r in found] == wanted.classes.tolist()


def test_a_frame_at_another_rate_is_dropped(wire):
    line = wire()
    for divisor in (2, 3, 7, 16):
        right, line.baud = line.baud, line.clock_hz / divisor
        line.write(request(Command.INFER, PIXELS))
        line.read(1 << 16, 600 / right)
        line.baud = right
        line.read(1 << 16, 400 / right)
        assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_replies_are_not_taken_for_requests(wire):
    line = wire()
    line.write(frame(SYNC_REPLY, Command.INFO))
    assert line.read(1, 300 / line.baud) == b""


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_pixels_are_packed_from_the_lowest_bits_on(bits):
    values = np.random.default_rng(bits).integers(0, 1 << bits, 11)
    number = sum(int(value) << bits * k for k, value in enumerate(values))
    assert pack_pixels(values, bits) == number.to_bytes(-(-11 * bits // 8), "little")


@pytest.mark.parametrize("duplex", [False, True])
@pytest.mark.parametrize("bits,encoder", [(1, "rate"), (2, "stream"), (4, "rate"), (4, "stream")])
def test_packed_pixels_reach_the_network_exactly(bits, encoder, duplex):
    rng = np.random.default_rng(bits)
    graph = compile_graph(random_graph(rng, sizes=(19, 5, 3), encoder=encoder, num_steps=3))
    images = rng.integers(0, 1 << bits, (3, 19)) * 255 // ((1 << bits) - 1)
    wanted = reference.run(graph, images)
    device = Device(SimTransport(top(graph, divisor=4, features=Features(pixel_bits=bits,
                                                                         duplex=duplex))))
    assert device.info().image_bytes == -(-19 * bits // 8)
    found = list(device.infer_all(images))
    assert [r.scores for r in found] == [tuple(row) for row in wanted.scores.tolist()]
    with pytest.raises(ConfigError, match=rf"multiples of {255 // (2**bits - 1)} for .* not 1;"):
        device.infer(np.ones(19, int))


def test_events_are_packed_already():
    graph = compile_graph(random_graph(np.random.default_rng(0), encoder="spikes"))
    with pytest.raises(GraphError, match="pixel_bits must be 8 with `spikes` input"):
        top(graph, features=Features(pixel_bits=4))


@pytest.mark.parametrize("duplex,lanes,lowering", [
    (False, None, "spatial"), (True, None, "spatial"), (False, [3, 2], "spatial"),
    (False, [3, 1], "folded")])
def test_counters_say_what_the_reference_model_does(duplex, lanes, lowering):
    """Clocks as published, spikes of each layer, and the errors so far."""
    rng = np.random.default_rng(8)
    graph = random_graph(rng, sizes=(10, 7, 3), encoder="rate", num_steps=6,
                         readout="spike_count", lanes=lanes)
    graph = compile_graph(graph.replace(**{dense.name: {"lowering": lowering}
                                           for dense, _ in graph.layers}))
    images = random_images(rng, graph, 2)
    wanted = reference.run(graph, images, trace=True)
    features = Features(counters=True, duplex=duplex)
    line = SimTransport(Top(core(graph, features=features), design_hash(graph), 4, 6, features))
    device = Device(line)
    spikes = []
    for index, image in enumerate(images):
        assert device.infer(image).scores == tuple(wanted.scores[index].tolist())
        stats = device.stats()
        assert stats.failed == 2 * index
        if lowering == "spatial":
            assert stats.cycles == inference_cycles(graph)
        spikes.append(stats.spikes)
        assert answer(line, b"\xa5\x77")[0] == Status.UNKNOWN
        assert answer(line, b"\xa5\x77")[0] == Status.UNKNOWN
    assert spikes == [tuple(int(layer[:, k].sum()) for layer in wanted.spikes) for k in range(2)]
    assert sum(spikes[0]) > 3
