"""``spikeloom infer``: classify images on a board, or on its simulation by the same host code.

Every answer is compared with the reference model; one that differs ends the command with exit
code 1.
"""

import time
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...boards.board import RESET_BAUD
from ...flow import clocks, link_options
from ...flow.errors import ConfigError, LinkError
from ...flow.ir import Graph
from ...flow.lengths import shift_of
from ...flow.link_options import link_features
from ...flow.lower import design_hash
from ...flow.output import counted
from ...flow.passes.compile import compile_graph
from ...flow.run import Run
from ...flow.weights_image import weights_image
from .. import batch, drawn, reference
from ..connected import connect, get_weights
from ..host import Device
from ..images import coarse, payload, read_images, shaped
from ..keys import Terminal
from ..live import Bar, Spikes, Tally
from ..pictures import INVERT, is_picture, read_pictures
from ..rates import CLOCK_HZ, check_rate, divisor_for


def configure(parser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", metavar="DEV", help="serial port of the board: /dev/ttyUSB1")
    where.add_argument("--sim", action="store_true", help="simulate the board's gateware")
    parser.add_argument("files", metavar="FILE", nargs="*",
                        help="images: .npy, .npz or .safetensors (array p8), .csv or .txt (a row "
                             "of pixels 0..255 each), a recording of events in the format of "
                             "the run's data set (.bin, .aedat, .h5), or any number of pictures "
                             "(.png, .jpg, .bmp); default: the run's test images")
    parser.add_argument("--count", type=int, metavar="N",
                        help="classify the first N images (default: all of FILE, or 10)")
    parser.add_argument("--draw", action="store_true",
                        help="draw digits in the terminal, with keys or the mouse")
    parser.add_argument("--live", action="store_true",
                        help="show image after image with the spikes or scores of each class")
    parser.add_argument("--as-is", action="store_true",
                        help="pictures have the network's size: do not scale and centre them")
    parser.add_argument("--invert", choices=INVERT, default="auto",
                        help="whether a picture's ink is darker than its ground (default: auto, "
                             "by the brightness of its border)")
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
    parser.add_argument("--clock", type=float, metavar="HZ",
                        help="the board's clock, for --baud (default: that of the run's build, or "
                             "12000000; of a simulation, too, where builds have several)")


def run(args, out) -> int:
    if args.clock is not None:
        check_rate("--clock", args.clock)
    if args.count is not None and args.count < 1:
        raise ConfigError(f"--count must be at least 1, not {args.count}")
    opened = Run.open(args.run)
    graph = compile_graph(opened.graph())
    args.clock, args.tolerance = clocks.of_run(opened, graph.digest(), CLOCK_HZ, asked=args.clock,
                                               any_will_do=args.sim)
    divisor = None if args.baud is None else divisor_for(args.clock, args.baud)
    shift = args.shift if args.length is None else shift_of(graph, args.length)
    features = link_features(args.link)
    if args.link and args.port:
        raise ConfigError("--link must be used with --sim; a board's link is what 'synth --link' "
                          "made of it")
    if args.load and not len(weights_image(graph)):
        raise ConfigError("--load must be used with a network of which a layer has memory spram, "
                          "since the bitstream has the weights of any other; leave it out")
    images = None if args.draw else _images(args, graph, opened)
    shape = drawn.image_of(graph) if args.draw else None
    terminal = _terminal(args, shape, out) if args.draw else None
    interrupted = True
    with closing(connect(args, graph, divisor, features)) as device:
        try:
            get_weights(args, graph, device, out)
            device.restore()
            if args.steps is not None:
                device.set_steps(args.steps)
            if shift:
                device.set_shift(shift)
            asked = _Asked(args, graph, device, shift, out)
            data = asked.batch(images) if images else asked.drawings(terminal, shape)
            interrupted = data["count"] < data["asked"]
        finally:
            if args.port:
                leave(device, args, interrupted)
    out.result(data, *batch.told(data))
    if interrupted:
        fewer = "" if args.draw else "; --count N classifies fewer"
        raise KeyboardInterrupt(f"{data['count']:,} of {counted(data['asked'], 'image')} "
                                f"classified, which are above{fewer}")
    return 0 if data["equal"] == data["count"] else 1


def leave(device: Device, args, interrupted: bool) -> None:
    """A board is left as the next host expects it, if it still answers.

    interrupted: it may be in the midst of something, or gone.
    """
    with suppress(LinkError) if interrupted else nullcontext():
        if interrupted:
            device.rest()
        device.restore()
        if args.baud is not None:
            device.set_divisor(round(args.clock / RESET_BAUD))


@dataclass(frozen=True)
class _Images:
    """Images [n, *input_shape], their labels, and the pictures that they are of, if they are."""

    p8: np.ndarray
    labels: np.ndarray | None = None
    pictures: list[str] | None = None


@dataclass(frozen=True)
class _Asked:
    """A device that is ready, and how it is asked."""

    args: object
    graph: Graph
    device: Device
    shift: int
    out: object

    def batch(self, images: _Images) -> dict:
        """Images one after the other, as they are there."""
        p8, wanted = self._wanted(images.p8)
        tally = Tally(len(p8), self._clock)
        console, live = self.out.progress, self.args.live
        view = Spikes(console, tally, self.graph) if live else Bar(console, tally)
        found = batch.classify(self.graph, p8, images.labels, wanted, self.device, view, tally,
                               counted=live and self.device.info().features.counters)
        for image in found if images.pictures else ():
            image["file"] = images.pictures[image["index"]]
        return self._summary(found, tally)

    def drawings(self, terminal: Terminal, shape: tuple[int, int]) -> dict:
        """Images as they are drawn, until there are no more."""
        tally = Tally(0, self._clock)

        def classify(image: np.ndarray) -> dict:
            tally.total += 1
            p8, wanted = self._wanted(image.reshape(1, -1))
            self.device.settle()  # nobody has asked it for as long as it took to draw
            result = self.device.infer(np.frombuffer(payload(self.graph, p8[0]), np.uint8))
            answer = batch.compared(0, result, wanted) | {"index": tally.done, "p8": p8[0]}
            tally.add(answer)
            return answer

        answers = drawn.draw(self.out.progress, terminal, shape, classify)
        return self._summary(answers, tally) | {"seconds": None, "images_per_second": None}

    def _summary(self, found: list[dict], tally: Tally) -> dict:
        return batch.summary(found, self.device, design_hash(self.graph).hex(), tally,
                             self.graph.readout.size)

    def _wanted(self, p8: np.ndarray) -> tuple[np.ndarray, reference.Trace]:
        """Images as the device gets them, and what the reference model answers."""
        p8 = coarse(self.graph, p8, self.device.info().features.pixel_bits)
        graph, first, steps = self.graph, p8, self.args.steps
        if steps is not None:
            graph = replace(graph, num_steps=steps)
            first = p8[:, :steps] if graph.input.encoder == "spikes" else p8
        return p8, reference.run(graph, first, shift=self.shift)

    def _clock(self) -> float:
        """Seconds: of the simulation, where there is one."""
        if self.args.sim:
            return self.device.transport.clocks / self.args.clock
        return time.monotonic()


def _terminal(args, shape: tuple[int, int], out) -> Terminal:
    if args.files or args.count is not None or args.live or args.as_is or args.invert != "auto":
        raise ConfigError("--draw must be used without FILE, --count, --live, --as-is and "
                          "--invert; what is drawn is what is classified")
    return drawn.terminal(out.progress, shape)


def _images(args, graph: Graph, opened: Run) -> _Images:
    pictures = [path for path in args.files if is_picture(path)]
    if not pictures and (args.as_is or args.invert != "auto"):
        raise ConfigError("--as-is and --invert must be used with pictures as FILE, .png, .jpg or "
                          ".bmp; other files are arrays, and taken as they are")
    if not args.files:
        p8, labels = opened.first_samples("--count", args.count)
        return _Images(p8=shaped(graph, p8, str(opened.samples_file)), labels=labels)
    if pictures and len(pictures) < len(args.files):
        other = next(path for path in args.files if path not in pictures)
        raise ConfigError(f"FILE must be pictures alone or one other file, not {pictures[0]} and "
                          f"{other}; classify them one after the other")
    if len(args.files) > 1 and not pictures:
        raise ConfigError(f"FILE must be one file, or pictures, not {len(args.files)} files; "
                          "classify them one after the other")
    if pictures:
        p8, labels = read_pictures(pictures, graph, invert=args.invert, as_is=args.as_is), None
    else:
        p8, labels = read_images(Path(args.files[0]), graph, opened.recorded(), args.count)
    where = args.files[0] if len(args.files) == 1 else "FILE"
    if args.count is not None and args.count > len(p8):
        raise ConfigError(f"--count must be in 1..{len(p8)}, the images of {where}, not "
                          f"{args.count}")
    return _Images(p8=shaped(graph, p8[:args.count], where), pictures=pictures or None,
                   labels=None if labels is None else labels[:args.count])
