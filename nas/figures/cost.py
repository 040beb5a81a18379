"""The cost model: its errors on networks that nothing was fitted to, and its speed."""

import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ...flow import ir, targets
from ...flow.cost import predict
from ...flow.cost.features import describe
from ...flow.cost.measured import Measurement
from ...flow.cost.predict import Predictor
from ...flow.cost.store import read_lines
from ...flow.cost.structure import structure
from ...flow.errors import SpikeloomError
from ...flow.synthesis import build_graph
from ..bench import Bench, group

#: Designs that are placed and routed again, the smallest of those held out of each lowering.
AGAIN = 1
#: Designs of one batch whose prediction is timed.
BATCH = 4000


def shipped_networks() -> dict[str, ir.Graph]:
    """The networks of the shipped measurements, by design."""
    found = {}
    with predict.CHARACTERISED.open("rb") as file:
        for item in read_lines(file, predict.CHARACTERISED.name):
            if not isinstance(item, Measurement):
                design, data = item
                found[design] = ir.from_bytes(data, design)
    return found


def split() -> tuple[Predictor, list[Measurement]]:
    """A predictor that has not seen the networks that are held out, and their measurements."""
    kept = predict.held_out()
    items = predict.characterised()
    known = Predictor((item for item in items if item.network not in kept), predict.kernels())
    return known, [item for item in items if item.network in kept and predict.usable(item)]


def errors(predictor: Predictor, items: list[Measurement], target: str
           ) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors of predictions, float [n], and whether each interval held, of those that have
    the target; nan of the others.
    """
    out, held = np.full(len(items), np.nan), np.full(len(items), np.nan)
    for k, item in enumerate(items):
        value = predict.measured(item, target)
        if value is not None:
            found = predictor.predict([item.features], item.device)[target]
            out[k] = found.value[0] / value - 1
            held[k] = found.low[0] <= value <= found.high[0]
    return out, held


def by_group(items: list[Measurement], values: np.ndarray) -> str:
    """Mean absolute values of each lowering and board, with how many there are."""
    groups = defaultdict(list)
    for item, value in zip(items, values):
        if np.isfinite(value):
            groups[item.lowering, item.board].append(abs(float(value)))
    return ", ".join(f"{lowering} on {board} {np.mean(group):.3f} ({len(group)})"
                     for (lowering, board), group in sorted(groups.items()))


def seed_noise(items: Sequence[Measurement]) -> float:
    """The spread of Fmax over seeds of place and route, as a share of its mean; the average over
    the designs that have several.
    """
    seeds = defaultdict(list)
    for item in items:
        if item.fmax_mhz is not None:
            seeds[item.design, item.board].append(item.fmax_mhz)
    return float(np.mean([np.std(group, ddof=1) / np.mean(group) for group in seeds.values()
                          if len(group) > 1]))


@group(cost__lc_mape=("fraction", "<= 0.04"), cost__lc_p95=("fraction", "<= 0.1"),
       cost__fmax_mape=("fraction", "<= 0.1"), cost__coverage90=("fraction", "0.85..0.95"),
       cost__memory_errors=("designs", "== 0"))
def held_out(bench: Bench) -> dict:
    """Errors on the networks that are held out of the characterisation that ships."""
    predictor, items = split()
    first = [item for item in items if item.seed == 1]
    lc, lc_held = errors(predictor, first, "lc")
    fmax, fmax_held = errors(predictor, items, "fmax_mhz")
    structural = np.array([item.features["lc"] / item.lc - 1 for item in first])
    graphs = shipped_networks()
    counts = {design: structure(graph) for design, graph in graphs.items()}
    wrong = [item for item in predict.characterised() if item.counted
             and (counts[item.design].ebr, counts[item.design].spram) != (item.ebr, item.spram)]
    held = np.concatenate([lc_held, fmax_held])
    again, noise = _again(bench, graphs, first), seed_noise(predict.characterised())
    about = (f"{len(first)} designs of {len({item.network for item in first})} networks that "
             f"nothing was fitted to, of the {len(predict.characterised())} measurements that ship"
             f"; {again}")
    return {
        "cost.lc_mape": (float(np.nanmean(abs(lc))), f"{about}; by structure alone "
                         f"{np.mean(abs(structural)):.3f}; " + by_group(first, lc)),
        "cost.lc_p95": (float(np.nanquantile(abs(lc), 0.95)), f"of the same; at worst "
                        f"{np.nanmax(abs(lc)):.3f}"),
        "cost.fmax_mape": (float(np.nanmean(abs(fmax))), f"of the same; over seeds alone the "
                           f"clocks of designs that ship with several spread by {noise:.3f} of "
                           f"their mean; " + by_group(items, fmax)),
        "cost.coverage90": (float(np.nanmean(held)), f"LCs {np.nanmean(lc_held):.3f}, Fmax "
                            f"{np.nanmean(fmax_held):.3f}"),
        "cost.memory_errors": (len(wrong), f"EBRs and SPRAMs counted against measured, all "
                               f"{sum(item.counted for item in predict.characterised())} "
                               "measurements that ship; no lowering uses DSP"),
    }


@group(cost__spram_lc_mape=("fraction", "<= 0.04"), cost__spram_fmax_mape=("fraction", "<= 0.1"))
def loaded(bench: Bench) -> dict:
    """Errors on networks with weights in SPRAM, each by a fit to all others that ship."""
    items = [item for item in predict.characterised() if predict.usable(item)]
    loaded = [item for item in items if item.spram]
    networks = sorted({item.network for item in loaded})
    lc, fmax = [], []
    for network in networks:
        others = Predictor((item for item in items if item.network != network), predict.kernels())
        own = [item for item in loaded if item.network == network]
        lc += errors(others, own[:1], "lc")[0].tolist()
        fmax += errors(others, own, "fmax_mhz")[0].tolist()
    without = Predictor((item for item in items if not item.spram), predict.kernels())
    blind = [float(np.nanmean(abs(errors(without, loaded, target)[0])))
             for target in ("lc", "fmax_mhz")]
    return {
        "cost.spram_lc_mape": (float(np.mean(np.abs(lc))), f"{len(networks)} networks, each left "
                               f"out of a fit; at worst {np.max(np.abs(lc)):.3f}; by a fit to "
                               f"designs without SPRAM alone {blind[0]:.3f}"),
        "cost.spram_fmax_mape": (float(np.nanmean(np.abs(fmax))), f"{len(fmax)} measurements of "
                                 f"the same; by a fit without SPRAM {blind[1]:.3f}; their clocks "
                                 f"spread by {seed_noise(loaded):.3f} over seeds"),
    }


def _again(bench: Bench, graphs: dict[str, ir.Graph], items: list[Measurement]) -> str:
    """Place and route a sample once more: the same plan must give the same cells and clock."""
    sample = []
    for lowering in sorted({item.lowering for item in items}):
        routed = [item for item in items if item.lowering == lowering and item.status == "routed"]
        sample += sorted(routed, key=lambda item: item.lc)[:AGAIN]
    for item in sample:
        report = build_graph(graphs[item.design], targets.board(item.board), seed=item.seed,
                             use_cache=False, note=bench.note)
        if dict(report.tools) != item.tools or report.plan != item.plan:
            return "the tools or the gateware are not those that were characterised"
        if (report.lc, report.fmax_mhz) != (item.lc, item.fmax_mhz):
            raise SpikeloomError(f"design {item.design[:12]} on {item.board} was measured with "
                                 f"{item.lc} LCs at {item.fmax_mhz} MHz, and now has {report.lc} "
                                 f"at {report.fmax_mhz}")
    return f"{len(sample)} of them placed and routed again, with the same result"


@group(cost__predictions_per_second=("1/s", ">= 2000"))
def speed(bench: Bench) -> dict:
    """Predictions in batches, and what counting the parts of a design takes before."""
    predictor = predict.shipped()
    graphs = list(shipped_networks().values())
    begun = time.perf_counter()
    rows = [describe(structure(graph)) for graph in graphs]
    counting = len(rows) / (time.perf_counter() - begun)
    batch = (rows * -(-BATCH // len(rows)))[:BATCH]
    best = 0.0
    for _ in range(3):
        begun = time.perf_counter()
        predictor.predict(batch, "UP5K")
        best = max(best, BATCH / (time.perf_counter() - begun))
    return {"cost.predictions_per_second": (
        best, f"LCs, flip-flops, Fmax and seconds with their intervals, from features, a batch of "
              f"{BATCH} designs; fastest of three; counting the features of the networks that ship "
              f"goes at {counting:.0f} a second")}
