"""Calibration against currents made up from known prices, and files that are refused."""

import msgspec
import pytest

from spikeloom.flow.cost.actions import Actions, Image, Phase
from spikeloom.flow.cost.currents import Blank, Currents, Idle, Running, calibrate, load_currents
from spikeloom.flow.cost.prices import Action, shipped
from spikeloom.flow.cost.split import split
from spikeloom.flow.errors import ConfigError

#: A design of which an inference takes 2,000 clocks at 4 clocks per bit.
ACTIONS = Actions(
    design="0", board="icebreaker", device="UP5K", clock_hz=12e6, tools={}, divisor=4, request=20,
    reply=20, cells={}, flip_flops={"link": 50, "layer1": 250},
    groups={"link": "link", "layer1": "compute"},
    waiting=Phase(clocks=1, toggles={"link": 6.0}, ebr_reads={"layer1": 2.0}),
    idle=Phase(clocks=1, toggles={"link": 3.0}, ebr_reads={"layer1": 2.0}),
    layers=["pop1"], images=[Image(
        transfer=Phase(clocks=1600, toggles={"link": 20_000}, ebr_reads={"layer1": 3200}),
        compute=Phase(clocks=400, toggles={"layer1": 90_000}, ebr_reads={"layer1": 1200}),
        spikes=[[1]])])
VOLTS = 1.2
#: Prices that a board is said to have: static, clock (with flip-flops), toggle, access.
STATIC, CLOCK, TOGGLE, EBR = 100e-6, 55e-12, 200e-15, 3e-12
RATE, HZ = 4000.0, 12e6


def milliamperes(watts):
    return 1e3 * watts / VOLTS


def currents(*names, toggle=TOGGLE, ebr=EBR):
    idle = STATIC + HZ * (CLOCK + 3 * toggle + 2 * ebr)
    rest = HZ - RATE * 2000
    running = STATIC + HZ * CLOCK + toggle * (RATE * 110_000 + rest * 3) \
        + ebr * (RATE * 4400 + rest * 2)
    found = {"blank": Blank(ma=milliamperes(STATIC)), "idle": Idle(ma=milliamperes(idle), mhz=12),
             "running": Running(ma=milliamperes(running), mhz=12, inferences_per_second=RATE)}
    return Currents(VOLTS, **{name: found[name] for name in names})


def fitted(measured, divisor=4, **changes):
    prices = msgspec.structs.replace(shipped().of("UP5K"), **changes)
    return calibrate(prices, ACTIONS, measured, divisor=divisor, source="mine.toml")


def test_known_prices_are_recovered():
    """With free block memories, nothing is left open."""
    found = fitted(currents("blank", "idle", "running", ebr=0), ebr_read=Action(0.0, 0.0),
                   ebr_write=Action(0.0, 0.0))
    price = found.prices
    for end in ("low", "high"):
        assert getattr(price.static, end) == pytest.approx(STATIC)
        assert getattr(price.clock, end) == pytest.approx(CLOCK)
        assert getattr(price.toggle, end) == pytest.approx(TOGGLE)
        assert getattr(price.flip_flop, end) == getattr(price.ebr_read, end) == 0
    assert found.factors == pytest.approx((TOGGLE / 80e-15, TOGGLE / 570e-15))
    assert all(abs(value) < 1e-9 for value in found.residuals.values())
    assert set(found.residuals) == {"blank", "idle", "running"}
    assert "toggles cost 2.5 times" in found.text() and "by 0.0% at most" in found.text()


def test_where_memories_cost_the_truth_lies_between_both_ends():
    price = fitted(currents("blank", "idle", "running")).prices
    assert price.ebr_read.low == 0 and price.ebr_read.high > EBR
    for name, truth in (("clock", CLOCK), ("toggle", TOGGLE)):
        ends = [getattr(getattr(price, name), end) for end in ("low", "high")]
        assert min(ends) < truth < max(ends), name
    assert price.ebr_read.high < 86e-12, "the currents bound what nobody has measured"
    assert price.clock.high == pytest.approx(shipped().of("UP5K").clock.low)


@pytest.mark.parametrize("names", [("blank",), ("idle",), ("running",), ("blank", "idle"),
                                   ("blank", "running"), ("idle", "running"),
                                   ("blank", "idle", "running")])
def test_every_measured_current_is_met(names):
    """The energy of inferences without a pause is power times time, whatever was measured."""
    measured = currents(*names)
    found = fitted(measured)
    assert set(found.residuals) == set(names)
    assert all(abs(value) < 1e-9 for value in found.residuals.values())
    cost = split(ACTIONS, found.prices, divisor=4, clock_hz=HZ)
    if "running" in names:
        idle_clock = ACTIONS.idle.toggles["link"]
        for end in ("low", "high"):
            price = {key: getattr(getattr(found.prices, key), end)
                     for key in ("static", "clock", "toggle", "ebr_read")}
            rest = HZ - RATE * 2000
            watts = RATE * 1e-9 * getattr(cost.total(), end) + rest * (
                price["static"] / HZ + price["clock"] + idle_clock * price["toggle"]
                + 2 * price["ebr_read"])
            assert watts == pytest.approx(1e-3 * VOLTS * measured.running.ma)
    else:
        assert found.factors == (1.0, 1.0)


def test_a_price_of_nothing_has_no_factor():
    found = fitted(currents("blank", "idle", "running"), toggle=Action(0.0, 570e-15))
    assert found.factors[0] == float("inf") and 0 < found.factors[1] < 1
    assert found.prices.toggle.low > TOGGLE > found.prices.toggle.high


def test_what_cannot_be_met_is_refused():
    good = currents("blank", "idle", "running")

    def refused(words, divisor=4, **changes):
        with pytest.raises(ConfigError, match=words) as raised:
            fitted(Currents(**{"volts": VOLTS, "blank": good.blank, "idle": good.idle,
                               "running": good.running, **changes}), divisor)
        assert str(raised.value).startswith("mine.toml: ")

    refused(r"running\.ma must be above 0\.[0-9]+, which what does not depend on it takes",
            running=Running(ma=good.idle.ma, mhz=12, inferences_per_second=RATE))
    refused(r"idle\.ma must be above", idle=Idle(ma=good.blank.ma / 2, mhz=12))
    refused(r"inferences_per_second must be at most 6000 at 12 MHz and 4 clocks per bit",
            running=Running(ma=9, mhz=12, inferences_per_second=6001))
    refused(r"idle\.ma must be more for this design", running=None,
            idle=Idle(ma=good.blank.ma + 1e-4, mhz=12))
    dull = msgspec.structs.replace(ACTIONS, images=[msgspec.structs.replace(
        ACTIONS.images[0], compute=Phase(clocks=400), transfer=Phase(clocks=1600))])
    with pytest.raises(ConfigError, match="must be measured on a faster line"):
        calibrate(shipped().of("UP5K"), dull, good, divisor=4, source="mine.toml")


@pytest.mark.parametrize("text,words", [
    ("[blank]\nma = 0.1", "supply.volts must be in 0.5..24"),
    ("volts = 1.2", "must have at least one of [blank], [idle] and [running]"),
    ("volts = 1200\n[blank]\nma = 0.1", "supply.volts must be in 0.5..24"),
    ("volts = 1.2\n[blank]\nma = -0.1", "blank.ma must be in 0..1000 mA, not -0.1"),
    ("volts = 1.2\n[blank]\nma = 0.1\nmhz = 12", "unknown key 'mhz'"),
    ("volts = 1.2\n[idel]\nma = 0.1", "unknown key 'idel'; did you mean 'idle'"),
    ("volts = 1.2\n[idle]\nma = 0.1", "idle.mhz must be in 0..300, above 0"),
    ("volts = 1.2\nidle = 3", "idle must be a table [idle], not 3"),
    ("volts = 1.2\n[idle]\nma = nan\nmhz = 12", "idle.ma must be in 0..1000 mA"),
    ("volts = 1.2\n[running]\nma = 1\nmhz = 12", "running.inferences_per_second must be a"),
    ("volts = 1.2\n[blank]\nma = 0.7\n[idle]\nma = 0.6\nmhz = 12",
     "idle.ma must be above blank.ma = 0.7, not 0.6"),
    ("volts = ", "must be TOML"),
])
def test_a_wrong_file_is_refused(tmp_path, text, words):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_currents(path)
    assert words in str(raised.value) and str(path) in str(raised.value)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("volts = 1.2\n[idle]\nma = 0.7\nmhz = 12\n"
                    "[running]\nma = 0.9\nmhz = 24\ninferences_per_second = 100\n")
    assert load_currents(path) == Currents(
        1.2, idle=Idle(ma=0.7, mhz=12),
        running=Running(ma=0.9, mhz=24, inferences_per_second=100))
