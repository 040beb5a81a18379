"""Prices of actions: where they come from, and which tables are refused."""

from itertools import pairwise

import msgspec
import pytest

from spikeloom.flow import tools
from spikeloom.flow.cost import prices
from spikeloom.flow.errors import ConfigError
from spikeloom.sim.cells import KINDS, Circuit
from spikeloom.sim.flat_netlist import read_netlist

#: ice40_power's supply, and currents of its core in uA at 12 MHz, but where a clock is named.
VOLTS = 1.219
COUNTERS = {32: 613.5, 60: 616.65, 116: 624.2, 228: 641.3}
WITHOUT, MULTIPLIER = 645.0, 996.0
OSCILLATOR = {6e6: 388.4, 48e6: 2184.0}
HALTED = 92.1


def joules(microamperes, hz=12e6):
    return 1e-6 * microamperes * VOLTS / hz


def counted(source, clocks):
    """LUT and flip-flop toggles a clock of a design that is read as Verilog."""
    netlist = tools.yosys("top.v", source, "read_verilog top.v\nsynth_ice40 -top top\n"
                          "write_json top.json\n", "top.json", what="synthesise a test")
    circuit = Circuit(read_netlist(netlist))
    for _ in range(clocks):
        circuit.tick()
    (toggles,) = circuit.seen().toggles
    found = dict(zip(KINDS, toggles, strict=True))
    return (found["lut"] + found["ff"]) / clocks


def test_the_prices_that_ship_follow_from_the_measured_currents():
    price = prices.shipped().of("UP5K")
    assert price.static.high == pytest.approx(HALTED * 1e-6 * VOLTS, rel=0.01)
    oscillator = prices.shipped().of("UP5K", "hfosc").static
    most = 1e-6 * (OSCILLATOR[6e6] - 6 * (OSCILLATOR[48e6] - OSCILLATOR[6e6]) / 42) * VOLTS
    assert oscillator.middle == pytest.approx(most, rel=0.01)  # at 0 Hz, leakage included
    assert oscillator.low <= most <= oscillator.high
    slope = 1e-6 * (OSCILLATOR[48e6] - OSCILLATOR[6e6]) * VOLTS / 42e6
    for clock in (slope, joules(COUNTERS[32] - HALTED)):
        assert price.clock.low <= clock <= price.clock.high
    sizes = sorted(COUNTERS)
    cells = [joules(COUNTERS[b] - COUNTERS[a]) / (b - a)
             for a, b in pairwise(sizes)]
    assert price.flip_flop.high == pytest.approx(max(cells), rel=0.02)
    toggles = counted("module top(input clk, output o); reg [27:0] n = 0;"
                      "always @(posedge clk) n <= n + 1; assign o = n[27]; endmodule", 4096)
    assert toggles == pytest.approx(4, abs=0.01)
    assert price.toggle.low == pytest.approx(28 * min(cells) / toggles, rel=0.02)
    # the multiplier of that measurement: two counters of eight bits, by 3 and by 5
    toggles = counted("module top(input clk, output [15:0] o); reg [7:0] a = 0, b = 0;"
                      "always @(posedge clk) begin a <= a + 3; b <= b + 5; end "
                      "assign o = a * b; endmodule", 8192)
    assert price.toggle.high == pytest.approx(joules(MULTIPLIER - WITHOUT) / toggles, rel=0.02)
    # SYNtzulu's four SPRAMs, at 9.5 mW and 24 MHz
    assert price.spram_read.high == pytest.approx((9.5e-3 / 24e6 - price.clock.low) / 4, rel=0.01)
    assert price.spram_read.low == 0 and price.ebr_read.high <= price.spram_read.high


def test_dynamic_prices_are_borrowed_where_a_device_has_none():
    up5k, hx8k = (prices.shipped().of(name) for name in ("UP5K", "HX8K"))
    assert not up5k.borrowed and hx8k.borrowed
    assert hx8k.toggle == up5k.toggle and hx8k.static != up5k.static
    assert not prices.shipped().known("HX1K")
    with pytest.raises(ConfigError, match="device with energy figures 'HX1K'"):
        prices.shipped().of("HX1K")


def test_a_device_without_sprams_needs_no_price_of_theirs(tmp_path):
    path = tmp_path / "mine.toml"
    text = "".join(f"[dynamic.HX8K.{name}]\nlow = 0\nhigh = 1e-12\n" for name in prices.ACTIONS
                   if not name.startswith("spram"))
    path.write_text("format = 1\n" + text)
    assert not prices.load(path).of("HX8K").borrowed
    path.write_text("format = 1\n" + text.replace("HX8K.ebr_read", "UP5K.ebr_read"))
    assert prices.load(path).of("HX8K").borrowed


def test_every_shipped_price_names_its_source():
    table = prices.shipped()
    found = [*table.static.values(), *(price for items in (table.clocks, table.dynamic)
                                       for item in items.values() for price in item.values())]
    assert len(found) == 3 + len(prices.CLOCKS) + len(prices.ACTIONS)
    assert all(len(price.source) > 10 for price in found)
    assert set(table.dynamic["UP5K"]) == set(prices.ACTIONS)


def test_a_users_table_lies_over_the_one_that_ships(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("format = 1\n[static.HX1K]\nlow = 5e-4\nhigh = 6e-4\n"
                    "[dynamic.UP5K.ebr_read]\nlow = 1e-12\nhigh = 2e-12\n")
    table = prices.load(path)
    assert table.known("HX1K") and table.of("HX1K").borrowed
    assert (table.of("UP5K").ebr_read.low, table.of("UP5K").ebr_read.high) == (1e-12, 2e-12)
    assert table.of("UP5K").toggle == prices.shipped().of("UP5K").toggle
    assert prices.shipped().of("UP5K").ebr_read.high == 86e-12, "the one that ships is as it was"
    assert table.of("UP5K").ebr_read.middle == pytest.approx(1.5e-12)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"low": 1, "high": 2, "hihg": 3}, prices.Action)


@pytest.mark.parametrize("text,words", [
    ("format = 2", "format must be 1, not 2"),
    ("format = 1\n[statik.UP5K]\n", "unknown section 'statik'; did you mean 'static'"),
    ("format = 1\n[static.UP5]\n", "unknown device 'UP5'; did you mean 'UP5K'"),
    ("format = 1\n[dynamic.UP5K.togle]\n", "unknown action 'togle'; did you mean 'toggle'"),
    ("format = 1\n[dynamic.UP5K]\ntoggle = 3\n", "must be a table with low and high, not 3"),
    ("format = 1\n[dynamic.UP5K.toggle]\nlow = 1e-13\n", "must have high, not only low"),
    ("format = 1\n[dynamic.UP5K.toggle]\nlow = 2e-13\nhigh = 1e-13\n", "high must be in low.."),
    ("format = 1\n[dynamic.UP5K.toggle]\nlow = -1\nhigh = 1e-13\n", "low must be joules, 0"),
    ("format = 1\n[dynamic.UP5K.toggle]\nlow = 100\nhigh = 200\n", "high must be in low..1e-06"),
    ("format = 1\n[dynamic.UP5K.toggle]\nlow = nan\nhigh = 1e-13\n", "low must be joules"),
    ("format = 1\n[static.UP5K]\nlow = 0.1\nhigh = 0.2\ntypical = 1\n", "typical must be in low"),
    ("format = 1\n[static.UP5K]\nlow = 0.1\nhigh = 0.2\nhihg = 1\n", "did you mean 'high'"),
    ("format = ", "must be TOML"),
])
def test_a_wrong_table_is_refused(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        prices.load(path)
    assert words in str(raised.value) and str(path) in str(raised.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read"):
        prices.load(tmp_path / "no.toml")
