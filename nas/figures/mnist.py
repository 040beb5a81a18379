"""MNIST at its full size on the UP5K: the network that its search chooses, and 784-128-10."""

import statistics
import time
from functools import lru_cache

import msgspec

from ...flow import clocks, config, ir, targets
from ...flow.cost import prices
from ...flow.errors import ConfigError
from ...flow.memories import image_bytes
from ...flow.passes.compile import compile_graph
from ...flow.passes.folding import run_clocks
from ...flow.run import Run
from ...flow.synthesis import build_graph
from ...flow.weights_image import sections
from ...hdl import protocol
from ...hdl.neurons import Lif
from ...hdl.spram import MOST, WIDTH
from ...hdl.uart import MIN_DIVISOR
from ...sim import reference
from ...sim.seen import cycles, seen
from .. import datasets, workers
from ..bench import FOLDER, Bench, Unmeasured, group
from ..datasets import Dataset
from ..train import TrainSettings, accuracy
from .networks import shapes
from .rungs import replay

BOARD = "icebreaker"
#: Trainings of a network, that of the run first.
SEEDS = 4
#: Test images whose clocks are averaged, and those whose toggles are counted in the netlist.
TIMED, COUNTED = 1000, 10
#: Test images on two rungs.
RTL_IMAGES, NETLIST_IMAGES = 20, 2
#: Widths, bits of a weight, lanes and epochs of the second network.
NARROW, WEIGHT_BITS, LANES, EPOCHS = 128, 4, 16, 24


def data() -> Dataset:
    """The images; Unmeasured where the files are not there."""
    try:
        return datasets.load("mnist")
    except ConfigError as error:
        raise Unmeasured(str(error)) from error


def searched(bench: Bench) -> tuple[Run, dict]:
    """``make search synth DATA=mnist``, once for all figures."""
    data()
    return bench.search("mnist")


def recipe(opened: Run) -> TrainSettings:
    """How the search of a run trains the network that it keeps."""
    experiment = config.load_experiment(opened.experiment)
    return msgspec.structs.replace(msgspec.convert(experiment.train, TrainSettings),
                                   epochs=experiment.search.final_epochs)


def trained(bench: Bench, graph: ir.Graph, settings: TrainSettings, seeds: list[int]
            ) -> list[ir.Graph]:
    """A graph of shapes, trained on train and validation from each seed, at once."""
    images = data().final
    with workers.workers(bench.jobs, "measure again") as executor:
        running = [executor.submit(workers.train_batch, [graph], images, None, settings, [seed])
                   for seed in seeds]
        return [item.graph for future in running for item, _ in future.result()]


@lru_cache(maxsize=1)
def final(bench: Bench) -> tuple[ir.Graph, list[float], float]:
    """The network as built, its test accuracy from each seed, and the seconds of all of it."""
    opened, outcome = searched(bench)
    graph, began = compile_graph(opened.graph()), time.monotonic()
    first = config.load_experiment(opened.experiment).search.seed
    others = trained(bench, shapes(graph), recipe(opened),
                     list(range(first + 1, first + SEEDS)))
    seconds = outcome["wall"] + time.monotonic() - began
    split = data().test
    return graph, [accuracy(item, split) for item in (graph, *others)], seconds


@group(mnist__test_accuracy=("fraction", ">= 0.985"), mnist__lc=("LCs", "<= 5280"),
       mnist__seconds=("s", "<= 1500"), mnist__fmax_mhz=("MHz", ">= 18"))
def network(bench: Bench) -> dict:
    """What the search finds, and how well it does from several seeds."""
    opened, outcome = searched(bench)
    _, right, seconds = final(bench)
    report, name = outcome["report"], outcome["final"]["network"]
    where = f"{name} on the {report['board']}, with link, flash reader and loader"
    routed = {item["id"]: item for item in outcome["routed"]}
    front = "; ".join(f"{item['accuracy']:.4f} {item['measured']['mean_cycles']:,.0f} clocks "
                      f"{item['measured']['lc']:,.0f} LCs {item['network']}"
                      for item in map(routed.get, outcome["front"]))
    return {
        "mnist.test_accuracy": (statistics.mean(right), (
            f"{name}; integer reference model, {SEEDS} training seeds on train and validation "
            f"({recipe(opened).epochs} epochs), all {len(data().test):,} test images: "
            f"{', '.join(f'{value:.4f}' for value in right)}; sd {statistics.stdev(right):.4f}; "
            f"the front, by validation accuracy: {front}")),
        "mnist.lc": (report["lc"], f"nextpnr, {where}; {report['ebr']} EBRs, {report['spram']} "
                                   "SPRAMs"),
        "mnist.fmax_mhz": (report["fmax_mhz"], f"nextpnr, {where}; the design runs at "
                                               f"{report['clock_mhz']:g} MHz"),
        "mnist.seconds": (seconds, (
            f"search ({outcome['counts']['candidates']} candidates, {outcome['counts']['routed']} "
            f"placed and routed), final training, synth: {outcome['wall']:.0f} s; and "
            f"{SEEDS - 1} trainings more; {bench.jobs} jobs")),
    }


@group(mnist__images_per_second=("1/s", ">= 4000"), mnist__roofline=("fraction", ">= 0.6"),
       mnist__link_images_per_second=("1/s", ""))
def rates(bench: Bench) -> dict:
    """Clocks of test images, the weights that they fetch, and the line beside them."""
    opened, outcome = searched(bench)
    graph, report = compile_graph(opened.graph()), outcome["report"]
    clock_hz = report["clock_mhz"] * 1e6
    images = data().test.inputs[:TIMED]
    clocks = statistics.mean(cycles(graph, images))
    share, busy = fetched(graph, images[:100])
    request = protocol.FRAME_BYTES + image_bytes(graph)
    reply = (protocol.FRAME_BYTES + protocol.TAG_BYTES + protocol.SCORE_BYTES * graph.readout.size
             + 1)
    line = 10 * MIN_DIVISOR * (request + reply)
    return {
        "mnist.images_per_second": (clock_hz / clocks, (
            f"{clocks:,.0f} clocks an image by the cycle formula, mean of {TIMED:,} test images, "
            f"at {clock_hz / 1e6:g} MHz, the image in the device; {report['fmax_mhz']:.1f} MHz "
            f"would make {1e6 * report['fmax_mhz'] / clocks:,.0f}")),
        "mnist.roofline": (share, (
            f"weights that lanes take over those that four SPRAMs could give in the {busy:,.0f} "
            f"clocks an image in which layers are at work, mean of 100 test images")),
        "mnist.link_images_per_second": (clock_hz / line, (
            f"bound by the UART alone: {request} bytes to the device and {reply} back, "
            f"{MIN_DIVISOR} clocks a bit; one after the other, without overlap, "
            f"{clock_hz / (line + clocks):,.0f}")),
    }


def fetched(graph: ir.Graph, images) -> tuple[float, float]:
    """Weights taken over those that all SPRAMs of an UP5K could give while layers work, and clocks
    of that, mean.
    """
    run = list(range(len(graph.layers)))  # all of them share the lanes
    lanes = max(synapses.lanes or 0 for synapses, _ in graph.layers)
    (section,) = sections(graph)
    each = MOST * WIDTH / section.contents.field_bits  # weights that fit what they give in a clock
    taken, busy = 0, 0
    for one in seen(graph, images):
        found = run_clocks(graph, run, one)
        for k, (synapses, _) in enumerate(graph.layers):
            groups = -(-synapses.out_features // lanes)
            taken += int(found.adding[k].sum()) * synapses.out_features / groups
        busy += int(found.each.sum())
    return taken / (busy * each), busy / len(images)


@group(mnist__nj_per_image=("nJ", "<= 2000"))
def energy(bench: Bench) -> dict:
    """What the netlist does with some test images, at the prices of the package."""
    from ...flow.activity import priced
    from ...sim import activity

    opened, outcome = searched(bench)
    graph, board = compile_graph(opened.graph()), clocks.kept(opened, targets.board(BOARD))
    images = data().test.inputs[:COUNTED]
    actions = activity.count(graph, images, board, note=bench.note)
    known = prices.shipped().of(board.device, board.source)
    found = priced(actions, known, divisor=board.divisor)
    span, (least, most) = found.split.total("compute"), found.spread
    return {"mnist.nj_per_image": (span.high, (
        f"core's supply, the image in the device; {span.low:,.0f}..{span.high:,.0f} nJ by the "
        f"prices, mean of {COUNTED} test images ({least:,.0f}..{most:,.0f}); netlist of "
        f"{outcome['final']['network']}, clock: {board.source}, {board.clock_hz / 1e6:g} MHz"))}


@group(mnist__rtl_images_equal=("images", ">= 20"))
def rtl(bench: Bench) -> dict:
    """Test images through the RTL, which first loads its weights from a model of the flash."""
    return {"mnist.rtl_images_equal": _equal(bench, "rtl", RTL_IMAGES)}


@group(mnist__netlist_images_equal=("images", ">= 2"))
def netlist(bench: Bench) -> dict:
    """Test images through the netlist that nextpnr is given, loading included."""
    return {"mnist.netlist_images_equal": _equal(bench, "netlist", NETLIST_IMAGES)}


def _equal(bench: Bench, level: str, count: int) -> tuple[int, str]:
    """Of so many test images on a rung, those that are equal in everything."""
    opened, _ = searched(bench)
    board = clocks.kept(opened, targets.board(BOARD))
    equal, _, figures, detail = replay(bench, level, count, compile_graph(opened.graph()), board,
                                       "mnist")
    return equal, (f"{detail}, loading included; clock: {board.source}, {board.clock_hz / 1e6:g} "
                   f"MHz; {figures['wall']:.0f} s in all")


@group(mnist__reference_seconds=("s", "<= 10"))
def speed(bench: Bench) -> dict:
    """All test images by the reference model."""
    opened, _ = searched(bench)
    graph, images = opened.graph(), data().test.inputs
    began = time.perf_counter()
    reference.run(graph, images)
    return {"mnist.reference_seconds": (time.perf_counter() - began, (
        f"scores and spikes of {len(images):,} images, one process"))}


@group(mnist128__lc=("LCs", "<= 2600"), mnist128__test_accuracy=("fraction", ">= 0.978"))
def narrow(bench: Bench) -> dict:
    """784-128-10 with 16 lanes, built with all that loads and serves it."""
    split = data().test
    layer = {"weight_bits": WEIGHT_BITS, "bitstream_length": 8, "sng": "sobol1",
             "neuron": Lif(v_threshold=1), "lowering": "folded", "memory": "spram"}
    shape = ir.chain(shape=(28, 28), encoder="stream", input_sng="ramp", readout="membrane",
                     num_steps=4, layers=[{"out_features": n, "lanes": min(n, LANES), **layer}
                                          for n in (NARROW, 10)])
    settings = TrainSettings(epochs=EPOCHS, batch_size=128, learning_rate=0.03, gain=1.0, shift=1)
    graphs = trained(bench, shape, settings, list(range(1, SEEDS + 1)))
    right = [accuracy(graph, split) for graph in graphs]
    report = build_graph(compile_graph(graphs[0]), targets.board(BOARD), use_cache=False,
                         out_dir=FOLDER / "mnist128", note=bench.note)
    about = f"784-{NARROW}-10, {WEIGHT_BITS}-bit weights, {LANES} lanes, T = 4, L = 8"
    return {
        "mnist128.lc": (report.lc, (
            f"nextpnr, {about}, on the {report.board} with link, flash reader and loader; "
            f"{report.ebr} EBRs, {report.spram} SPRAMs, {report.fmax_mhz:.1f} MHz")),
        "mnist128.test_accuracy": (statistics.mean(right), (
            f"{about}; {SEEDS} training seeds, {EPOCHS} epochs on train and validation: "
            f"{', '.join(f'{value:.4f}' for value in right)}")),
    }
