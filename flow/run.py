"""A run directory: every artefact of one experiment, each a file that a person can open.

    run.json             format and the version that made it
    experiment.toml      what was asked for
    graph.safetensors    the trained integer network
    samples.safetensors  test images p8 (uint8 [n, ...]) and labels (int64 [n])
    calibration.safetensors  the same of validation images, to calibrate with
    manifest.json        the commands that made it, and with what (`manifest`)
    events.json          how recordings became these, where they are of recordings of events
    plugins.json         the plug-ins that it was made with, if there were any
    build/BOARD/         top.bin, report.json and the logs of one board; BOARD-proof/ likewise
    cim/                 plan.json, plan.svg, actions.json and cost.json: the network on crossbars;
                         array.toml, if a search chose their array
"""

import json
from importlib import metadata
from pathlib import Path

import msgspec
import numpy as np
from safetensors.numpy import load, save

from . import ir, plugins
from .errors import ConfigError, GraphError, RunError
from .events import Recorded
from .files import read_json, write_atomic

FORMAT = 1
#: Of events.json.
RECORDED = 1
#: Images that a run keeps to calibrate with, at most.
CALIBRATION = 256


class Run:
    """An opened run directory."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path) -> "Run":
        """Make the directory, or open it if it is a run directory of this version already."""
        run = cls(path)
        if run.manifest.exists():
            return cls.open(path)
        if run.path.exists() and (not run.path.is_dir() or any(run.path.iterdir())):
            raise RunError(f"{run.path}: exists and is not a run directory; choose another --run")
        manifest = {"format": FORMAT, "spikeloom": metadata.version("spikeloom")}
        write_atomic(run.manifest, json.dumps(manifest, indent=1) + "\n")
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open a run directory; RunError if there is none, or one of another format."""
        run = cls(path)
        try:
            found = json.loads(run.manifest.read_text())["format"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunError(f"{run.path}: is not a run directory (no run.json); 'spikeloom search' "
                           "or 'spikeloom train' makes one") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{run.manifest}: is damaged; make the run again with another --run"
                           ) from error
        if found != FORMAT:
            raise RunError(f"{run.path}: has run format {found}, this version reads {FORMAT}; "
                           "make the run again with this version")
        return run

    def keep(self, graph: ir.Graph) -> None:
        """Make this the run's network, so that every command finds it; nothing if it is."""
        if graph.digest() != self.graph().digest():
            graph.save(self.graph_file)

    @property
    def manifest(self) -> Path:
        return self.path / "run.json"

    @property
    def experiment(self) -> Path:
        return self.path / "experiment.toml"

    @property
    def graph_file(self) -> Path:
        return self.path / "graph.safetensors"

    @property
    def samples_file(self) -> Path:
        return self.path / "samples.safetensors"

    @property
    def calibration_file(self) -> Path:
        return self.path / "calibration.safetensors"

    @property
    def recorded_file(self) -> Path:
        return self.path / "events.json"

    def build_dir(self, board: str, *, proof: bool = False) -> Path:
        """Where a board's build lies; its proof build lies beside the one that ships."""
        return self.path / "build" / (f"{board}-proof" if proof else board)

    def builds(self) -> list[tuple[str, Path]]:
        """Boards with a build, and where its report lies; proof builds aside."""
        found = [(path.parent.name, path) for path in sorted(self.path.glob("build/*/report.json"))]
        return [(name, path) for name, path in found
                if self.build_dir(name.removesuffix("-proof"), proof=True) != path.parent]

    def graph(self) -> ir.Graph:
        """The trained network; RunError if it is missing, damaged or of an absent plug-in."""
        try:
            return ir.load_graph(self.graph_file)
        except GraphError as error:
            if gone := plugins.missing(self.path):
                raise RunError(f"{self.graph_file}: {error}; it was made with "
                               f"{plugins.listed(gone)}, to be named with --plugin") from error
            raise

    def save_samples(self, p8: np.ndarray, labels: np.ndarray) -> None:
        write_atomic(self.samples_file, _packed(p8, labels))

    def save_calibration(self, p8: np.ndarray, labels: np.ndarray) -> None:
        """Keep the first of these images, none of which is a test image, to calibrate with."""
        write_atomic(self.calibration_file, _packed(p8[:CALIBRATION], labels[:CALIBRATION]))

    def save_recorded(self, recorded: Recorded | None) -> None:
        """Keep how recordings became samples; None where they are of no recordings."""
        if recorded is None:
            self.recorded_file.unlink(missing_ok=True)
        else:
            text = json.dumps(msgspec.to_builtins(recorded), indent=1)
            write_atomic(self.recorded_file, text + "\n")

    def recorded(self) -> Recorded | None:
        """How recordings become samples of this run, None where they are of no recordings."""
        if not self.recorded_file.exists():
            return None
        found = read_json(self.recorded_file, Recorded, RECORDED, "event", "train or search again")
        for key, holds, text in found.data.rules():
            if not holds:
                raise RunError(f"{self.recorded_file}: is damaged (data.{key} must be {text}); "
                               "train or search again")
        return found

    def first_samples(self, option: str, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        """The first `count` of `samples`, which `option` asks for; at most ten for None."""
        images, labels = self.samples()
        count = min(10, len(images)) if count is None else count
        if not 1 <= count <= len(images):
            raise ConfigError(f"{option} must be in 1..{len(images)}, the test images of this run, "
                              f"not {count}")
        return images[:count], labels[:count]

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Test images p8 uint8 [n, pixels] and labels int64 [n]."""
        return _images(self.samples_file)

    def calibration(self) -> tuple[np.ndarray, np.ndarray]:
        """As `samples`, of images that a network may be fitted to."""
        return _images(self.calibration_file)


def _packed(p8: np.ndarray, labels: np.ndarray) -> bytes:
    return save({"p8": np.ascontiguousarray(p8, np.uint8),
                 "labels": np.ascontiguousarray(labels, np.int64)})


def _images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images p8 uint8 [n, pixels] and labels int64 [n] of a file of a run."""
    try:
        data = load(path.read_bytes())
        p8, labels = data["p8"], data["labels"]
    except FileNotFoundError as error:
        raise RunError(f"{path}: is missing; train or search again") from error
    except Exception as error:
        raise RunError(f"{path}: is damaged ({type(error).__name__}); train or "
                       "search again") from error
    if (p8.dtype != np.uint8 or p8.ndim < 2 or labels.dtype != np.int64
            or labels.shape != p8.shape[:1]):
        raise RunError(f"{path}: must hold p8 uint8 [n, ...] and labels int64 "
                       f"[n], not {p8.dtype} {list(p8.shape)} and {labels.dtype} "
                       f"{list(labels.shape)}; train or search again")
    if not p8.size:
        raise RunError(f"{path}: has no images; train or search again")
    return p8.reshape(len(p8), -1), labels
