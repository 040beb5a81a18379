"""``spikeloom train``: one network, given by options, into a run directory."""

import argparse
import math
import statistics
import time
from dataclasses import replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...flow import config, ir, plugins
from ...flow.cim.array import ENCODINGS
from ...flow.errors import ConfigError, unknown
from ...flow.output import Output
from ...flow.passes.generators import advise
from ...flow.passes.simplify import simplify
from ...flow.run import Run
from ...flow.space_settings import MOST_SPARSE
from ...hdl.neurons import KINDS
from ...hdl.neurons.izhikevich import PRESETS
from .. import datasets
from ..space import spread
from ..train import Trained, TrainSettings, accuracy, plan, train, zeros
from . import train_cells

#: What may be trained on, and what is then still unseen.
FITS = ("final", "train")

#: Parameters that only one neuron kind has: option, name, default, meaning.
PARAMETERS = {
    "fixed": (("--beta", "beta", 7, "v becomes (v * BETA) >> N in each timestep"),
              ("--beta-bits", "n", 3, "the N of --beta")),
    "homeostatic": (("--up", "up", 4, "the threshold grows by this after a spike"),
                    ("--down", "down", 1, "the threshold shrinks by this without one"),
                    ("--lo", "lo", 8, "lowest threshold after the first timestep"),
                    ("--hi", "hi", 255, "highest threshold after the first timestep")),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", "--dataset", default="digits", metavar="NAME",
        help=f"dataset: {', '.join(datasets.LOADERS)} (default: digits)")
    add("--hidden", default="32", metavar="N[,N...]", help="widths of hidden layers (default: 32)")
    add("--weight-bits", type=int, default=4, metavar="W", help="sign and code (default: 4)")
    add("--bitstream-length", type=int, default=8, metavar="L",
        help="SC clocks per timestep, a power of two in 8..512 (default: 8)")
    add("--num-steps", type=int, metavar="T",
        help="timesteps (default: 8, or as many as the dataset's events have)")
    add("--encoder", help="stream or rate (default: stream), or spikes for a dataset of events")
    add("--sng", default="sobol1",
        help="number generator of the weights, or auto (default: sobol1)")
    add("--input-sng", default="ramp",
        help="number generator of stream input, or auto: the pair with the least error "
             "(default: ramp)")
    add("--neuron", default="lif", metavar="KIND",
        help=f"one of {', '.join(KINDS)} (default: lif)")
    for kind, options in PARAMETERS.items():
        for option, name, default, meaning in options:
            add(option, type=int, dest=f"neuron_{name}", metavar=name.upper(),
                help=f"{kind}: {meaning} (default: {default})")
    add("--preset", metavar="NAME",
        help=f"izhikevich: one of {', '.join(PRESETS)} (default: {next(iter(PRESETS))})")
    add("--leak-shift", default="none", metavar="S",
        help="v loses v >> S in each timestep; 'none' for no leak (default: none)")
    add("--saturate-bits", type=int, metavar="W",
        help="membranes saturate to W bits (default: as many as exclude an overflow)")
    add("--refractory", type=int, default=0, metavar="R",
        help="timesteps of rest after a spike (default: 0)")
    add("--delays", default="0", metavar="D[,D...]",
        help="largest axonal delay of each layer, the hidden ones and the last, or one for all: "
             "the axons' are spread evenly over 0..D (default: 0)")
    add("--delay-seed", type=int, default=0, metavar="N",
        help="draw the axons' delays from this seed instead")
    add("--reset", default="subtract", help="subtract or zero (default: subtract)")
    add("--readout", help="membrane or spike_count (default: membrane, where the neuron can)")
    add("--fit", default="final", metavar="WHAT",
        help="final: train and validation split, then test accuracy (default); train: the train "
             "split alone, then validation accuracy")
    add("--epochs", type=int, default=60, help="(default: 60)")
    add("--learning-rate", type=float, default=TrainSettings().learning_rate,
        help="(default: %(default)s)")
    add("--gain", type=float, default=TrainSettings().gain,
        help="first threshold, in units of a layer's typical current; 1 for sparse events "
             "(default: %(default)s)")
    add("--weight-decay", type=float, default=TrainSettings().weight_decay,
        help="more gives more weights of zero, which cost nothing (default: %(default)s)")
    add("--sparsity", type=float, default=TrainSettings().sparsity, metavar="S",
        help=f"share of the weights that pruning makes zero by the end of training, in "
             f"0..{MOST_SPARSE} (default: %(default)s)")
    add("--cim-variation", type=float, default=0.0, metavar="S",
        help="train for RRAM crossbars whose cells are off by this share, standard deviation: each "
             "batch meets other chips; 0 for exact weights (default: 0)")
    add("--cim-cell-bits", type=int, default=TrainSettings().cim_cell_bits, metavar="N",
        help="bits that a cell of these holds (default: 1)")
    add("--cim-encoding", default=TrainSettings().cim_encoding, metavar="NAME",
        help=f"of signed weights in these: {', '.join(ENCODINGS)} (default: differential)")
    add("--seed", type=int, default=0, help="of the first weights (default: 0)")
    add("--seeds", type=int, default=1, metavar="N",
        help="train N networks of seeds SEED, SEED+1, ... together; the first one is kept")
    train_cells.configure(parser)


def _neuron(args: argparse.Namespace):
    """The neuron that the options describe; its threshold, or gain, is learned."""
    if args.neuron not in KINDS:
        raise ConfigError("--neuron: " + unknown("neuron", args.neuron, KINDS))
    own = {}
    for kind, options in PARAMETERS.items():
        for option, name, default, _ in options:
            value = getattr(args, f"neuron_{name}")
            if kind == args.neuron:
                own[name] = default if value is None else value
            elif value is not None:
                raise ConfigError(f"{option} must be left out unless --neuron is {kind}, "
                                  f"not {args.neuron}")
    try:
        leak = None if args.leak_shift == "none" else int(args.leak_shift)
    except ValueError as error:
        raise ConfigError(f"--leak-shift must be 'none' or an integer in 1..15, "
                          f"not {args.leak_shift!r}") from error
    if args.neuron == "izhikevich":
        return _preset(args, leak)
    if args.preset:
        raise ConfigError(f"--preset must be left out unless --neuron is izhikevich, not "
                          f"{args.neuron}")
    return KINDS[args.neuron](v_threshold=1, leak_shift=leak, reset=args.reset,
                              refractory=args.refractory, saturate_bits=args.saturate_bits, **own)


def _preset(args: argparse.Namespace, leak: int | None):
    """Izhikevich's neuron of one preset, to which the options of the others mean nothing."""
    for option, given in (("--leak-shift", leak is not None), ("--reset", args.reset != "subtract"),
                          ("--refractory", args.refractory != 0),
                          ("--saturate-bits", args.saturate_bits is not None)):
        if given:
            raise ConfigError(f"{option} must be left out if --neuron is izhikevich, which has its "
                              "own; --preset chooses its constants")
    name = args.preset or next(iter(PRESETS))
    if name not in PRESETS:
        raise ConfigError("--preset: " + unknown("preset", name, PRESETS))
    return PRESETS[name]


def _delays(args: argparse.Namespace, axons: list[int]) -> list:
    """The delays of each layer, whose numbers of axons are given."""
    words = args.delays.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) <= ir.MAX_DELAY for word in words) \
            or len(words) not in (1, len(axons)):
        raise ConfigError(f"--delays must be one number in 0..{ir.MAX_DELAY}, or {len(axons)} "
                          f"separated by commas, one per layer, not {args.delays!r}")
    if not 0 <= args.delay_seed < 1 << 16:
        raise ConfigError(f"--delay-seed must be in 0..65535, not {args.delay_seed}")
    largest = [int(word) for word in words]
    largest *= len(axons) // len(words)
    return [spread(n, count, args.delay_seed) for n, count in zip(largest, axons)]


def _asked(args: argparse.Namespace) -> config.Data:
    """The section [data] that the options make; ConfigError for a change of another section."""
    item = {"name": args.data}
    for text in args.set:
        section, key, value = config.change(text)
        if section != "data":
            raise ConfigError("--set must be left out without --cells, or be data.KEY=VALUE, of a "
                              f"data set of recordings, not {text!r}")
        item[key] = value
    return config.section(config.data_of(item), item, "--set", "data")


def graph_from(args: argparse.Namespace, data: datasets.Dataset) -> ir.Graph:
    """The shape-stage graph that the options describe; ConfigError or GraphError if they cannot."""
    try:
        hidden = [int(word) for word in str(args.hidden).split(",")]
    except ValueError:
        hidden = []
    if not hidden or min(hidden) < 1:
        raise ConfigError("--hidden must be widths of at least 1, separated by commas, "
                          f"not {args.hidden!r}")
    widths = (*hidden, data.num_classes)
    delays = _delays(args, [math.prod(data.shape), *hidden])
    neuron = _neuron(args)
    layer = {"weight_bits": args.weight_bits, "bitstream_length": args.bitstream_length,
             "sng": args.sng, "neuron": neuron}
    readout = args.readout or ("membrane" if neuron.integrates else "spike_count")
    encoder = args.encoder or data.encoders[-1]
    graph = ir.chain(
        shape=data.shape, encoder=encoder, readout=readout,
        num_steps=(data.num_steps or 8) if args.num_steps is None else args.num_steps,
        input_sng=args.input_sng if encoder == "stream" else None,
        layers=[{"out_features": n, "delay": delay, **layer}
                for n, delay in zip(widths, delays)]).verify()
    data.check(graph)
    return graph


def run(args: argparse.Namespace, out: Output) -> int:
    if args.cells is not None:
        parser = argparse.ArgumentParser()
        configure(parser)
        return train_cells.run(args, out, parser)
    if args.fit not in FITS:
        raise ConfigError(f"--fit must be one of {', '.join(FITS)}, not {args.fit!r}")
    if args.seeds < 1:
        raise ConfigError(f"--seeds must be at least 1, not {args.seeds}")
    if not 0 <= args.seed < 1 << 32:
        raise ConfigError(f"--seed must be in 0..2**32-1, not {args.seed}")
    settings = TrainSettings(epochs=args.epochs, learning_rate=args.learning_rate,
                             weight_decay=args.weight_decay, gain=args.gain,
                             sparsity=args.sparsity, cim_variation=args.cim_variation,
                             cim_cell_bits=args.cim_cell_bits, cim_encoding=args.cim_encoding
                             ).check()
    data = datasets.asked(_asked(args))
    graph = graph_from(args, data)
    plan([graph])  # refuses what cannot be trained before anything is written
    advise(graph, out.note)
    seeds = range(args.seed, args.seed + args.seeds)
    out.record(seeds={"training": seeds}, data=data)
    directory = Run.create(Path(args.run))
    plugins.record(directory.path)
    final = args.fit == "final"
    fit, unseen = (data.final, data.test) if final else (data.train, data.validation)
    start = time.perf_counter()
    try:
        done = _train(graph, fit, settings, seeds, out)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"training was cut short and {directory.path} has no new network; "
                                "run the same command again") from None
    seconds = time.perf_counter() - start
    for item in done:
        if item.stopped:
            out.note(f"seed {item.seed}: {item.stopped}")
    done = [replace(item, graph=simplify(item.graph)) for item in done]
    found = [accuracy(item.graph, unseen) for item in done]
    done[0].graph.save(directory.graph_file)
    directory.save_samples(data.test.inputs, data.test.labels)
    directory.save_calibration(data.validation.inputs, data.validation.labels)
    directory.save_recorded(data.recorded)
    name = "test" if final else "validation"
    result = {
        "run": str(directory.path), "design": done[0].graph.digest(), "data": data.name,
        "fit": "train and validation" if final else "train", "images": len(fit),
        "epochs": settings.epochs, "seeds": [item.seed for item in done],
        f"{name}_accuracy": found[0], f"{name}_accuracies": found,
        f"{name}_accuracy_mean": statistics.mean(found),
        f"{name}_accuracy_sd": statistics.stdev(found) if len(found) > 1 else None,
        "stopped": [item.stopped for item in done],
        "sparsity": settings.sparsity, "cim_variation": settings.cim_variation,
        "zero_weights": zeros(done[0].graph),
        "zero_weights_each": [zeros(item.graph) for item in done],
        "seconds": round(seconds, 3),
    }
    out.result(result, _text(result, name, directory))
    return 1 if any((item.stopped or "").startswith("diverged") for item in done) else 0


def _train(graph: ir.Graph, fit: datasets.Split, settings: TrainSettings, seeds: range,
           out: Output) -> list[Trained]:
    """Train one copy of the graph per seed, with a bar of epochs on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=out.progress, transient=True) as progress:
        bar = progress.add_task("epochs x networks", total=settings.epochs * len(seeds))
        return train([graph] * len(seeds), fit, None, settings, seeds,
                     on_epoch=lambda n, _: progress.update(bar, completed=n))


def _text(result: dict, name: str, directory: Run) -> str:
    found = result[f"{name}_accuracies"]
    lines = [f"trained on {result['fit']} ({result['images']} images), {result['epochs']} epochs"]
    if len(found) > 1:
        lines.append(f"{name} accuracy {100 * result[f'{name}_accuracy_mean']:.2f} %, standard "
                     f"deviation {100 * result[f'{name}_accuracy_sd']:.2f} % over {len(found)} "
                     f"seeds; seed {result['seeds'][0]}: {100 * found[0]:.2f} %")
    else:
        lines.append(f"{name} accuracy {100 * found[0]:.2f} % (seed {result['seeds'][0]})")
    lines.append("by the integer reference model" + (
        ", computed once, after training; no choice was made by it" if name == "test"
        else "; the test split was not touched"))
    lines.append(f"{100 * result['zero_weights']:.0f} % of the weights are zero; network in "
                 f"{directory.graph_file}")
    return "\n".join(lines)
