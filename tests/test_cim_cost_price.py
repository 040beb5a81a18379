"""Prices of the chip that is planned: by hand, by property, step by step."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from cim_networks import SINGLE, conv, dense, network, networks
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from spikeloom.flow.cim.array import ENCODINGS, Array
from spikeloom.flow.cim.cost.actions import COMPONENTS, load_actions
from spikeloom.flow.cim.cost.price import counted, explain, price, priced, writing
from spikeloom.flow.cim.cost.switches import MEANING, MODES, Switches
from spikeloom.flow.cim.cost.table import shipped
from spikeloom.flow.cim.mapper import map_network
from spikeloom.flow.cim.shapes import Layer
from spikeloom.flow.errors import ConfigError, GraphError, RunError

VGG9 = Path(__file__).parents[1] / "examples" / "vgg9.csv"
NET = network(conv("a", 3, 16, 8, pool=2), conv("b", 16, 130, 4), dense("c", 2080, 10))
INPUTS = [192, 256, 2080]


def close(value):
    return pytest.approx(value, rel=1e-12)


def test_one_layer_by_hand():
    """3 x 3 x 16 x 32 on 4 x 4 places, 5 timesteps, a column a weight: nine crossbars, one PE."""
    layer = conv("a", 16, 32, 4)
    cost = price(network(layer), SINGLE)
    reads, columns = 5 * 16, 9 * 32
    energy = {row.component: row.energy_pj for row in cost.rows}
    assert energy["crossbar"] == close(9 * 16 * 32 * reads * 1.76423 / 512)
    assert energy["ADC"] == close(columns * reads * 2.03084)
    assert energy["multiplexer"] == close(columns * reads * 0.094245)
    assert energy["driver"] == close(9 * 16 * reads * 0.41667)
    assert energy["shift-add"] == close(columns * reads * 0.2e-3 / 9.6e9 * 1e12)
    assert energy["H-tree"] == close(reads * 157.12)
    assert energy["neuron"] == close(512 * 5 * 5.096 / 64)
    words = 512 * 5 * 22 / 32
    assert energy["neuron memory"] == close(words * (2.96125 + 5.85398))  # 1,408 bytes in 2 KB
    width = 4 + 3 + 4  # ADC, weight, nine sums
    assert energy["accumulator"] == close(8 * 32 * reads * width * 0.21 / 32)
    inputs, sums = 256 * 5 / 32, 32 * width * reads / 32
    assert energy["PE buffers"] == close(
        9 * 16 * reads / 32 * 21.3234 + inputs * 16.4529 + sums * (9.42396 + 8.98962))
    assert energy["tile buffers"] == close(
        inputs * (38.5044 + 24.7617) + sums * (17.8628 + 12.9923))
    assert energy["NoC"] == 0 and "pooling" not in energy
    assert cost.latency_ms == close(reads * 26 * 4e-6)
    leaks = 8 * (0.00091622 + 0.00541115 + 0.000243783 + 0.00149034) + (
        0.00166652 + 0.00920523 + 0.00045811 + 0.00270558) + 0.00091622 + 0.00541115
    assert energy["leakage"] == pytest.approx((leaks * 1e-3 + 8.0502938e-7) * cost.latency_ms * 1e9,
                                              rel=1e-5)
    area = {row.component: row.area_um2 for row in cost.rows}
    assert area["crossbar"] == close(72 * 26.2144)
    assert area["ADC"] == close(72 * 8 * 693.633)
    assert area["input memory"] == close(256 * 0.7391)
    assert area["neuron memory"] == close(512 * 22 * 0.7391)


def test_shares_and_layers_sum_to_the_total():
    for mode in ("released", "physical"):
        cost = price(NET, Array(), mode)
        assert sum(row.area_share for row in cost.rows) == close(1)
        assert sum(row.energy_share for row in cost.rows) == close(1)
        assert sum(layer.area_um2 for layer in cost.layers) == close(1e6 * cost.area_mm2)
        leaked = sum(row.energy_pj for row in cost.rows if row.component == "leakage")
        assert sum(layer.energy_pj for layer in cost.layers) + leaked == close(1e6 * cost.energy_uj)
        assert sum(layer.latency_ns for layer in cost.layers) == close(1e6 * cost.latency_ms)
        assert {row.component for row in cost.rows} <= {*COMPONENTS, "leakage"}


def test_rows_by_name():
    cost = price(NET, Array(), "released")
    assert cost.row("leakage").energy_pj == 0 and cost.row("ADC").energy_pj > 0
    with pytest.raises(ConfigError, match="unknown component 'adc'"):
        cost.row("adc")


def test_physical_lists_what_has_no_price_and_foreign_nodes():
    streamed = conv("s", 3, 3, 8, digital="streams")
    cost = price(network(streamed, *NET.layers), Array())
    assert cost.not_priced["s"] == "stays digital: streams"
    assert "ADC leakage" in cost.not_priced
    assert cost.borrowed["energy.driver"] == 32 and cost.borrowed["energy.or_bit"] == 40
    assert "energy.router_bit" not in cost.borrowed


def test_explain_turns_one_switch_a_row():
    steps = explain(NET, Array(), "released", "physical")
    assert steps[0][0] == "released"
    first, last = steps[0][2], steps[-1][2]
    for one, mode in ((first, "released"), (last, "physical")):
        other = price(NET, Array(), mode)
        assert (one.area_mm2, one.latency_ms, one.energy_uj) == (
            other.area_mm2, other.latency_ms, other.energy_uj)
    names = [name for name, _, _ in steps[1:]]
    assert names == [name for name in MEANING
                     if getattr(MODES["released"], name) != getattr(MODES["physical"], name)]
    by_name = {name: (before[2], after[2]) for before, after in pairwise(steps)
               for name in (after[0],)}
    before, after = by_name["latency"]
    assert after.latency_ms < before.latency_ms and after.energy_uj == before.energy_uj
    before, after = by_name["leakage"]
    assert after.energy_uj > before.energy_uj and after.area_mm2 == before.area_mm2


@pytest.mark.parametrize("pair", [("physical", "released"), ("neuronas", "physical"),
                                  ("physical", "neuronas"), ("released", "neuronas")])
def test_explain_ends_where_it_should(pair):
    last = explain(NET, Array(), *pair)[-1][2]
    other = price(NET, Array(), pair[1])
    assert (last.area_mm2, last.latency_ms, last.energy_uj) == (
        other.area_mm2, other.latency_ms, other.energy_uj)


def test_every_setting_of_every_switch_gives_a_price():
    for name, values in MEANING.items():
        for value in values:
            switches = Switches(**{name: value}).check()
            cost = price(NET, Array(), switches=switches, spikes=INPUTS)
            assert cost.area_mm2 > 0 and cost.latency_ms > 0 and cost.energy_uj > 0
            assert values[value] in cost.assumptions


def test_bad_switches_modes_and_spikes():
    with pytest.raises(ConfigError, match="unknown mode 'phisical'; did you mean 'physical'"):
        price(NET, Array(), "phisical")
    with pytest.raises(ConfigError, match=r"switches\.kernel: unknown setting 'five'"):
        price(NET, Array(), switches=Switches(kernel="five"))
    with pytest.raises(ConfigError, match="membrane_bits must be in"):
        price(NET, Array(), switches=Switches(membrane_bits=0))
    with pytest.raises(ConfigError, match="spikes must be given"):
        price(NET, Array(), "event")
    with pytest.raises(ConfigError, match="one number for each of 3 layers, not 2"):
        price(NET, Array(), spikes=[1, 2])
    with pytest.raises(ConfigError, match=r"a: must be in 0\.\.192, .* not 193"):
        price(NET, Array(), spikes=[193, 0, 0])


def test_networks_that_cannot_be_priced():
    with pytest.raises(GraphError, match="no convolution that crossbars could hold"):
        price(network(dense("a", 4, 4)), Array(), "released")
    with pytest.raises(GraphError, match="a stays digital, streams"):
        price(network(dense("a", 4, 4, digital="streams")), Array())
    with pytest.raises(GraphError, match="out_channels must be at least 1"):
        price(network(conv("a", 1, 0, 4)), Array())


def test_all_inputs_spiking_is_what_physical_assumes():
    assert price(NET, Array(), spikes=INPUTS).energy_uj == close(price(NET, Array()).energy_uj)


def test_silence_reads_nothing():
    cost = price(NET, Array(), spikes=[0, 0, 0])
    for component in ("crossbar", "driver", "ADC", "multiplexer", "DIFF", "H-tree", "NoC"):
        assert cost.row(component).energy_pj == 0, component
    assert cost.row("neuron").energy_pj > 0 and cost.mode == "event"
    assert cost.area_mm2 == price(NET, Array()).area_mm2


def test_rare_spikes_skip_crossbars():
    """One of 16 rows in a hundred places: 1 - 0.99**16 of the crossbars are read."""
    cost = price(network(conv("a", 16, 32, 4)), SINGLE, spikes=[2.56])
    assert cost.row("ADC").energy_pj == close((1 - 0.99 ** 16) * 9 * 32 * 80 * 2.03084)
    assert cost.row("crossbar").energy_pj == close(0.01 * 9 * 16 * 32 * 80 * 1.76423 / 512)
    assert cost.row("H-tree").energy_pj == close((1 - 0.99 ** (16 * 9)) * 80 * 157.12)


@pytest.mark.parametrize("inputs, pes, shares", [
    (1024, 2, ((16, 576),)),            # 16 parts of the inputs, 9 in a PE
    (964, 2, ((7, 576), (9, 516))),     # of the windows of 9, those without and with the last part
    (132, 1, ((16, 132),))])            # a PE holds all three
def test_a_pe_is_read_if_any_of_its_parts_of_the_inputs_spikes(inputs, pes, shares):
    cost = price(network(dense("a", inputs, 30)), SINGLE, spikes=[0.01 * inputs])
    driven = sum(count * (1 - 0.99 ** rows) for count, rows in shares) / 16
    assert cost.pes == pes
    assert cost.row("H-tree").energy_pj == close(driven * pes * 5 * 157.12)


def test_a_place_is_sent_once_however_many_bits_its_inputs_have():
    clocks = [price(network(dense("a", 64, outputs, input_bits=3)), SINGLE).latency_ms / 4e-6 / 5
              for outputs in (32, 4096)]
    assert clocks == [close(3 * 26), close(4096 / 32)]


@given(networks(), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=4, max_size=4))
@settings(deadline=None, max_examples=60)
def test_energy_falls_when_spikes_fall(net, draws):
    if all(layer.digital for layer in net.layers):
        return
    most = [layer.inputs for layer in net.layers]
    high, low = ([max(pair) * inputs for inputs, pair in zip(most, draws)],
                 [max(pair) * min(pair) * inputs for inputs, pair in zip(most, draws)])
    more, less = (price(net, Array(), spikes=spikes) for spikes in (high, low))
    assert less.energy_uj <= more.energy_uj * (1 + 1e-12)
    assert less.latency_ms == more.latency_ms
    fell = any(not layer.digital and a > 1.01 * b + 1e-6
               for layer, a, b in zip(net.layers, high, low))
    assert not fell or less.energy_uj < more.energy_uj
    for one, other in zip(less.rows, more.rows):
        assert one.energy_pj <= other.energy_pj * (1 + 1e-12)


_GROWTH = ("in_channels", "out_channels", "kernel_size", "magnitude_bits", "input_bits", "in_size",
           "out_size")
_LAYERS = st.builds(
    Layer, name=st.just("b"), kind=st.just("conv2d"), in_channels=st.integers(1, 200),
    out_channels=st.integers(1, 200), kernel_size=st.integers(1, 5),
    magnitude_bits=st.integers(1, 8), input_bits=st.integers(1, 3),
    in_size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    out_size=st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(_LAYERS, st.sampled_from(_GROWTH), st.integers(1, 70), st.booleans(),
       st.sampled_from(ENCODINGS), st.sampled_from(("released", "neuronas", "physical")))
@settings(deadline=None, max_examples=150)
def test_area_and_latency_never_fall_when_a_layer_grows(layer, key, by, share, encoding, mode):
    value = getattr(layer, key)
    limit = {"kernel_size": 6, "magnitude_bits": 10, "input_bits": 6}.get(key, 1 << 20)
    grown = structs.replace(layer, **{key: (value[0] + by, value[1]) if "size" in key
                                      and key != "kernel_size" else min(limit, value + by)})
    array = Array(share_tiles=share, encoding=encoding)
    small, large = (price(network(conv("a", 3, 40, 8), item, dense("c", 50, 10)), array, mode)
                    for item in (layer, grown))
    assert large.area_mm2 >= small.area_mm2 * (1 - 1e-12)
    assert large.latency_ms >= small.latency_ms


def test_more_turns_take_longer_and_less_area():
    one, two = (price(NET, Array(mux=mux)) for mux in (8, 16))
    assert two.latency_ms == close(one.latency_ms * 34 / 26)
    assert two.row("ADC").area_um2 == close(one.row("ADC").area_um2 / 2)


def test_sizes_and_bits_of_the_array_count():
    base = price(NET, Array())
    assert price(NET, Array(adc_bits=5)).row("ADC").area_um2 == close(
        base.row("ADC").area_um2 * 31 / 15)
    assert price(NET, Array(cell_bits=3)).row("ADC").energy_pj == close(
        base.row("ADC").energy_pj / 3)


def test_counts_can_be_priced_again(tmp_path):
    actions = counted(NET, Array(), spikes=[20, 30, 40])
    actions.save(tmp_path / "actions.json")
    again = load_actions(tmp_path / "actions.json")
    assert again == actions
    cost = priced(again, shipped())
    assert cost == price(NET, Array(), spikes=[20, 30, 40])
    cost.save(tmp_path / "cost.json")
    assert msgspec.json.decode((tmp_path / "cost.json").read_bytes())["energy_uj"] == cost.energy_uj
    (tmp_path / "actions.json").write_text('{"format": 9}')
    with pytest.raises(RunError, match="actions format 9"):
        load_actions(tmp_path / "actions.json")
    (tmp_path / "actions.json").write_text('{"format": 1}')
    with pytest.raises(RunError, match="is damaged"):
        load_actions(tmp_path / "actions.json")


def test_a_plan_is_used_as_it_is():
    plan = map_network(NET, Array())
    cost = price(NET, Array(), plan=plan)
    hops = plan.placement.bit_hops * NET.num_steps
    noc = counted(NET, Array(), plan=plan)
    assert sum(layer.energy["NoC"]["link_bit_mm"] for layer in noc.layers) == close(hops)
    assert cost.tiles == len(plan.tiles)


def test_writing_is_refused_where_nothing_is_known():
    plan = map_network(NET, Array())
    with pytest.raises(ConfigError, match=r"spikesim65\.pulses is not known"):
        writing(plan, "spikesim65")
    energy, milliseconds = writing(plan, "ag_asi")
    assert milliseconds == close(plan.cells * 97 * 0.3)
    assert energy == close(plan.cells * 3.2 ** 2 * (1 / 26e6 + 1 / 325e6) / 2 * 97 * 300)
