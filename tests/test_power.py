"""Devices that lose their power, or are not ready yet: a clear answer, never a wrong class."""

import json
from functools import partial

import numpy as np
import pytest
from loaded_core import (
    DESIGN,
    WAKE_BITS,
    flash_with,
    loaded_top,
    memory_of,
    some_words,
)
from losing_power import LosingPower
from networks import random_images
from test_spram_networks import graph_of

from spikeloom import hdl
from spikeloom.flow.cli import main
from spikeloom.flow.run import Run
from spikeloom.hdl import protocol
from spikeloom.hdl.boot import boot_clocks
from spikeloom.hdl.flash_image import pack
from spikeloom.hdl.protocol import Features
from spikeloom.sim import connected, reference
from spikeloom.sim.host import Device, NotLoadedError

COUNT = 90
BOOT = boot_clocks(COUNT, WAKE_BITS)
PATIENCE = 2 * BOOT / 12e6


@pytest.fixture(autouse=True)
def short_silence(monkeypatch):
    """The host's, and that of designs that a command makes."""
    monkeypatch.setattr(protocol, "SILENCE_BITS", 6)
    monkeypatch.setattr(hdl.top, "Top", partial(hdl.top.Top, silence_bits=6))


def losing(*losses, image=None, flash=True, features=Features(weights=True)):  # noqa: B008
    image = pack(some_words(COUNT), DESIGN) if image is None else image
    top = loaded_top(COUNT, features=features, **({} if flash else {"flash": None}))
    line = LosingPower(top, losses=losses, flash=flash_with(image) if flash else None)
    line.timeout = 0.0001
    return line


@pytest.mark.parametrize("share", [0.5, 0.98])
def test_in_the_middle_of_loading_they_are_loaded_anew(share):
    line = losing(round(share * BOOT))
    device = Device(line, expect=DESIGN)
    waited = []
    device.wait_for_weights(2 * PATIENCE, waited.append)
    assert line.lost == 1 and line.clocks > share * BOOT + BOOT
    assert waited[0] == 0 and waited == sorted(waited)
    assert memory_of(line)[0].tolist() == some_words(COUNT).tolist()
    assert device.infer(np.arange(6)).scores[0] == 15


@pytest.mark.parametrize("duplex", [False, True])
def test_among_images_each_still_gets_its_own_class(duplex):
    images = np.random.default_rng(0).integers(0, 200, (7, 6))
    line = losing(BOOT + 4000, 3 * BOOT + 8000,
                  features=Features(weights=True, duplex=duplex, steps=True))
    device = Device(line, expect=DESIGN, patience=PATIENCE)
    device.wait_for_weights(PATIENCE)
    device.set_divisor(5)
    device.set_steps(3)
    assert [r.scores[0] for r in device.infer_all(images)] == images.sum(1).tolist()
    assert line.lost == 2 and line.baud == 12e6 / 5
    assert line.ctx.get(line.top.link.steps) == 3 and line.ctx.get(line.top.link.divisor) == 5


def test_a_duplex_device_that_is_reset_in_a_batch_gets_its_timesteps_again(counting_top):
    """At the rate of its reset, where nothing is missed but the answers under way."""
    line = LosingPower(counting_top(features=Features(duplex=True, steps=True)), losses=[9000])
    line.timeout = 0.0001
    device = Device(line)
    device.set_steps(3)
    images = np.random.default_rng(0).integers(0, 200, (9, 6))
    assert [r.scores[0] for r in device.infer_all(images)] == images.sum(1).tolist()
    assert line.lost == 1 and line.ctx.get(line.top.link.steps) == 3


def test_a_device_that_was_met_at_another_rate_is_found_at_that_of_its_reset(counting_top):
    line = LosingPower(counting_top(), losses=[9000])
    line.timeout = 0.0001
    Device(line).set_divisor(6)  # and the host is interrupted
    device = Device(line, reset_divisor=4)
    device.set_divisor(6)
    images = np.random.default_rng(0).integers(0, 200, (9, 6))
    assert [r.scores[0] for r in device.infer_all(images)] == images.sum(1).tolist()
    assert line.lost == 1 and line.ctx.get(line.top.link.divisor) == 6


def test_without_patience_or_for_good_it_is_a_clear_error():
    device = Device(losing(BOOT + 3000), expect=DESIGN)
    device.wait_for_weights(PATIENCE)
    images = np.ones((40, 6), int)
    with pytest.raises(NotLoadedError, match="simulation: LOADING: "):
        list(device.infer_all(images))
    device = Device(losing(flash=False), patience=PATIENCE)  # nobody sends it any
    waited = []
    began = device.transport.now()
    with pytest.raises(NotLoadedError, match=r"LOADING after .* s: its weights are not loaded yet"):
        device.wait_for_weights(PATIENCE, waited.append)
    took = device.transport.now() - began
    assert PATIENCE <= waited[-1] <= took and waited[-1] == pytest.approx(took, rel=0.2)
    with pytest.raises(NotLoadedError, match=r"LOADING after .* s: its weights are not loaded yet"):
        device.infer(images[0])


def test_while_weights_are_sent_they_are_sent_again():
    """A device without a flash forgets that it was to be sent some."""
    line = losing(BOOT // 2, flash=False)
    device, sent = Device(line), []
    device.load(pack(some_words(COUNT), DESIGN), sent.append)
    assert line.lost == 1 and sent.count(0) == 2
    assert memory_of(line)[0].tolist() == some_words(COUNT).tolist()
    assert device.infer(np.arange(6)).scores[0] == 15


@pytest.mark.parametrize("image,word", [
    (b"", "MISSING"), (pack(some_words(COUNT), DESIGN)[:99], "DAMAGED"),
    (pack(some_words(COUNT), bytes(8)), "NETWORK")],
    ids=["missing", "damaged", "network"])
def test_a_wrong_image_is_not_waited_for(image, word):
    line = losing(image=image)
    with pytest.raises(NotLoadedError, match=f"simulation: {word}: .*'spikeloom flash' writes"):
        Device(line).wait_for_weights(100 * PATIENCE)
    assert line.clocks < 3 * BOOT


@pytest.fixture
def run(tmp_path):
    graph = graph_of((12, 6, 3), lanes=(6, 3), num_steps=2)
    run = Run.create(tmp_path / "run")
    graph.save(run.graph_file)
    images = random_images(np.random.default_rng(0), graph, 6)
    run.save_samples(images, reference.run(graph, images).classes)
    return run


@pytest.mark.parametrize("losses,options", [
    ((1500, 9000), []), ((7000,), ["--link", "duplex"])])
def test_the_command_goes_on_after_power_losses(run, monkeypatch, capsys, losses, options):
    lines = []

    def line(top, **settings):
        lines.append(LosingPower(top, losses=losses, **settings))
        return lines[0]

    monkeypatch.setattr(connected, "SimTransport", line)
    assert main(["infer", "--sim", "--run", str(run.path), "--json", "--count", "4",
                 *options]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["count"], data["equal"], data["correct"]) == (4, 4, 4)
    assert lines[0].lost == len(losses)


def test_the_command_says_what_is_wrong_with_a_flash(run, monkeypatch, capsys):
    monkeypatch.setattr(connected.SpiFlash, "of", staticmethod(
        lambda design, graph: flash_with(b"\xff" * 64)))
    assert main(["infer", "--sim", "--run", str(run.path)]) == 1
    error = capsys.readouterr().err
    assert "MISSING: there are no weights in its flash; write them" in error
    assert error.count("\n") == 1
