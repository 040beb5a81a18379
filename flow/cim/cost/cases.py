"""Cases: what SpikeSim's script returned, and NeuroNAS's table, beside what is priced here.

A case of SpikeSim's holds inputs and what its script gave for them, and the same arithmetic written
out (`closed_form`), which goes for what the script refused or never came back from: PE counts that
fall, narrow networks. There tiles are the PEs of all layers over those of a tile, rounded up.
"""

from collections.abc import Iterator

from msgspec import structs

from ..array import Array
from ..shapes import Layer, Network
from .chip import UNIT_BITS
from .price import counted, price, priced
from .switches import MODES
from .table import shipped

#: Keys of a case's breakdowns, by component.
_AREA = {"crossbar": "crossbar", "ADC": "adc", "multiplexer": "mux", "DIFF": "sub",
         "H-tree": "htree", "input memory": "input_mem", "neuron memory": "neuron_mem_first5"}
_ENERGY = {"crossbar": "crossbar", "ADC": "adc", "multiplexer": "mux", "DIFF": "sub",
           "H-tree": "htree", "fetch": "mem_fetch", "neuron": "neuron"}


def released_case(case: dict) -> tuple[Network, Array]:
    """Network and array of a case of SpikeSim's script."""
    given = case["inputs"]
    layers = tuple(
        Layer(name=f"conv{index}", kind="conv2d", in_channels=c_in, out_channels=c_out,
              kernel_size=given["kernel_size"], in_size=(d_in, d_in), out_size=(d_out, d_out),
              magnitude_bits=1)
        for index, (c_in, c_out, d_in, d_out) in enumerate(zip(
            given["in_ch_list"], given["out_ch_list"], given["in_dim_list"],
            given["out_dim_list"], strict=True)))
    size = given["xbar_size"]
    return (Network(name=case["name"], num_steps=given["time_steps"], layers=layers),
            Array(rows=size, cols=size, pes_per_tile=given["pe_per_tile"],
                  clock_mhz=given["clk_freq_mhz"]))


def released_pairs(case: dict) -> Iterator[tuple[str, float, float]]:
    """Every value of a case that is not null: its key, ours and theirs."""
    network, array = released_case(case)
    table, mode = shipped(array.technology), MODES["released"]
    actions = counted(network, array, "released", prices=table)
    cost = priced(actions, table)
    out, form = case["outputs"], case["outputs"]["closed_form"]
    area = {row.component: row.area_um2 for row in cost.rows}
    energy = {row.component: row.energy_pj for row in cost.rows}
    all_area, all_energy, latency = 1e6 * cost.area_mm2, 1e6 * cost.energy_uj, 1e6 * cost.latency_ms
    memory = price(network, array, switches=structs.replace(mode, neuron_memory="all_layers"))
    apart = counted(network, array, switches=structs.replace(mode, tile_sharing="as_array"))
    pe = sum(area[name] for name in ("crossbar", "ADC", "multiplexer"))
    pairs = {
        "n_tiles": (cost.tiles, out.get("n_tiles")),
        "latency_ns": (latency, out.get("latency_ns")),
        "printed_total_energy_pj": (all_energy, out.get("printed_total_energy_pj")),
        "printed_total_area_um2": (all_area, out.get("printed_total_area_um2")),
        "energy_pj.total": (all_energy, out["energy_pj"]["total"]),
        "closed_form.n_pe": (cost.pes, form["n_pe"]),
        "closed_form.n_tiles": (cost.tiles, form["n_tiles"]),
        "closed_form.latency_ns": (latency, form["latency_ns"]),
        "closed_form.area_total_um2": (all_area, form["area_total_um2"]),
        "closed_form.energy_total_pj": (all_energy, form["energy_total_pj"]),
        "closed_form.n_crossbars_useful": (sum(layer.crossbars for layer in actions.layers),
                                           form["n_crossbars_useful"]),
        "closed_form.pe_cycles_total_all_steps": (
            sum(layer.pe_cycles for layer in actions.layers), form["pe_cycles_total_all_steps"]),
        "closed_form.neuron_mem_all_layers_um2": (memory.row("neuron memory").area_um2,
                                                  form["neuron_mem_all_layers_um2"]),
        "closed_form.n_tiles_if_layers_do_not_share": (apart.tiles,
                                                       form["n_tiles_if_layers_do_not_share"])}
    areas = out.get("area_um2") or {}
    for key, ours in (
            ("neuron_mem", area["neuron memory"]), ("analog_pe_plus_sub", pe + area["DIFF"]),
            ("digital", pe + area["tile buffers"] + area["input memory"]), ("total", all_area)):
        pairs[f"area_um2.{key}"] = ours, areas.get(key)
    for index, theirs in enumerate(out["pe_per_layer"]):
        pairs[f"pe_per_layer.{index}"] = actions.layers[index].pes, theirs
    for index, theirs in enumerate(out["energy_pj"]["layerwise"]):
        pairs[f"energy_pj.layerwise.{index}"] = cost.layers[index].energy_pj, theirs
    parts, spent = form["area_breakdown_um2"], form["energy_breakdown_pj"]
    for component, key in _AREA.items():
        pairs[f"closed_form.area_breakdown_um2.{key}"] = area[component], parts[key]
    for component, key in _ENERGY.items():
        pairs[f"closed_form.energy_breakdown_pj.{key}"] = energy[component], spent[key]
    for figure, key in (("tile_buffer", "tile_buf"), ("temp_buffer", "temp_buf")):
        pairs[f"closed_form.area_breakdown_um2.{key}"] = (
            actions.area["tile buffers"][figure] * table.value("area", figure), parts[key])
        pairs[f"closed_form.energy_breakdown_pj.{key}"] = (table.value("energy", figure) * sum(
            layer.energy["tile buffers"][figure] for layer in actions.layers), spent[key])
    yield from ((key, *pair) for key, pair in pairs.items() if pair[1] is not None)


def released_error(cases: dict) -> float:
    """The largest relative error over every value of every case of SpikeSim's script."""
    return max(_error(ours, theirs) for case in cases["cases"]
               for _, ours, theirs in released_pairs(case))


def neuronas_case(row: dict, num_steps: int = 5) -> tuple[Network, Array]:
    """Network and array of a row of NeuroNAS's table, with weights of 4 bits times its factor."""
    layers = tuple(
        Layer(name=f"conv{index}", kind="conv2d", in_channels=item["ic"], out_channels=item["oc"],
              kernel_size=3, in_size=(item["in_dim"],) * 2, out_size=(item["out_dim"],) * 2,
              magnitude_bits=UNIT_BITS * row["factor"] - 1)
        for index, item in enumerate(row["layers"]))
    return Network(name=row["label"], num_steps=num_steps, layers=layers), Array()


def neuronas_pairs(row: dict) -> Iterator[tuple[str, float, float]]:
    """Area, latency and energy of a row, and tiles and PEs: key, ours and the model's."""
    cost = price(*neuronas_case(row), "neuronas")
    theirs = row["model"]
    yield "area_mm2", cost.area_mm2, theirs["area_mm2"]
    yield "latency_ms", cost.latency_ms, theirs["latency_ms"]
    yield "energy_uJ", cost.energy_uj, theirs["energy_uJ"]
    yield "tiles", cost.tiles, theirs["tiles"]
    yield "n_pe", cost.pes, theirs["n_pe"]


def neuronas_error(table: dict) -> float:
    """The largest relative error against what the paper printed, which is truncated."""
    found = []
    for row in table["rows"]:
        ours = {key: value for key, value, _ in neuronas_pairs(row)}
        found += [_error(ours[key], row["published"][key])
                  for key in ("area_mm2", "latency_ms", "energy_uJ")]
    return max(found)


def _error(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / abs(theirs)
