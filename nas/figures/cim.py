"""Compute-in-memory: prices and wires against truths, speed, and accuracy of chips repaired."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from msgspec import structs

from ...flow import ir
from ...flow.builder import Builder
from ...flow.cim.array import Array
from ...flow.cim.cost.cases import neuronas_error, released_case, released_error
from ...flow.cim.cost.price import price
from ...flow.errors import ConfigError
from ...hdl.neurons import Lif
from ...sim.crossbar import network, report, wires
from ...sim.crossbar.effects import Effects, as_built
from ...sim.crossbar.repair import Repair
from .. import datasets
from ..bench import Bench, group
from ..datasets import cifar10
from ..train import TrainSettings, train

#: Truths of SpikeSim, NeuroNAS and nodal analysis, in a checkout.
CASES = Path(__file__).parents[2] / "tests" / "cases"

SEEDS, DRAWS, VARIATION = range(4), 20, 0.1
SETTINGS = TrainSettings(epochs=60)
REPAIR = Repair(names=("adc", "gain"))
#: How far below the ideal a repaired chip may be.
NEAR = 0.01

SUBSET = "cifar10-small"
CONV_SETTINGS = TrainSettings(epochs=12, learning_rate=0.06, threads=2)
CONV_DRAWS, CONV_SEED = 20, 1
_LAYER = {"weight_bits": 4, "bitstream_length": 8, "sng": "sobol1", "neuron": Lif(v_threshold=1)}


def _cases(bench: Bench, name: str) -> dict | None:
    """A file of cases; None, with a note, where there is no checkout."""
    path = CASES / name
    if path.exists():
        return json.loads(path.read_text())
    bench.note(f"left out: {path} is part of a checkout alone")
    return None


@group(cim__released_error=("fraction", "<= 1e-9"))
def released(bench: Bench) -> dict:
    """Prices of mode `released` against what SpikeSim's script returned."""
    cases = _cases(bench, "spikesim_ela.json")
    if cases is None:
        return {}
    return {"cim.released_error": (released_error(cases), (
        "largest relative error over every value of "
        f"{len(cases['cases'])} cases that SpikeSim's script returned: "
        + ", ".join(case["name"] for case in cases["cases"])))}


@group(cim__neuronas_error=("fraction", "<= 0.005"))
def neuronas(bench: Bench) -> dict:
    """Prices of mode `neuronas` against the paper's table."""
    table = _cases(bench, "neuronas_table.json")
    if table is None:
        return {}
    return {"cim.neuronas_error": (neuronas_error(table), (
        "largest relative error of area, latency and energy against what the paper prints, which "
        "is truncated: " + ", ".join(row["label"] for row in table["rows"])))}


@group(cim__ir_drop_error=("fraction", "<= 1e-9"))
def ir_drop(bench: Bench) -> dict:
    """Currents behind wires against nodal analysis."""
    cases = _cases(bench, "crossbar_ir_drop.json")
    if cases is None:
        return {}
    worst = {}
    for case in cases["cases"]:
        G, V, wanted = (np.array(case[key]) for key in ("G_siemens", "V_volt", "I_nodal_A"))
        ways = (V @ wires.effective(G, case["r_row_ohm"], case["r_col_ohm"]),
                wires.nodal(G, V, case["r_row_ohm"], case["r_col_ohm"])[0])
        worst[case["name"]] = max(float(np.abs(found / wanted - 1).max()) for found in ways)
    return {"cim.ir_drop_error": (max(worst.values()), (
        f"largest relative error of a column's current over {len(worst)} cases, by elimination and "
        "by sparse nodal analysis: " + ", ".join(f"{k} {v:.1e}" for k, v in worst.items())))}


def fastest(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of some calls."""
    out = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        out.append(time.perf_counter() - start)
    return min(out)


@group(cim__column_speedup=("ratio", ">= 50"))
def columns(bench: Bench) -> dict:
    """IR drop by columns against the sparse nodal solve, in turns."""
    rng = np.random.default_rng(0)
    G = np.where(rng.random((64, 64)) < 0.5, 1 / 20e3, 1 / 200e3)
    V = 0.1 * (rng.random((128, 64)) < 0.2)
    exact = wires.nodal(G, V, 0.0, 5.0)
    error = float(np.abs(wires.column_currents(G, V, 5.0) / exact - 1).max())
    slow = fastest(lambda: wires.nodal(G, V, 0.0, 5.0), 5)
    quick = fastest(lambda: wires.column_currents(G, V, 5.0), 50)
    return {"cim.column_speedup": (slow / quick, (
        f"128 inputs through one 64 x 64 crossbar, wires of 5 ohm along columns: {1e3 * quick:.2f} "
        f"ms by elimination, {1e3 * slow:.1f} ms by sparse LU, fastest of 50 and of 5 in one "
        f"process; they differ by {error:.1e}"))}


@group(cim__vgg9_pricing_ms=("ms", "<= 10"))
def pricing(bench: Bench) -> dict:
    """A network of VGG9's size, mapped and priced."""
    cases = _cases(bench, "spikesim_ela.json")
    if cases is None:
        return {}
    case = next(item for item in cases["cases"] if item["name"] == "vgg9_cifar10_default")
    shape, array = released_case(case)
    cost = price(shape, array, "physical")
    spent = fastest(lambda: price(shape, array, "physical"), 30)
    return {"cim.vgg9_pricing_ms": (1e3 * spent, (
        f"{len(shape.layers)} layers, {cost.pes} PEs in {cost.tiles} tiles, mapped and priced in "
        "mode physical, fastest of 30"))}


@dataclass(frozen=True)
class Accuracies:
    """Means over draws of one network: by the reference model, on chips as they are, and repaired.

    layers: own relative error of each layer before and after.
    """

    ideal: float
    faulty: report.Measured
    repaired: report.Measured

    @property
    def layers(self) -> str:
        return ", ".join(f"{one.name} {one.own:.3f} to {other.own:.3f}" for one, other
                         in zip(self.faulty.layers, self.repaired.layers))


def chips(graph: ir.Graph, data: datasets.Dataset, draws: int, repair: Repair = REPAIR
          ) -> Accuracies:
    """Test accuracy on 64 x 64 crossbars as they are built, and repaired; both are calibrated on
    validation images.
    """
    array = Array()
    effects = as_built(array, VARIATION)
    images, labels = data.validation.inputs[:256], data.validation.labels[:256]
    ranges = network.calibrate(graph, images, array, effects.nominal)
    found = [report.measure(graph, data.test.inputs, data.test.labels, array, effects, draws=draws,
                            ranges=ranges, repair=fix)
             for fix in (None, repair.fitter(images, labels))]
    return Accuracies(found[0].ideal, *found)


def digits_shape() -> ir.Graph:
    """The digits network before training, fed by `rate`."""
    return ir.chain(shape=(8, 8), encoder="rate", readout="membrane", num_steps=8,
                    layers=[{"out_features": n, **_LAYER} for n in (32, 10)])


@lru_cache(maxsize=2)
def digits_trained(variation: float) -> tuple[ir.Graph, ...]:
    """The networks of all seeds, trained on all but the test split."""
    data, seeds = datasets.load("digits"), list(SEEDS)
    settings = structs.replace(SETTINGS, cim_variation=variation)
    return tuple(item.graph for item in train([digits_shape()] * len(seeds), data.final, None,
                                              settings, seeds))


@group(cim__digits_ideal=("fraction", ""), cim__digits_faulty=("fraction", ""),
       cim__digits_repaired=("fraction", ""))
def digits(bench: Bench) -> dict:
    """The digits network on chips, before and after repair; the repaired one is also trained for
    chips that vary.
    """
    data = datasets.load("digits")
    plain = [chips(graph, data, DRAWS) for graph in digits_trained(0.0)]
    tough = [chips(graph, data, DRAWS) for graph in digits_trained(VARIATION)]
    ideal, own = (statistics.mean(item.ideal for item in items) for items in (plain, tough))
    faulty, gains, trained, repaired = (
        (statistics.mean(part.mean for part in parts), statistics.mean(part.std for part in parts))
        for parts in ([item.faulty for item in plain], [item.repaired for item in plain],
                      [item.faulty for item in tough], [item.repaired for item in tough]))
    below = ideal - repaired[0]
    what = (f"64-32-10, rate input, {len(SEEDS)} training seeds on train and validation, test "
            f"split of {len(data.test)}")
    where = (f"{DRAWS} chips each, 64 x 64, 4-bit ADC calibrated on validation images, variation "
             f"{VARIATION:g}, 5 ohm; sd over the chips of a network")
    return {
        "cim.digits_ideal": (ideal, f"{what}; integer reference model: " + ", ".join(
            f"{item.ideal:.4f}" for item in plain)),
        "cim.digits_faulty": (faulty[0], f"{what}; {where} {faulty[1]:.4f}, mean of networks"),
        "cim.digits_repaired": (repaired[0], (
            f"{what}, with variation {VARIATION:g} in training; {where} {repaired[1]:.4f}; ADC "
            f"ranges and gains of columns fitted to each chip; {below:.4f} below the ideal, which "
            f"{'is' if below <= NEAR else 'IS NOT'} within {NEAR:g}; by the reference model these "
            f"networks have {own:.4f}; trained with variation alone "
            f"{trained[0]:.4f}, ranges and gains alone {gains[0]:.4f}; relative errors of layers "
            f"before and after, first network: {plain[0].layers}")),
    }


@group(cim__digits_seconds=("s", "<= 10"))
def seconds(bench: Bench) -> dict:
    """The digits network on one chip with all that can be wrong at once."""
    data, graph = datasets.load("digits"), digits_trained(0.0)[0]
    array = Array(r_row=5.0)
    effects = Effects(variation=VARIATION, stuck_on=0.005, stuck_off=0.01, drift_nu=0.01,
                      drift_ratio=1e4, read_noise=0.02, ir_drop="full", adc_bits=4,
                      full_scale="calibrated")
    ranges = network.calibrate(graph, data.validation.inputs[:256], array, effects.nominal)
    start = time.perf_counter()
    chip = network.program(graph, array, effects, ranges=ranges)
    right = float((chip.run(data.test.inputs).classes == data.test.labels).mean())
    spent = time.perf_counter() - start
    return {"cim.digits_seconds": (spent, (
        f"64-32-10 written into cells and run on {len(data.test)} images of {graph.num_steps} "
        f"timesteps with {', '.join(effects.on)}, wires along rows and columns, not repaired: "
        f"{right:.4f} right"))}


def conv_shape() -> ir.Graph:
    """A small convolutional network for CIFAR-10, before training."""
    builder = Builder(shape=cifar10.SHAPE, encoder="rate", sng=None)
    builder.conv(8, kernel_size=3, stride=2, padding=1, **_LAYER)
    builder.pool(2)
    builder.conv(16, kernel_size=3, padding=1, **_LAYER)
    builder.pool(2)
    builder.dense(cifar10.CLASSES, **_LAYER)
    return builder.graph(num_steps=4, readout="membrane").verify()


@group(cim__conv_faulty=("fraction", ""))
def conv(bench: Bench) -> dict:
    """A small convolutional network on CIFAR-10 images, before and after repair."""
    try:
        data = datasets.load(SUBSET)
    except ConfigError as error:
        bench.note(f"left out: {error}")
        return {}
    done, = train([conv_shape()], data.train, None, CONV_SETTINGS, [CONV_SEED])
    found = chips(done.graph, data, CONV_DRAWS)
    return {"cim.conv_faulty": (found.faulty.mean, (
        f"{datasets.described(SUBSET)}; conv3x3 of 8 every 2 pixels, pool, conv3x3 of 16, pool, "
        f"dense; rate input, T=4, trained for {CONV_SETTINGS.epochs} epochs on train; ideal "
        f"{found.ideal:.4f}, {CONV_DRAWS} chips as for the digits: sd {found.faulty.std:.4f}, "
        f"repaired {found.repaired.mean:.4f}, sd {found.repaired.std:.4f}; relative errors of "
        f"layers before and after: {found.layers}"))}
