"""``spikeloom metrics``: a run's network by NeuroBench's metrics, on its test images."""

from importlib import import_module

from msgspec import to_builtins
from rich.table import Table

from ...flow.output import Wide
from ...flow.passes.quantize import quantize
from ...flow.run import Run
from .. import metrics
from ..images import shaped

#: Networks of cells before export, in a package that this one must not import: named, as in `cli`.
CELLS = "spikeloom.nas.cells"


def configure(parser) -> None:
    parser.add_argument("--count", type=int, metavar="N",
                        help="the first N test images (default: all that the run keeps)")
    parser.add_argument("--float", action="store_true",
                        help="of a network of cells: as it was trained, before its export to "
                             "integers")


def run(args, out) -> int:
    opened = Run.open(args.run)
    images, _ = opened.samples()
    if args.count is not None:
        images, _ = opened.first_samples("--count", args.count)
    about = f"{len(images):,} images"
    if args.float:
        network = import_module(f"{CELLS}.checkpoints").load_network(opened.path)
        with out.progress.status(about):
            found = import_module(f"{CELLS}.metrics").metrics(network, images)
        data = {"network": "floating point"}
    else:
        graph = quantize(opened.graph())
        with out.progress.status(f"the reference model: {about}"):
            found = metrics.metrics(graph, shaped(graph, images, str(opened.samples_file)))
        data = {"network": "integers", "design": graph.digest()}
    data = {"run": str(opened.path), **data, **to_builtins(found),
            "definitions": metrics.DEFINITIONS}
    out.result(data, *tables(found), *(f"{name.replace('_', ' ')}: {text}"
                                       for name, text in metrics.DEFINITIONS.items()))
    return 0


def tables(found: metrics.Metrics) -> list:
    """For people: the whole, then layer by layer."""
    stored = found.footprint
    whole = Table("metric", "value", title=f"NeuroBench metrics over {found.images:,} test images",
                  title_justify="left")
    whole.columns[1].justify = "right"
    for name, value in (
            ("footprint", f"{found.footprint_bytes:,} bytes"),
            ("  weights", f"{stored.weights:,} bits"), ("  biases, scales",
                                                        f"{stored.biases:,} bits"),
            ("  state", f"{stored.state:,} bits"),
            ("connection sparsity", f"{found.connection_sparsity:.4f}"),
            ("activation sparsity", f"{found.activation_sparsity:.4f}"),
            ("effective MACs", f"{found.effective_macs:,.1f}"),
            ("effective ACs", f"{found.effective_acs:,.1f}"),
            ("dense operations", f"{found.dense:,.1f}"),
            ("spikes per image", f"{found.spikes_per_image:,.1f}"),
            *(() if found.input_events is None else
              (("input events", f"{found.input_events:,.1f}"),))):
        whole.add_row(name, value)
    layers = Table(title="of an image, layer by layer", title_justify="left")
    for column in ("layer", "kind", "weights", "zero", "dense", "effective"):
        layers.add_column(column, justify="left" if column in ("layer", "kind") else "right")
    for item in found.layers:
        layers.add_row(item.name, item.kind, f"{item.weights:,}",
                       f"{item.zeros / item.weights:.1%}", f"{item.dense:,.1f}",
                       f"{item.effective:,.1f}")
    neurons = Table(title="neurons that fire", title_justify="left")
    for column in ("population", "neurons", "spikes an image", "activation sparsity"):
        neurons.add_column(column, justify="left" if column == "population" else "right")
    for item in found.populations:
        neurons.add_row(item.name, f"{item.neurons:,}", f"{item.spikes:,.1f}",
                        f"{item.sparsity:.4f}")
    return [whole, Wide(layers), *([Wide(neurons)] if found.populations else [])]
