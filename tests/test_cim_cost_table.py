"""Figures and their sources: what is derived, what a user's table changes, what is refused."""

import re
from importlib import resources

import pytest
from cim_networks import conv, dense, network

from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.cost.price import price
from spikeloom.flow.cim.cost.spikes import load_spikes
from spikeloom.flow.cim.cost.table import load, shipped
from spikeloom.flow.errors import ConfigError

NET = network(conv("a", 3, 16, 8, pool=2), conv("b", 16, 32, 4), dense("c", 512, 10))


def table(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_every_figure_has_a_node_and_a_source():
    found = shipped()
    figures = [item for items in found.figures.values() for item in items.values()]
    for item in [*figures, *found.memories.values(), found.chip]:
        assert item.source
    assert {item.node for item in figures} == {65, 40, 32}


def test_derived_figures():
    found = shipped()

    def energy(name):
        return found.value("energy", name)

    def area(name):
        return found.value("area", name)

    assert energy("cell_read") == pytest.approx(energy("crossbar_turn") / (64 * 8))
    assert energy("adc_comparator") == pytest.approx(energy("adc") / 15)
    assert energy("neuron_update") == pytest.approx(energy("neuron_cycle") / 64)
    assert area("cell") == pytest.approx(area("crossbar") / 64 ** 2)
    assert area("adc_comparator") == pytest.approx(area("adc") / 15)
    assert area("mux_input") == pytest.approx(area("mux") / 8)
    assert area("crossbar") == pytest.approx(64 ** 2 * 4 * 0.04 ** 2)
    assert energy("driver") == pytest.approx(
        4e-3 / 1024 / 1.2e7 * 128 / 100 * 1e12, rel=1e-4)
    assert energy("shift_add") == pytest.approx(0.2e-3 / 8 / 1.2e9 * 1e12)
    assert energy("adder_bit") == pytest.approx(0.21 / 32)
    assert energy("or_bit") == pytest.approx(0.0181 / 32)
    assert energy("router_bit") == pytest.approx((2 * 5.5721476 + 1.6962973 + 0.88094268) / 32)


def test_scaling_is_by_name_alone():
    found = shipped()
    assert found.value("energy", "driver") == 0.41667
    assert found.value("energy", "driver", "constant_field") == pytest.approx(0.41667 * 65 / 32)
    assert found.value("area", "shift_add", "constant_field") == pytest.approx(60 * (65 / 32) ** 2)
    assert found.value("energy", "adc", "constant_field") == found.value("energy", "adc")


def test_memories_are_rounded_up():
    found = shipped()
    assert [found.memory(size) for size in (1, 1024, 1025, 20480, 1 << 30)] == [
        1024, 1024, 2048, 32768, 524288]


def test_a_users_table_goes_before_the_one_that_ships(tmp_path):
    path = table(tmp_path, 'format = 1\n[energy.adc_comparator]\nvalue = 0.0\nsource = "mine"\n')
    before, after = price(NET, Array()), price(NET, Array(), prices=path)
    assert after.row("ADC").energy_pj == 0
    assert after.energy_uj == pytest.approx(before.energy_uj - 1e-6 * before.row("ADC").energy_pj)
    assert after.area_mm2 == before.area_mm2
    found = load(path).figures["energy"]["adc_comparator"]
    assert (found.node, found.source) == (65, "mine")


def test_a_users_table_changes_memories_and_the_chip(tmp_path):
    path = table(tmp_path, "format = 1\nname = 'mine'\n[sram.512]\nread = 1.0\nwrite = 1.0\n"
                           "area = 100.0\nleakage = 0.0\nnode = 65\n"
                           "[chip]\npe_output_bytes = 512\n")
    after = price(NET, Array(), prices=path)
    assert after.technology == "mine"
    assert after.row("PE buffers").area_um2 < price(NET, Array()).row("PE buffers").area_um2


@pytest.mark.parametrize("text, message", [
    ("format = 2", "format must be 1, not 2"),
    ("format = 1\n[energie.adc]\nvalue = 1.0", "did you mean 'energy'"),
    ("format = 1\n[energy.adcs]\nvalue = 1.0", "did you mean 'adc'"),
    ("format = 1\n[energy.adc]\nvalue = -1.0", "energy.adc.value must be 0 or more"),
    ("format = 1\n[energy.adc]\nvalue = 'x'", "energy.adc.value must be a number"),
    ("format = 1\n[energy]\nadc = 2.0", "energy.adc must be a table, not 2.0"),
    ("format = 1\nnode = 0", "node must be the nm"),
    ("format = 1\n[sram.big]\nread = 1.0", "sram.big must be bytes"),
    ("format = 1\n[sram.512]\nread = 1.0", "sram.512 must have write"),
    ("format = 1\n[chip]\nmesh_bits = 0", "chip.mesh_bits must be in 1"),
    ("format = [", "must be TOML")])
def test_bad_tables_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        load(table(tmp_path, text))
    assert "mine.toml" in str(error.value)


def test_unknown_technology_and_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="unknown technology 'tsmc28'"):
        price(NET, Array(technology="tsmc28"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_the_table_is_plain_toml_without_unused_figures():
    text = (resources.files("spikeloom.flow.cim.cost") / "spikesim65.toml").read_text()
    code = "".join((resources.files("spikeloom.flow.cim.cost") / name).read_text()
                   for name in ("chip.py", "count.py", "price.py"))
    for name in re.findall(r"^\[(?:energy|area|power)\.(\w+)\]", text, re.M):
        assert f'"{name}"' in code, name


def test_spikes_are_read_by_name(tmp_path):
    path = tmp_path / "spikes.csv"
    path.write_text("# mean of 100 images\nlayer,spikes\nb,12.5\na,3\nc,0\n")
    assert load_spikes(path, NET) == [3.0, 12.5, 0.0]


@pytest.mark.parametrize("text, message", [
    ("name,spikes\na,1\n", "the first line must be layer,spikes"),
    ("layer,spikes\na,1\n", "has none for b, c"),
    ("layer,spikes\nx,1\n", "row 1: unknown layer 'x'"),
    ("layer,spikes\na,1\na,2\n", "row 2: layer a must not come twice"),
    ("layer,spikes\na,-1\n", "row 1: spikes must be a number, 0 or more, not -1"),
    ("layer,spikes\na,many\n", "not many"),
    ("layer,spikes\na\n", "row 1 must be a layer and a number")])
def test_bad_spikes_are_refused(tmp_path, text, message):
    path = tmp_path / "spikes.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_spikes(path, NET)
