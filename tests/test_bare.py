"""A bare device with a pin file: what is read, and how a wrong file is answered."""

import argparse

import pytest
from test_build import Registers

from spikeloom.flow import bare, build
from spikeloom.flow.cli import main
from spikeloom.flow.errors import ConfigError

GOOD = """[pins]
clock = "35"
clock_mhz = 24
rx = "6"
tx = "9"
leds = ["11", "37"]
leds_inverted = true
buttons = ["10"]
programmer = ["icesprog"]
"""


def chosen(*argv):
    parser = argparse.ArgumentParser()
    bare.add_arguments(parser)
    return bare.chosen(parser.parse_args(argv))


@pytest.fixture
def pins(tmp_path):
    def write(text=GOOD):
        path = tmp_path / "my board.toml"
        path.write_text(text)
        return str(path)
    return write


def test_a_pin_file_makes_a_board(pins):
    board = chosen("--board", "up5k:sg48", "--pins", pins())
    assert (board.device, board.package) == ("UP5K", "SG48")
    assert board.name.startswith("up5k-sg48-my-board-")
    assert board.asked == f"up5k:sg48 --pins '{pins()}'"
    assert board.clock_hz == 24_000_000 and board.divisor == 208
    assert board.programmer == ("icesprog",) and len(board.leds) == 2 and len(board.buttons) == 1
    plan = build.prepare(Registers(1), board, design="d")
    pcf = [words[:3] for words in map(str.split, plan.files["top.pcf"].splitlines())
           if words and words[0].startswith("set_")]
    assert sorted(pcf) == [
        ["set_frequency", "clk_0__io", "24.0"], ["set_io", "clk_0__io", "35"],
        ["set_io", "led_0__io", "11"], ["set_io", "led_1__io", "37"],
        ["set_io", "uart_0__rx__io", "6"], ["set_io", "uart_0__tx__io", "9"]]


def test_other_pins_are_another_board_s(pins):
    def name(text):
        return chosen("--board", "up5k:sg48", "--pins", pins(text)).name

    others = [GOOD.replace("24", "48"), GOOD.replace('"37"', '"38"')]
    assert len({name(text) for text in (GOOD, *others)}) == 3
    assert name(GOOD) == name(GOOD.replace("[pins]", "# the same\n[pins]"))


def test_a_bare_device_is_built(pins, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    text = '[pins]\nclock = "D1"\nrx = "A3"\ntx = "B3"\n'
    board = chosen("--board", "LP1K:cm36", "--pins", pins(text))
    report = build.build(Registers(1), board, design="d")
    assert report.fits and report.device == "LP1K" and report.bitstream_bytes == 32220
    assert report.clock_mhz == 12 and report.meets_clock


@pytest.mark.parametrize("change, message", [
    (("35", "99"), r"my board.toml: pins.clock must be a pin of the UP5K-SG48, not '99'"),
    (('"37"', '"X9"'), r"pins.leds\[1\] must be a pin of the UP5K-SG48, not 'X9'"),
    (('"10"', '"6"'), r"pins.buttons\[0\] must be a pin of its own, not '6', which is pins.rx"),
    (('rx = "6"\n', ""), "pins.rx must be the name of a pin, not \"\""),
    (("24", "0"), r"pins.clock_mhz must be in 0.46..472, not 0.0"),
    (("24", "1"), "pins.clock_mhz must be within 2% of a multiple of 115200 Hz, the link's rate"),
    (('"6"', '"6 7"'), 'pins.rx must be the name of a pin, not "6 7"'),
    (('"37"', '"3\\n7"'), "pins.leds must be a list of names of pins"),
    (("24", "'fast'"), "pins.clock_mhz must be a number, not 'fast'"),
    (("leds =", "lights ="), "pins.lights: unknown key 'lights'"),
    (("icesprog", "icesprogg"), "unknown programmer 'icesprogg'; did you mean 'icesprog'"),
    (("[pins]", "[pin]"), r"must hold one section \[pins\], not \['pin'\]"),
    (("[pins]", "[pins"), "must be TOML"),
])
def test_a_wrong_pin_file_is_refused_by_file_and_key(pins, change, message):
    with pytest.raises(ConfigError, match=message):
        chosen("--board", "up5k:sg48", "--pins", pins(GOOD.replace(*change)))


@pytest.mark.parametrize("argv, message", [
    (["--board", "up5k:sg48"], "--board up5k:sg48 must come with --pins FILE"),
    (["--board", "icebreaker", "--pins", "x.toml"], "--pins must be used with --board DEVICE:PAC"),
    (["--board", "up5k:sg48", "--pins", "none.toml"], "none.toml: cannot be read (No such file"),
    (["--board", "up4k:sg48", "--pins", "none.toml"], "unknown device 'UP4K'; did you mean 'UP5K'"),
])
def test_the_command_line_refuses_it_in_one_line(argv, message, capsys, tmp_path):
    assert main(["estimate", "--layers", "8-4", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def test_a_package_that_the_device_lacks(pins):
    with pytest.raises(ConfigError, match="--board must name a package of the UP5K, not SG84"):
        chosen("--board", "up5k:sg84", "--pins", pins())
