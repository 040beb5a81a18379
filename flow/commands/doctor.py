"""``spikeloom doctor``: boards, tools and ports; what is missing, what for, and how to get it."""

import os
from importlib import metadata
from importlib.util import find_spec

from rich.table import Table
from serial.tools import list_ports

from ...boards import BOARDS
from .. import cache, tools
from ..errors import ToolError

#: Tools without which nothing can be built; the others serve one command each.
REQUIRED = ("yosys", "nextpnr-ice40", "icepack")

#: Python packages of the extras, by the name they are imported as.
EXTRAS = {
    "search": ("torch", "pymoo", "sklearn", "loky"),
    "test": ("cocotb", "hypothesis", "pytest"),
}


def configure(parser) -> None:
    del parser


def run(args, out) -> int:
    found = [_tool(name) for name in tools.TOOLS]
    packages = [{"extra": extra, "missing": [name for name in names if find_spec(name) is None]}
                for extra, names in EXTRAS.items()]
    ports = [_port(port) for port in sorted(list_ports.comports())]
    hints = _hints(found, packages, ports)
    ok = not any(tool["problem"] for tool in found if tool["required"])
    boards = [{"name": board.name, "title": board.title, "device": board.device,
               "package": board.package, "clock_mhz": board.clock_hz / 1e6,
               "notes": board.notes} for board in BOARDS.values()]
    where = cache.root()
    data = {"spikeloom": metadata.version("spikeloom"), "ok": ok, "boards": boards, "tools": found,
            "packages": packages, "ports": ports, "cache": str(where), "hints": hints}
    out.result(data, _table("boards", boards, ("name", "title", "device", "package", "clock_mhz")),
               _table("tools", found, ("name", "needed_for", "version", "state")),
               _table("serial ports", ports, ("port", "description", "board", "usable")),
               f"cache: {where}", *(f"- {hint}" for hint in hints),
               "everything required is here" if ok else "something required is missing or unusable")
    return 0 if ok else 1


def _tool(name: str) -> dict:
    """One tool as a row: `state` is ok, missing, unusable, or says that it compiles at first."""
    tool = tools.TOOLS[name]
    row = {"name": name, "needed_for": tool.needed_for, "required": name in REQUIRED,
           "version": "", "path": "", "state": "ok", "problem": ""}
    try:
        found = tools.find(name)
        row["path"] = str(found.path)
        row["version"] = found.identity if tool.version_args else row["path"]
        tools.check_version(found)
        if tools.needs_compiling(found):
            row["state"] = f"compiles at first use (about {tool.compile_seconds} s)"
    except ToolError as error:
        row["state"] = "unusable" if row["path"] else "missing"
        row["problem"] = str(error)
    return row


def _port(port) -> dict:
    names = [board.name for board in BOARDS.values()
             if board.usb is not None and (port.vid, port.pid) == board.usb]
    return {"port": port.device, "description": port.description, "board": " or ".join(names),
            "usable": os.access(port.device, os.R_OK | os.W_OK)}


def _hints(found: list[dict], packages: list[dict], ports: list[dict]) -> list[str]:
    """What to do about everything that is missing, one line each."""
    hints = [tool["problem"] for tool in found if tool["problem"]]
    for item in packages:
        if item["missing"]:
            hints.append(f"Python packages {', '.join(item['missing'])} are missing; get them "
                         f"with: pip install 'spikeloom[{item['extra']}]'")
    denied = [port["port"] for port in ports if not port["usable"]]
    if denied:
        hints.append(f"you may not use {', '.join(denied)}; join the group that owns it "
                     "(Debian: sudo usermod -aG dialout $USER, then log in again)")
    if not any(port["board"] for port in ports):
        hints.append("no board is connected; if one is, and iceprog does not see it, allow USB "
                     "access: " + _udev_rules())
    return hints


def _udev_rules() -> str:
    """The rules that let the user at the machine program every known board."""
    ids = sorted({board.usb for board in BOARDS.values() if board.usb is not None})
    rules = [f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor:04x}", '
             f'ATTR{{idProduct}}=="{product:04x}", TAG+="uaccess"' for vendor, product in ids]
    return f"write {' and '.join(rules)} to /etc/udev/rules.d/70-spikeloom.rules, plug it in again"


def _table(title: str, rows: list[dict], keys: tuple[str, ...]) -> Table | str:
    if not rows:
        return f"{title}: none"
    table = Table(title=title, title_justify="left")
    for key in keys:
        table.add_column(key.replace("_", " "))
    for row in rows:
        cells = [row[key] for key in keys]
        table.add_row(*(("yes" if cell else "no") if isinstance(cell, bool) else str(cell)
                        for cell in cells))
    return table
