"""``spikeloom infer``: classify images on a board, or on its simulation by the same host code.

Every answer is compared with the reference model; one that differs ends the command with exit
code 1.
"""

from dataclasses import replace

import numpy as np
from rich.progress import Progress, track

from ...boards.board import RESET_BAUD, WEIGHTS_AT
from ...flow import link_options
from ...flow.errors import ConfigError
from ...flow.ir import Graph
from ...flow.lengths import shift_of
from ...flow.link_options import link_features
from ...flow.lower import design_hash, top
from ...flow.passes.compile import compile_graph
from ...flow.passes.schedule import inference_cycles, load_cycles
from ...flow.run import Run
from ...flow.weights_file import packed
from ...flow.weights_image import weights_image
from ...hdl.boot import boot_clocks
from ...hdl.protocol import Features
from ...hdl.uart import MIN_DIVISOR
from .. import reference
from ..attached import open_device
from ..host import Device
from ..images import coarse, payload, read_images, shaped
from ..rates import CLOCK_HZ, check_rate, divisor_for
from ..simulated import SimTransport
from ..spi_flash import SpiFlash


def configure(parser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", metavar="DEV", help="serial port of the board: /dev/ttyUSB1")
    where.add_argument("--sim", action="store_true", help="simulate the board's gateware")
    parser.add_argument("file", metavar="FILE", nargs="?",
                        help="images: .npy, .npz or .safetensors (array p8), .csv or .txt (a row "
                             "of pixels 0..255 each), or a recording of events in the format of "
                             "the run's data set (.bin, .aedat, .h5); default: the run's test "
                             "images")
    parser.add_argument("--count", type=int, metavar="N",
                        help="classify the first N images (default: all of FILE, or 10)")
    parser.add_argument("--baud", type=float, metavar="RATE",
                        help="rate to change to; a board starts at 115200")
    parser.add_argument("--steps", type=int, metavar="N",
                        help="infer with N timesteps, if the bitstream's link has 'steps'")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--shift", type=int, default=0, metavar="H",
                        help="infer with bitstreams of L >> H, if the network was compiled for it "
                             "(synth --max-shift)")
    length.add_argument("--length", type=int, metavar="L",
                        help="the same, by the length of the longest bitstream")
    link_options.add_argument(parser)
    parser.add_argument("--load", action="store_true",
                        help="send the weights over the link first, if the network has some that "
                             "are loaded; by default the board has them from its flash")
    parser.add_argument("--clock", type=float, metavar="HZ", default=CLOCK_HZ,
                        help="the board's clock, for --baud (default: 12000000)")


def run(args, out) -> int:
    check_rate("--clock", args.clock)
    divisor = None if args.baud is None else divisor_for(args.clock, args.baud)
    if args.count is not None and args.count < 1:
        raise ConfigError(f"--count must be at least 1, not {args.count}")
    opened = Run.open(args.run)
    graph = compile_graph(opened.graph())
    shift = args.shift if args.length is None else shift_of(graph, args.length)
    if args.file is None:
        p8, labels = opened.first_samples("--count", args.count)
    else:
        p8, labels = read_images(args.file, graph, opened.recorded(), args.count)
        if args.count is not None and args.count > len(p8):
            raise ConfigError(f"--count must be in 1..{len(p8)}, the images of {args.file}, not "
                              f"{args.count}")
        p8 = p8[:args.count]
    p8 = shaped(graph, p8, args.file or str(opened.samples_file))
    features = link_features(args.link)
    if args.link and args.port:
        raise ConfigError("--link must be used with --sim; a board's link is what 'synth --link' "
                          "made of it")
    if args.load and not len(weights_image(graph)):
        raise ConfigError("--load must be used with a network of which a layer has memory spram, "
                          "since the bitstream has the weights of any other; leave it out")
    device = connect(args, graph, divisor, features)
    try:
        get_weights(args, graph, device, out)
        device.restore()
        if args.steps is not None:
            device.set_steps(args.steps)
        if shift:
            device.set_shift(shift)
        p8 = coarse(graph, p8, device.info().features.pixel_bits)
        wanted = reference.run(*_fewer(graph, p8, args.steps), shift=shift)
        images = []
        results = device.infer_all(np.frombuffer(payload(graph, image), np.uint8) for image in p8)
        for index, result in enumerate(track(results, "inferring", len(p8), console=out.progress,
                                             transient=True)):
            scores = [int(score) for score in wanted.scores[index]]
            images.append({
                "index": index, "class": result.cls, "scores": list(result.scores),
                "label": None if labels is None else int(labels[index]),
                "reference": {"class": int(wanted.classes[index]), "scores": scores},
                "equal": (result.cls == wanted.classes[index] and list(result.scores) == scores),
            })
        device.restore()
        if divisor is not None and args.port:
            device.set_divisor(round(args.clock / RESET_BAUD))  # as the next host expects it
    finally:
        device.close()
    data = summary(images, device, design_hash(graph).hex())
    out.result(data, *(line(image) for image in images), closing(data))
    return 0 if data["equal"] == data["count"] else 1


def _fewer(graph: Graph, images: np.ndarray, steps: int | None) -> tuple[Graph, np.ndarray]:
    """A network with its first `steps` timesteps alone, and what it gets of its inputs."""
    if steps is None:
        return graph, images
    return replace(graph, num_steps=steps), (
        images[:, :steps] if graph.input.encoder == "spikes" else images)


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
        return device
    return open_device(graph, args.port, args.clock, args.baud)


def get_weights(args, graph: Graph, device: Device, out) -> None:
    """Have the device's weights be loaded: wait for those of its flash, or send them."""
    words = len(weights_image(graph))
    if not words:
        return
    if not args.load:
        device.wait_for_weights(2 * boot_clocks(words) / args.clock)
        return
    image = packed(graph)
    with Progress(console=out.progress, transient=True) as progress:
        task = progress.add_task("loading weights", total=len(image))
        device.load(image, lambda count: progress.update(task, completed=count))


def summary(images: list[dict], device: Device, design: str) -> dict:
    labelled = [image for image in images if image["label"] is not None]
    right = sum(image["class"] == image["label"] for image in labelled)
    return {
        "device": device.transport.name, "design": design, "count": len(images),
        "equal": sum(image["equal"] for image in images),
        "labelled": len(labelled), "correct": right, "images": images,
    }


def line(image: dict) -> str:
    label = "" if image["label"] is None else f", label {image['label']}"
    text = f"{image['index']:4}: class {image['class']}{label}, scores {image['scores']}"
    if image["equal"]:
        return f"{text}, equal to the reference"
    wanted = image["reference"]
    return f"{text}, NOT the reference's class {wanted['class']}, scores {wanted['scores']}"


def closing(data: dict) -> str:
    text = (f"{data['device']}, design {data['design']}: {data['equal']} of {data['count']} equal "
            "to the reference")
    if data["labelled"]:
        text += f", {data['correct']} of {data['labelled']} labels right"
    return text
