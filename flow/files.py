"""Files: written so that a reader meets either the old content or the whole new one, and read with
one line for what is wrong.
"""

import errno
import os
import tempfile
import tomllib
from pathlib import Path

import msgspec

from .errors import ConfigError, RunError, SpikeloomError


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


def read_toml(path: Path) -> dict:
    """A TOML file; ConfigError if there is none, or it is something else."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: must be TOML ({error})") from error


class _Version(msgspec.Struct):
    format: int


def read_json(path: Path, kind: type, version: int, what: str, again: str):
    """A JSON file of struct `kind`, whose `format` must be `version`.

    Raises RunError, which says what it is and how it is made again, if it is missing, damaged or of
    another format.
    """
    try:
        data = Path(path).read_bytes()
        found = msgspec.json.decode(data, type=_Version).format
        if found != version:
            raise RunError(f"{path}: has {what} format {found}, this version reads {version}; "
                           f"{again}")
        return msgspec.json.decode(data, type=kind)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {again}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: is damaged ({error}); {again}") from error
