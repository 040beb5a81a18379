"""Rules for udev, which let the user at the machine program the boards and use their ports."""

from pathlib import Path

from ..boards import BOARDS

#: Where the rules belong; the number is below 73, where systemd hands out `uaccess`.
FILE = Path("/etc/udev/rules.d/70-spikeloom.rules")

#: Where udev reads rules.
FOLDERS = tuple(map(Path, ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d",
                           "/lib/udev/rules.d")))

Usb = tuple[int, int]


def known() -> dict[Usb, list[str]]:
    """Boards by the vendor and product of their USB chip."""
    found: dict[Usb, list[str]] = {}
    for board in BOARDS.values():
        if board.usb is not None:
            found.setdefault(board.usb, []).append(board.name)
    return dict(sorted(found.items()))


def rules() -> str:
    """The text of a rules file for every known board."""
    lines = []
    for (vendor, product), names in known().items():
        ids = f'ATTRS{{idVendor}}=="{vendor:04x}", ATTRS{{idProduct}}=="{product:04x}"'
        lines.append(f"# {', '.join(names)}")
        lines += [f'SUBSYSTEM=="{kind}", {ids}, MODE="0660", TAG+="uaccess"'
                  for kind in ("usb", "tty", "hidraw")]
    return "\n".join(lines) + "\n"


def uncovered() -> list[str]:
    """Boards whose USB chip no rules file of this machine mentions."""
    text = ""
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.rules")) if folder.is_dir() else ():
            try:
                text += path.read_text(errors="replace").lower()
            except OSError:
                continue
    lines = text.splitlines()
    return [name for (vendor, product), names in known().items()
            if not any(f'"{vendor:04x}"' in line and f'"{product:04x}"' in line for line in lines)
            for name in names]
