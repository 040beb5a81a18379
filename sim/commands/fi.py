"""``spikeloom show fi``: f-I curves of Izhikevich's neuron, as a table and as a picture."""

from pathlib import Path

from rich.table import Table
from rich.text import Text

from ...flow.errors import ConfigError
from ...flow.files import write_atomic
from .. import fi


def show(args, out) -> None:
    found = fi.curves()
    data = {"currents": list(fi.CURRENTS), "duration_ms": fi.DURATION, "presets": [
        {"preset": curve.preset, "fixed": curve.fixed.tolist(),
         "floating": curve.floating.tolist(), "error": curve.error, "rounding": curve.rounding}
        for curve in found], "svg": args.svg}
    if args.svg:
        try:
            write_atomic(Path(args.svg), fi.svg(found))
        except OSError as error:
            raise ConfigError(f"--svg: {args.svg} cannot be written ({error.strerror})") from error
    table = Table(title=Text(f"spikes in {fi.DURATION:,} ms at a constant input I: fixed point "
                             "(float64)"), title_justify="left")
    table.add_column("I", justify="right")
    for curve in found:
        table.add_column(curve.preset.replace("_", " "), justify="right")
    for k, current in enumerate(fi.CURRENTS):
        table.add_row(str(current), *(f"{c.fixed[k]} ({c.floating[k]})" for c in found))
    table.add_section()
    table.add_row("worst", *(f"{100 * c.error:.1f} %" for c in found))
    table.add_row("rounding", *(f"{100 * c.rounding:.1f} %" for c in found))
    out.result(data, table, "worst: largest difference, as a share of the float64 model's highest "
               "rate; rounding: the same against a float64 model that has 41/1024 for 0.04")
