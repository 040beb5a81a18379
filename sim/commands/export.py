"""``spikeloom export``: a run's core as Verilog, with a description and a self-checking bench."""

import json
from pathlib import Path

from ...flow import export as core_export
from ...flow.errors import ConfigError
from ...flow.files import write_atomic
from ...flow.passes.compile import compile_graph
from ...flow.passes.generators import advise
from ...flow.run import Run
from .. import export as bench_export
from ..images import shaped


def configure(parser) -> None:
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--verilog", action="store_true",
                      help="core.v (no board, no UART), README.md and core.json (its ports), "
                           "bench.v with its vectors")
    parser.add_argument("--out", metavar="DIR", help="where to (default: export in the run)")
    parser.add_argument("--module", metavar="NAME",
                        help="the module's name (default: spikeloom_ and the run directory's)")
    parser.add_argument("--images", type=int, metavar="N",
                        help="the bench runs the first N test images (default: 10, or all of "
                             "fewer)")
    parser.add_argument("--check", action="store_true",
                        help="run the bench with Icarus; exit code 1 if it fails")


def run(args, out) -> int:
    opened = Run.open(args.run)
    folder = Path(args.out) if args.out is not None else opened.path / "export"
    check_folder(folder)
    module = args.module or core_export.module_name(opened.path.resolve().name)
    core_export.check_module(module)
    graph = compile_graph(opened.graph())
    advise(graph, out.note)
    p8, _ = opened.first_samples("--images", args.images)
    images = shaped(graph, p8, str(opened.samples_file))
    count = len(images)
    with out.progress.status("writing Verilog"):
        verilog, description = core_export.export(graph, module, note=out.note)
    files = {  # in order: core.json marks the directory as an export
        "core.json": json.dumps(description.document(), indent=1) + "\n", "core.v": verilog,
        "README.md": core_export.readme(description),
        **bench_export.bench(graph, images, description),
    }
    for name, content in files.items():
        write_atomic(folder / name, content)
    data = {"path": str(folder), "files": sorted(files), "images": count, "module": module,
            "design": description.design, "latency": description.latency}
    lines = [str(folder / "core.v")]
    if args.check:
        with out.progress.status(f"running bench.v: {count} images"):
            passed, said = bench_export.check(folder)
        data |= {"passed": passed, "bench": said}
        lines = [*said, *lines]
    out.result(data, *lines)
    return 0 if data.get("passed", True) else 1


def check_folder(folder: Path) -> None:
    """Raise ConfigError unless the directory can be made, is empty, or holds an export."""
    first = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not first.is_dir():
        raise ConfigError(f"--out must be a directory, not {str(folder)!r} ({first} is a file); "
                          "choose another --out")
    if first == folder and any(folder.iterdir()) and not is_export(folder):
        raise ConfigError(f"--out must be a new or empty directory, or an earlier export, not "
                          f"{str(folder)!r}, which has other files; choose another --out")


def is_export(folder: Path) -> bool:
    """Whether this command made the directory."""
    try:
        found = json.loads((folder / "core.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "spikeloom" in found
