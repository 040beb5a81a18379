"""Writing files so that a reader meets either the old content or the whole new one."""

import errno
import os
import tempfile
from pathlib import Path

from .errors import SpikeloomError


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` beside `path`, flush it to disk, then rename it into place.

    A full disk, or any other failure, leaves `path` as it was and raises SpikeloomError.
    """
    path = Path(path)
    if isinstance(content, str):
        content = content.encode()
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise SpikeloomError(
                f"{path}: no space left on the device; {path.name} is unchanged, free some space "
                "and run the command again") from error
        raise SpikeloomError(f"{path}: cannot be written ({error.strerror})") from error
    except BaseException:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise
