"""A cache of build results: content by key, verified on reading, published in one rename.

An entry is a folder of files and `entry.json`, which holds the SHA-256 of each. Several processes
may read and write at once: an entry appears whole, and whoever comes second drops its own copy.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from .errors import SpikeloomError

FORMAT = 1
_MANIFEST = "entry.json"
_STALE_SECONDS = 24 * 3600.0


def root() -> Path:
    """The cache directory: `SPIKELOOM_CACHE`, or the user's cache directory."""
    return Path(os.environ.get("SPIKELOOM_CACHE") or platformdirs.user_cache_path("spikeloom"))


def key(*parts: object) -> str:
    """A key from everything that a result depends on (plain JSON values): 64 hex digits."""
    return hashlib.sha256(json.dumps([FORMAT, *parts], sort_keys=True).encode()).hexdigest()


class Cache:
    """A cache in one directory, by default `root()`/build."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = Path(path) if path else root() / "build"

    def entry(self, name: str) -> Path:
        return self.path / name[:2] / name

    def get(self, name: str, note: Callable[[str], None] | None = None) -> dict[str, bytes] | None:
        """The files of an entry, or None. A corrupt entry is removed, with a note."""
        folder = self.entry(name)
        try:
            manifest = json.loads((folder / _MANIFEST).read_bytes())
            files = {file: (folder / file).read_bytes() for file in manifest["files"]}
            whole = manifest["format"] == FORMAT and all(
                hashlib.sha256(content).hexdigest() == manifest["files"][file]
                for file, content in files.items())
        except FileNotFoundError:
            if not folder.exists():
                return None
            whole = False
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if whole:
            return files
        if note:
            note(f"cache entry {name[:12]} is corrupt and is built again")
        self._remove(folder)
        return None

    def put(self, name: str, files: dict[str, bytes]) -> None:
        """Publish an entry, unless another process has done so meanwhile."""
        digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
        folder = self.entry(name)
        with self.workspace() as new:
            for file, content in files.items():
                (new / file).write_bytes(content)
            (new / _MANIFEST).write_text(json.dumps({"format": FORMAT, "files": digests}))
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(new, folder)
            except OSError:
                if not folder.is_dir():
                    raise

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A new folder on the cache's file system, gone afterwards unless it was renamed.

        What a killed process left behind is cleared away after a day. A full disk or a cache that
        cannot be written raises SpikeloomError.
        """
        new = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._sweep()
            new = Path(tempfile.mkdtemp(prefix=".new-", dir=self.path))
            new.chmod(0o755)
            yield new
        except OSError as error:
            raise SpikeloomError(
                f"{self.path}: cannot be written ({error.strerror or error}); free some space, or "
                "name another directory in SPIKELOOM_CACHE, and run the command again") from error
        finally:
            if new is not None:
                shutil.rmtree(new, ignore_errors=True)

    def _remove(self, folder: Path) -> None:
        """Move a folder out of the way at once, then delete it."""
        try:
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.path) as aside:
                os.rename(folder, Path(aside) / "entry")
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        limit = time.time() - _STALE_SECONDS
        for left in self.path.glob(".new-*"):
            try:
                if left.stat().st_mtime < limit:
                    shutil.rmtree(left, ignore_errors=True)
            except FileNotFoundError:
                continue
