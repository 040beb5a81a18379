"""Regressors recover known laws, and predictors learn from what is measured and from nothing else.

What ships is looked at for what holds whatever was characterised: no number is held to it.
"""

import io
import re

import msgspec
import numpy as np
import pytest
from networks import random_graph
from rich.console import Console
from tiny_search import measured

from spikeloom.flow.cost import predict
from spikeloom.flow.cost.estimate import estimate
from spikeloom.flow.cost.features import VERSION, describe
from spikeloom.flow.cost.predict import Predictor, characterised, shipped
from spikeloom.flow.cost.regress import COVERAGE, Kernel, Regressor
from spikeloom.flow.cost.structure import assume_weights, structure
from spikeloom.flow.errors import RunError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.flow.report import Report, compare

WEIGHTS = np.array([0.4, -0.2, 0.1])


def law(count: int, seed: int, noise: float = 0.0, center: float = 0.0):
    """Designs whose parts are off by `WEIGHTS`, and by a smooth function of two features."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(300, 5000, count)
    shares = rng.dirichlet([2, 2, 2], count)
    features = rng.normal(center, 1, (count, 2))
    y = base * (1 + shares @ WEIGHTS) * np.exp(0.1 * np.sin(features[:, 0]) +
                                               rng.normal(0, noise, count))
    return base, shares, features, y, np.arange(count)


def fitted(noise: float, count: int = 120, seed: int = 0) -> Regressor:
    return Regressor(Kernel(0.01, 2.0, max(noise ** 2, 1e-6))).fit(*law(count, seed, noise))


def test_a_known_law_is_recovered_where_structure_alone_is_far_off():
    base, shares, features, y, _ = law(200, 1)
    found = fitted(0.0).predict(base, shares, features)
    assert np.abs(base / y - 1).mean() > 0.08
    assert np.abs(found.value / y - 1).mean() < 0.005
    assert ((found.low < found.value) & (found.value < found.high)).all()


@pytest.mark.parametrize("noise", [0.02, 0.1])
@pytest.mark.parametrize("kernel", [True, False])
def test_the_interval_holds_nine_measurements_of_ten(noise, kernel):
    held = []
    for seed in range(3):
        train = law(120, seed, noise)
        made = fitted(noise, seed=seed) if kernel else Regressor().fit(*train)
        base, shares, features, y, _ = law(400, 100 + seed, noise)
        found = made.predict(base, shares, features)
        held.append(((found.low <= y) & (y <= found.high)).mean())
    assert abs(np.mean(held) - COVERAGE) < 0.05


def test_the_interval_widens_away_from_what_was_measured():
    made = fitted(0.02)
    widths = []
    for center in (0.0, 3.0, 10.0):
        base, shares, features, *_ = law(100, 7, center=center)
        found = made.predict(base, shares, features)
        widths.append(np.log(found.high / found.low).mean())
    assert widths[0] < 0.5 * widths[1] and widths[1] < widths[2]


def test_designs_of_one_network_are_in_one_fold():
    """What the same network did elsewhere tells too much: the error is that of unseen ones."""
    base, shares, features, y, groups = law(60, 3, 0.1)
    twice = [np.concatenate([part, part]) for part in (base, shares, features, y, groups)]
    kernel = Kernel(0.05, 0.1, 1e-4)
    apart = Regressor(kernel).fit(*twice[:4], np.arange(120))
    together = Regressor(kernel).fit(*twice)
    assert np.abs(together.errors).mean() > 1.5 * np.abs(apart.errors).mean()


@pytest.fixture(scope="module")
def family() -> list:
    """Measured designs of 24 networks; `measured` finds a quarter more cells than structure."""
    rng = np.random.default_rng(5)
    graphs = [compile_graph(random_graph(rng, sizes=(int(a), int(b), 4), encoder=encoder))
              for a, b in rng.integers(6, 24, (12, 2)) for encoder in ("rate", "stream")]
    return [measured(graph) for graph in graphs]


KERNELS = {"lc": Kernel(0.01, 10.0, 1e-4), "ff": Kernel(0.01, 10.0, 1e-4),
           "fmax_mhz": Kernel(0.01, 10.0, 1e-3), "seconds": Kernel(0.1, 10.0, 1e-2)}


def lc_of(predictor: Predictor, items) -> np.ndarray:
    return predictor.predict([item.features for item in items], "UP5K")["lc"].value


def test_a_predictor_learns_what_the_tools_add(family):
    made = Predictor(family[:18], KERNELS)
    errors = lc_of(made, family[18:]) / [item.lc for item in family[18:]] - 1
    assert np.abs(errors).max() < 0.05
    counted = np.array([item.features["lc"] / item.lc - 1 for item in family[18:]])
    assert counted.max() < -0.15


def test_the_same_measurements_give_the_same_predictions(family):
    one, two = (Predictor(family[:12]) for _ in range(2))
    assert one.kernels == two.kernels and set(one.kernels) == set(predict.TARGETS)
    assert (lc_of(one, family) == lc_of(two, family)).all()
    again = Predictor(family[:12], one.kernels)
    assert lc_of(again, family) == pytest.approx(lc_of(one, family), rel=1e-6)


def test_what_is_no_measurement_of_the_plain_design_teaches_nothing(family):
    change = msgspec.structs.replace
    stale = {**family[0].features, "version": VERSION - 1.0}
    strange = [
        change(family[0], variant="proof", lc=9 * family[0].lc),
        change(family[1], status="failed", lc=None, lut4=None, ff=None, carry=None, ebr=None,
               spram=None, dsp=None, memory_bits=None, fmax_mhz=None, critical_path=None),
        change(family[2], device="LP8K", lc=9 * family[2].lc),
        change(family[3], features=stale, lc=9 * family[3].lc),
    ]
    made = Predictor(family[:12], KERNELS)
    assert len(made.extended(strange).measurements) == 12
    assert (lc_of(made.extended(strange), family) == lc_of(made, family)).all()


def test_cells_of_what_could_not_be_routed_are_learned_and_no_clock(family):
    full = [msgspec.structs.replace(item, status="over-full", fmax_mhz=None, seconds={})
            for item in family[12:16]]
    made, more = Predictor(family[:12], KERNELS), Predictor([*family[:12], *full], KERNELS)
    assert len(more.measurements) == 16
    rows = [item.features for item in family]
    clocks = [item.predict(rows, "UP5K")["fmax_mhz"].value for item in (made, more)]
    assert clocks[1] == pytest.approx(clocks[0], rel=0.05)
    assert (lc_of(made, family) != lc_of(more, family)).any()


@pytest.mark.parametrize("keep", [[], [0], [0, 0]])
def test_designs_of_two_networks_are_the_least(family, keep):
    with pytest.raises(RunError, match="must be fitted to routed designs of two networks or more"):
        Predictor([family[k] for k in keep])
    full = [msgspec.structs.replace(item, status="over-full", fmax_mhz=None) for item in family[:4]]
    with pytest.raises(RunError, match="routed designs"):
        Predictor([*full, family[5]])


def test_what_a_search_measures_moves_the_predictions_there():
    rng = np.random.default_rng(11)
    graphs = [compile_graph(random_graph(rng, sizes=(60, n, 10), encoder="stream"))
              for n in (12, 16, 20, 24, 14, 22)]
    items = [measured(graph) for graph in graphs]
    factor = 1.6 * lc_of(shipped(), items) / [item.lc for item in items]
    items = [msgspec.structs.replace(item, lc=round(item.lc * more))
             for item, more in zip(items, factor, strict=True)]
    before, after = shipped(), shipped().extended(items[:4])
    wanted = np.array([item.lc for item in items[4:]])
    far, near = (np.abs(lc_of(one, items[4:]) / wanted - 1) for one in (before, after))
    assert (far > 0.3).all() and (near < 0.6 * far).all()
    assert len(after.measurements) == len(before.measurements) + 4
    assert shipped() is before, "and what ships stays as it is"


def test_what_is_unlike_all_that_was_measured_is_named(family):
    made = Predictor(family, KERNELS)
    row = dict(family[0].features)
    far = {**row, "inputs": 5000.0, "part_novel": 3.0, "neuron_izhikevich": 1.0}
    found = made.predict([row, far], "UP5K").outside
    assert found[0] == ""
    assert "inputs 5000 is not in 6.." in found[1]
    assert "part_novel was never seen" in found[1]
    assert "neuron_izhikevich was never seen" in found[1]
    assert made.predict([row], "LP8K").outside == ("no design was measured on a LP8K",)


def test_what_ships_is_used_and_can_be_fitted_without_a_warning():
    assert characterised() is characterised() and shipped() is shipped()
    assert all(predict.usable(item) for item in shipped().measurements)
    known = [item for item in characterised() if item.device == "UP5K" and item.counted][:5]
    found = shipped().predict([item.features for item in known], "UP5K")
    for target in predict.TARGETS:
        assert np.isfinite(found[target].low).all() and (found[target].low > 0).all()
    assert lc_of(shipped(), known) == pytest.approx([item.lc for item in known], rel=0.2)


def test_the_estimate_of_a_network_is_the_prediction_of_its_features():
    graph = compile_graph(random_graph(np.random.default_rng(3), sizes=(32, 10, 5)))
    counted, found = structure(graph), estimate(graph, "UP5K")
    predicted = shipped().predict([describe(counted)], "UP5K")
    for target in predict.TARGETS:
        assert getattr(found, target) == predicted[target].value[0]
        assert getattr(found, f"{target}_low") < getattr(found, target) < getattr(
            found, f"{target}_high")
    assert (found.ebr, found.cycles) == (counted.ebr, inference_cycles(graph))
    assert found.structural_lc == counted.cells.lc and not found.assumed
    other = estimate(graph, "HX8K")
    assert other.fmax_mhz > 1.5 * found.fmax_mhz and other.ebr == found.ebr


def test_a_report_says_where_its_intervals_are_not_to_be_trusted():
    graph = compile_graph(random_graph(np.random.default_rng(3), sizes=(32, 10, 5)))
    report = Report(**{f.name: f.type() for f in msgspec.structs.fields(Report) if f.required}
                    | {"device": "LP8K", "board": "tinyfpga_bx", "lc": 1234})
    console = Console(file=io.StringIO(), width=200)
    found = estimate(graph, "LP8K")
    console.print(compare(report, found))
    text = console.file.getvalue()
    words = f"trust no interval: {found.outside}".split()
    assert " ".join(words) in " ".join(text.split()) and "on a LP8K" in found.outside
    assert re.search(rf"LCs .* 1,234 .* {found.lc:,.0f} .* {found.lc_low:,.0f}\.\."
                     rf"{found.lc_high:,.0f} .* [+]?{(found.lc - 1234) / 1234:.1%}", text)


def test_shapes_are_priced_on_assumed_weights_and_say_so(family):
    graph = random_graph(np.random.default_rng(0))
    bare = graph.replace(fc1={"weight": None, "bias": None}, fc2={"weight": None, "bias": None})
    found = estimate(bare, "UP5K")
    assert found.assumed and found == estimate(bare, "UP5K")
    assert found.lc == estimate(assume_weights(bare), "UP5K").lc
    own = estimate(bare, "UP5K", predictor=Predictor(family, KERNELS))
    assert own.lc != found.lc and own.structural_lc == found.structural_lc
