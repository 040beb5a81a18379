"""Weights on their way from the flash, or the link, into a core."""

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.sim import Simulator
from loaded_core import (
    AT,
    DESIGN,
    WAKE_BITS,
    WEIGHTS,
    flash_with,
    loaded_line,
    loaded_top,
    memory_of,
    some_words,
)
from test_link import PIXELS, answer, info, request, result

from spikeloom.flow.errors import ConfigError, SpikeloomError
from spikeloom.hdl import protocol
from spikeloom.hdl.boot import Boot, boot_clocks
from spikeloom.hdl.flash_image import pack
from spikeloom.hdl.protocol import PIECE_BYTES, Command, Features, Status
from spikeloom.hdl.stored import StoredImages
from spikeloom.sim.host import Device, NoAnswerError, NotLoadedError
from spikeloom.sim.simulated import SimTransport, attach
from spikeloom.sim.spi_flash import SpiFlash


def run(boot, flash, clocks, *, ready=lambda clock: True, reset=()):
    """Words by address, in the order in which they came, and the status after so many clocks.

    Ends sooner when the image has ended. reset: clocks in which it is reset.
    """
    m = Module()
    resetting = Signal()
    m.submodules.boot = ResetInserter(resetting)(boot)
    got, seen = [], {}
    simulator = Simulator(m)
    simulator.add_clock(1 / 12e6)
    if flash is not None:
        attach(simulator, boot.flash, flash, 12e6)

    async def bench(ctx):
        for clock in range(clocks):
            ctx.set(boot.load.ready, ready(clock))
            ctx.set(resetting, clock in reset)
            if ctx.get(boot.load.valid) and ready(clock):
                item = ctx.get(boot.load.payload)
                got.append((item["address"], item["data"]))
            if ctx.get(boot.loader.ended):
                break
            if clock in reset:
                flash.power_down()
                got.clear()
            await ctx.tick()
        seen["clock"], seen["status"] = clock, Status(ctx.get(boot.status))
        assert ctx.get(boot.loaded) == (seen["status"] == Status.OK)
        for _ in range(40):  # until the reader has seen it, too
            await ctx.tick()
        if flash is not None:
            assert ctx.get(boot.flash.cs_n)

    simulator.add_testbench(bench)
    simulator.run()
    return got, seen["status"], seen["clock"]


def booted(words, flash, **options):
    boot = Boot(DESIGN, len(words), AT, wake_bits=WAKE_BITS)
    return run(boot, flash, 40_000, **options)


@pytest.mark.parametrize("count", [1, 2, 5, 17, 130])
def test_every_word_arrives_once_and_in_its_place(count):
    words = some_words(count)
    flash = flash_with(pack(words, DESIGN))
    got, status, clocks = booted(words, flash)
    assert status == Status.OK and flash.reads == [AT]
    assert got == list(enumerate(words.tolist()))
    assert clocks == boot_clocks(count, WAKE_BITS)


def test_a_memory_that_takes_its_time_gets_them_too():
    words = some_words(40)
    got, status, clocks = booted(words, flash_with(pack(words, DESIGN)),
                                 ready=lambda clock: clock % 37 == 0)
    assert status == Status.OK and got == list(enumerate(words.tolist()))
    assert clocks > boot_clocks(40, WAKE_BITS)


@pytest.mark.parametrize("change,status", [
    (lambda image: b"", Status.MISSING),
    (lambda image: bytes(len(image)), Status.MISSING),
    (lambda image: image[:3] + b"\2" + image[4:], Status.VERSION),
    (lambda image: pack(some_words(20), bytes(8)), Status.NETWORK),
    (lambda image: pack(some_words(21), DESIGN), Status.DAMAGED),
    (lambda image: image[:-1], Status.DAMAGED),
    (lambda image: image[:30], Status.DAMAGED),
    (lambda image: image[:20] + bytes([image[20] ^ 1]) + image[21:], Status.DAMAGED),
    (lambda image: image[:-1] + bytes([image[-1] ^ 0x80]), Status.DAMAGED),
    (lambda image: image[:-4] + bytes(byte ^ 0xFF for byte in image[-4:]), Status.DAMAGED),
])
def test_a_wrong_image_leaves_the_network_off_and_says_why(change, status):
    words = some_words(20)
    got, found, _ = booted(words, flash_with(change(pack(words, DESIGN))))
    assert found == status
    if status in (Status.MISSING, Status.VERSION, Status.NETWORK):
        assert not got


@pytest.mark.parametrize("bit", (0, 9, 18, 31))
def test_each_bit_of_the_checksum_counts(bit):
    words = some_words(3)
    image = bytearray(pack(words, DESIGN))
    image[-4 + bit // 8] ^= 1 << bit % 8
    assert booted(words, flash_with(bytes(image)))[1] == Status.DAMAGED


@pytest.mark.parametrize("clock", [0, 5, 17, 60, 120, 500, 1500])
def test_power_loss_in_the_middle_begins_anew(clock):
    words = some_words(40)
    flash = flash_with(pack(words, DESIGN))
    got, status, clocks = booted(words, flash, reset=(clock,))
    assert status == Status.OK and got == list(enumerate(words.tolist()))
    assert clocks == clock + 1 + boot_clocks(40, WAKE_BITS)


def test_a_flash_that_sleeps_longer_than_it_is_waited_for_is_noticed():
    words = some_words(2)
    slow = SpiFlash(bytes(AT) + pack(words, DESIGN), waking=3e-6)
    with pytest.raises(SpikeloomError, match="before it is ready for another command"):
        booted(words, slow)


def test_by_default_it_waits_as_long_as_any_flash_asks_for():
    words = some_words(2)
    slow = SpiFlash(bytes(AT) + pack(words, DESIGN), waking=100e-6)
    assert run(Boot(DESIGN, 2, AT), slow, 5000)[1] == Status.OK


def test_a_design_answers_when_its_weights_have_arrived():
    words = some_words(130)
    line = loaded_line(count=130)
    device = Device(line, expect=DESIGN)
    assert device.info().features == WEIGHTS
    assert device.weights() == Status.LOADING
    device.wait_for_weights(1e-3)
    assert device.weights() == Status.OK
    found, writes = memory_of(line)
    assert found.tolist() == words.tolist() and writes == 130
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_a_host_that_asks_too_early_gets_no_class():
    line = loaded_line(count=130)
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.LOADING, b"")
    assert answer(line, request(Command.INFO)) == (Status.OK, info(features=WEIGHTS))
    with pytest.raises(NotLoadedError, match=r"simulation: LOADING: .* not loaded yet; wait"):
        Device(line).infer(np.frombuffer(PIXELS, np.uint8))


@pytest.mark.parametrize("image,status,text,duplex", [
    (b"", Status.MISSING, "there are no weights in its flash", False),
    (pack(some_words(), bytes(8)), Status.NETWORK, "another network's", False),
    (pack(some_words(), DESIGN)[:-1], Status.DAMAGED, "damaged or were cut short", True),
    (b"SLW\0" + DESIGN, Status.VERSION, "the format of another version", False)],
    ids=["missing", "network", "damaged", "version"])
def test_a_device_whose_flash_is_wrong_says_so(image, status, text, duplex):
    line = loaded_line(image, features=Features(weights=True, duplex=duplex))
    device = Device(line)
    with pytest.raises(NotLoadedError, match=text) as caught:
        device.wait_for_weights(0.1)
    assert caught.value.status == device.weights() == status and "\n" not in str(caught.value)
    assert answer(line, request(Command.INFER, PIXELS)) == (status, b"")
    with pytest.raises(NotLoadedError, match=text):
        list(device.infer_all([np.frombuffer(PIXELS, np.uint8)] * 3))


def test_weights_can_be_sent_over_the_link():
    words = some_words(130, seed=1)
    line = loaded_line(flash=None, count=130)
    device = Device(line)
    told = []
    device.load(pack(words, DESIGN), told.append)
    assert told == [0, 256, 512]
    assert memory_of(line)[0].tolist() == words.tolist()
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_weights_can_be_sent_again_and_those_of_another_network_are_refused():
    line = loaded_line()
    device = Device(line)
    device.wait_for_weights(1e-3)
    with pytest.raises(NotLoadedError, match="another network's"):
        device.load(pack(some_words(), bytes(8)))
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.NETWORK, b"")
    assert memory_of(line)[0].tolist() == some_words().tolist()
    device.load(pack(some_words(seed=1), DESIGN))
    assert memory_of(line)[0].tolist() == some_words(seed=1).tolist()
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))


def test_what_follows_the_weights_changes_nothing_until_they_are_forgotten():
    line = loaded_line(flash=None)
    Device(line).load(pack(some_words(), DESIGN))
    assert answer(line, request(Command.LOAD, bytes(PIECE_BYTES))) == (Status.OK, b"")
    assert memory_of(line)[1] == 10
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.OK, result(PIXELS))
    assert answer(line, request(Command.FORGET)) == (Status.OK, b"")
    assert answer(line, request(Command.INFER, PIXELS)) == (Status.LOADING, b"")


def test_a_piece_that_arrives_damaged_has_all_be_sent_again(monkeypatch):
    monkeypatch.setattr(protocol, "SILENCE_BITS", 6)
    line = loaded_line(flash=None)
    write, count = line.write, 0

    def damaging(data):
        nonlocal count
        count += 1
        write(data[:9] + bytes([data[9] ^ 1]) + data[10:] if count == 3 else data)

    line.write, line.timeout = damaging, 0.0005
    device = Device(line)
    device.info()
    device.load(pack(some_words(), DESIGN))
    assert memory_of(line)[0].tolist() == some_words().tolist()


def test_a_line_that_stays_bad_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(protocol, "SILENCE_BITS", 6)
    line = loaded_line(flash=None)
    device = Device(line)
    device.info()
    write, line.timeout = line.write, 0.0005
    line.write = lambda data: write(data[:-1] + b"\0")
    with pytest.raises(NoAnswerError, match="LOAD failed twice: status CHECKSUM"):
        device.load(pack(some_words(), DESIGN))


@pytest.mark.parametrize("command,payload", [
    (Command.WEIGHTS, b"\0"), (Command.FORGET, b"\0"), (Command.LOAD, b""),
    (Command.LOAD, bytes(PIECE_BYTES - 1)), (Command.INFER, PIXELS[:-1])])
def test_wrong_lengths(command, payload):
    line = loaded_line(flash=None)
    assert answer(line, request(command, payload)) == (Status.LENGTH, b"")
    assert answer(line, request(Command.INFO)) == (Status.OK, info(features=WEIGHTS))


def test_a_design_without_weights_to_load_knows_nothing_of_it(wire):
    line = wire()
    for command in (Command.WEIGHTS, Command.FORGET, Command.LOAD):
        assert answer(line, request(command)) == (Status.UNKNOWN, b"")
    device = Device(line)
    device.wait_for_weights(0.0)
    with pytest.raises(ConfigError, match="built without weights that are loaded"):
        device.load(b"")


def test_the_button_waits_for_the_weights():
    top = loaded_top(stored=StoredImages([PIXELS], debounce_bits=3))
    started = []

    class Pressed(SimTransport):
        async def _receive(self, ctx):
            clock = 0
            async for _, _, start in ctx.tick().sample(top.core.start):
                clock += 1
                ctx.set(top.button, clock % 64 < 32)
                if start:
                    started.append(clock)

    line = Pressed(top, flash=flash_with(pack(some_words(), DESIGN)))
    ready = boot_clocks(10, WAKE_BITS)
    line.read(1, (ready + 500) / 12e6)
    assert started and started[0] > ready
