"""``spikeloom doctor``: boards, tools and ports; what is missing, what for, and how to get it."""

import grp
import os
import stat
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from rich.table import Table
from serial.tools import list_ports

from ...boards import BOARDS, Board
from .. import cache, ports, tools, udev
from ..errors import ToolError

#: Tools without which nothing can be built; the others serve one command each.
REQUIRED = ("yosys", "nextpnr-ice40", "icepack")

#: Python packages of the extras, by the name they are imported as.
EXTRAS = {
    "search": ("torch", "pymoo", "sklearn", "loky"),
    "events": ("h5py",),
    "test": ("cocotb", "hypothesis", "pytest"),
}


def configure(parser) -> None:
    parser.add_argument("--udev", action="store_true",
                        help=f"print only the udev rules for every board, to go to {udev.FILE}")


def run(args, out) -> int:
    if args.udev:
        out.result({"file": str(udev.FILE), "rules": udev.rules()}, udev.rules().rstrip())
        return 0
    found = [_tool(name) for name in tools.TOOLS]
    packages = [{"extra": extra, "missing": [name for name in names if find_spec(name) is None]}
                for extra, names in EXTRAS.items()]
    listed = [_port(port) for port in sorted(list_ports.comports())]
    boards = [_board(board) for board in BOARDS.values()]
    hints = _hints(found, packages, listed)
    ok = not any(tool["problem"] for tool in found if tool["required"])
    where = cache.root()
    data = {"spikeloom": metadata.version("spikeloom"), "ok": ok, "boards": boards, "tools": found,
            "packages": packages, "ports": listed,
            "udev": {"file": str(udev.FILE), "uncovered": udev.uncovered()},
            "cache": str(where), "hints": hints}
    out.result(data, _table("boards", [_row(board) for board in boards], tuple(_row(boards[0]))),
               _table("tools", found, ("name", "needed_for", "version", "state")),
               _table("serial ports", listed, ("port", "description", "board", "access", "usable")),
               f"cache: {where}", *(f"- {hint}" for hint in hints),
               "everything required is here" if ok else "something required is missing or unusable")
    return 0 if ok else 1


def _board(board: Board) -> dict:
    return {"name": board.name, "title": board.title, "device": board.device,
            "package": board.package, "clock_mhz": board.clock_hz / 1e6, "leds": len(board.leds),
            "buttons": len(board.buttons), "uart": "adapter" if board.uart_port is None else "USB",
            "programmer": board.programmer[0], "sram": board.sram_programmer is not None,
            "notes": board.notes}


def _row(board: dict) -> dict:
    """What of a board fits a terminal of 80 columns."""
    return {"name": board["name"], "device": f"{board['device']}-{board['package']}",
            "MHz": f"{board['clock_mhz']:g}", "LEDs": board["leds"], "buttons": board["buttons"],
            "UART": board["uart"], "programmer": board["programmer"]}


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
    return {"port": port.device, "description": port.description,
            "usb": "" if port.vid is None else f"{port.vid:04x}:{port.pid:04x}",
            "board": " or ".join(ports.boards_of(port)), "access": _access(Path(port.device)),
            "usable": os.access(port.device, os.R_OK | os.W_OK)}


def _access(path: Path) -> str:
    """Permissions and group of a device file, as ``ls -l`` writes them: ``crw-rw---- dialout``."""
    try:
        status = path.stat()
    except OSError as error:
        return error.strerror
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"{stat.filemode(status.st_mode)} {group}"


def _hints(found: list[dict], packages: list[dict], listed: list[dict]) -> list[str]:
    """What to do about everything that is missing, one line each."""
    hints = [tool["problem"] for tool in found if tool["problem"]]
    for item in packages:
        if item["missing"]:
            hints.append(f"Python packages {', '.join(item['missing'])} are missing; get them "
                         f"with: pip install 'spikeloom[{item['extra']}]'")
    uncovered = udev.uncovered()
    if uncovered:
        hints.append(f"no udev rule lets you program {', '.join(uncovered)}; install it with: "
                     f"spikeloom doctor --udev | sudo tee {udev.FILE}, then: sudo udevadm control "
                     "--reload, and plug the board in again")
    for port in listed:
        if not port["usable"]:
            group = port["access"].split()[-1]
            hints.append(f"you may not use {port['port']} ({port['access']}); install the udev "
                         "rules ('spikeloom doctor --udev' prints them), or join its group: sudo "
                         f"usermod -aG {group} $USER, then log in again")
    if not any(port["board"] for port in listed):
        hints.append("no board with a UART over USB is connected")
    return hints


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
