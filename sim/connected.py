"""A device to ask, on a port or simulated, and its weights where it needs some."""

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ..boards.board import WEIGHTS_AT
from ..flow.ir import Graph
from ..flow.lower import design_hash, top
from ..flow.passes.schedule import inference_cycles, load_cycles
from ..flow.weights_file import packed
from ..flow.weights_image import weights_image
from ..hdl.boot import boot_clocks
from ..hdl.protocol import Features
from ..hdl.uart import MIN_DIVISOR
from . import attached
from .host import Device
from .simulated import SimTransport
from .spi_flash import SpiFlash


def connect(args, graph: Graph, divisor: int | None, features: Features) -> Device:
    """The device of this run's design, at the rate asked for."""
    if args.sim:
        design = top(graph, divisor=MIN_DIVISOR, features=features, weights_at=WEIGHTS_AT)
        clocks = inference_cycles(graph) + load_cycles(graph) + 8 * design.core.n_inputs
        transport = SimTransport(design, clock_hz=args.clock, flash=SpiFlash.of(design, graph),
                                 timeout=(2 * clocks + 1000) / args.clock)
        device = Device(transport, expect=design_hash(graph), clock_hz=args.clock)
        device.info()
        if divisor is not None:
            device.set_divisor(divisor)
    else:
        device = attached.open_device(graph, args.port, args.clock, args.baud,
                                      args.tolerance)
    device.patience = patience(args, graph)
    return device


def patience(args, graph: Graph) -> float:
    """Seconds that the weights take from a reset until they are loaded, at most; 0 without any.

    Twice what the flash takes, and on a port what an answer may take besides.
    """
    if not len(weights_image(graph)):
        return 0.0
    return loading_seconds(args, graph) * 2 + (0.0 if args.sim else attached.TIMEOUT)


def loading_seconds(args, graph: Graph) -> float:
    """Seconds that a board's flash takes to load a network's weights."""
    return boot_clocks(len(weights_image(graph))) / args.clock


def get_weights(args, graph: Graph, device: Device, out) -> None:
    """Have the device's weights be loaded: wait for those of its flash, or send them."""
    if not len(weights_image(graph)):
        return
    if args.load:
        image = packed(graph)
        with Progress(TextColumn("sending weights"), BarColumn(), DownloadColumn(),
                      TimeRemainingColumn(), console=out.progress, transient=True,
                      disable=not out.progress.is_terminal) as progress:
            task = progress.add_task("", total=len(image))
            device.load(image, lambda count: progress.update(task, completed=count))
        return
    with Progress(TextColumn("weights load from the flash"), BarColumn(),
                  TextColumn("{task.completed:.3f} of about {task.total:.3f} s"),
                  console=out.progress, transient=True,
                      disable=not out.progress.is_terminal) as progress:
        task = progress.add_task("", total=loading_seconds(args, graph))
        device.wait_for_weights(patience(args, graph),
                                lambda seconds: progress.update(task, completed=seconds))
