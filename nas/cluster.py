"""Workers of a Dask cluster, on this machine or on others, as an `Executor`.

Its user starts them, ``dask scheduler`` and, on each machine, ``dask worker ADDRESS --nworkers N
--nthreads 1``, from an installation of the same version. Whoever reaches a scheduler can have it
run anything, so it belongs into a network that is trusted, or behind TLS (Dask's own settings).

A worker that dies loses nothing: the scheduler gives its task to another. Files come back with the
result, so nothing need be shared but the network.
"""

import logging
import pickle
import platform
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from queue import Empty, Queue
from typing import NamedTuple

from ..flow import plugins
from ..flow.errors import ConfigError, SpikeloomError
from .datasets import Split

#: Seconds in which a scheduler has to answer.
ANSWERS = 10.0
#: Seconds between two looks at whether there are workers.
LOOKS = 2.0
#: Bytes from which on data are sent once, not with each task: less is pickled in no time.
LARGE = 1 << 20

_ADDRESS = re.compile(r"(?:(?:tcp|tls)://)?(?:\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})")
#: Tasks of one process run one after the other, however many threads it has: torch's number of
#: threads is the process's, and the last bit of a sum depends on it.
_ONE = threading.Lock()


def check_address(address: str) -> str:
    """The address, if it can be that of a scheduler; ConfigError if not."""
    found = _ADDRESS.fullmatch(address)
    if not found or not 0 < int(found[1]) < 1 << 16:
        raise ConfigError("--cluster must be the address of a Dask scheduler, such as "
                          f"tcp://10.0.0.5:8786, not {address!r}")
    return address


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """What two processes must have in common to come to the same result."""
    package, digest = Path(__file__).parent.parent, sha256()
    for folder in ("boards", "flow", "hdl", "nas", "sim"):
        for file in sorted((package / folder).rglob("*.py")):
            digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    found = {"spikeloom": f"{metadata.version('spikeloom')} (sources {digest.hexdigest()[:8]})",
             "Python": ".".join(platform.python_version_tuple()[:2])}
    for name in ("distributed", "numpy", "torch"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def unlike(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """How the versions of a worker differ from ours, empty if they do not."""
    return ", ".join(f"{name} {theirs.get(name, 'missing')}, not {ours.get(name, 'missing')}"
                     for name in {**ours, **theirs} if theirs.get(name) != ours.get(name))


class _Sent(NamedTuple):
    """In place of an argument that is sent by itself, and comes `place`-th among those."""

    place: int


def perform(ours: dict[str, str], files: Sequence[tuple[str, bytes]], payload: bytes, *sent):
    """Run one task in a worker, if that is of our versions: it may have joined late.

    files: our plug-ins, `plugins.named`, which others of an earlier search make room for. payload:
    function and arguments, pickled, so that a scheduler, which looks at what it passes on, need not
    import what they are of.
    """
    different = unlike(versions(), ours)
    if different:
        from distributed import get_worker

        raise ConfigError(_refused(get_worker().address, different))
    with _ONE:
        if plugins.named() != list(files):
            plugins.forget()
            plugins.adopt(files)
        function, args, kwargs = pickle.loads(payload)
        return function(*(sent[item.place] if isinstance(item, _Sent) else item for item in args),
                        **kwargs)


def _refused(worker: str, different: str) -> str:
    return (f"worker {worker} must run what this process runs: it has {different}; stop it, or "
            "install the same version there")


def _same(item):
    return item


def _bytes(item: object) -> int:
    """Bytes of data; 0 of what is none."""
    return getattr(item.inputs if isinstance(item, Split) else item, "nbytes", 0)


class Cluster(Executor):
    """The workers of the scheduler at an address; `shutdown` lets go of them.

    Raises ConfigError for no address, or a worker of another version, and SpikeloomError where
    `distributed` is not installed, nothing answers in `ANSWERS` seconds, or no worker is there.
    A task ends with SpikeloomError where the scheduler goes away, or one worker after the other
    died at it (Dask's `allowed-failures`). advice: what its user can do then. note: told where no
    worker is left, which a search waits for.
    """

    def __init__(self, address: str, *, advice: str = "",
                 note: Callable[[str], None] | None = None) -> None:
        self.address, self.advice = check_address(address), advice
        self.note = note or (lambda text: None)
        self._client = _connected(address)
        self._sent: dict[int, tuple[object, object]] = {}
        self._closed = threading.Event()
        try:
            self._check_workers()
            self._executor = self._client.get_executor(pure=False)
        except BaseException:
            self._close()
            raise
        threading.Thread(target=self._watch, daemon=True).start()

    def _check_workers(self) -> None:
        workers = self._client.nthreads()
        if not workers:
            raise SpikeloomError(f"the scheduler at {self.address} has no worker; start one: dask "
                                 f"worker {self.address} --nthreads 1")
        ours = versions()
        for worker, found in self._client.run(versions, on_error="return").items():
            different = str(found) if isinstance(found, Exception) else unlike(found, ours)
            if different:
                raise ConfigError(_refused(worker, different))
        for worker, threads in workers.items():
            if threads > 1:
                self.note(f"worker {worker} has {threads} threads, of which one works at a time; "
                          "start it with --nthreads 1, and more of them with --nworkers")

    def submit(self, function: Callable, /, *args, **kwargs) -> Future:
        from cloudpickle import dumps

        out = Future()
        out.set_running_or_notify_cancel()
        try:
            large = [item for item in args if _bytes(item) >= LARGE]
            places = {id(item): _Sent(k) for k, item in enumerate(large)}
            small = [places.get(id(item), item) for item in args]
            running = self._executor.submit(perform, versions(), plugins.named(),
                                            dumps((function, small, kwargs)),
                                            *map(self._once, large))
        except Exception as error:
            if self._client.status == "running":
                raise
            out.set_exception(self._lost())
            out.exception().__cause__ = error
        else:
            running.add_done_callback(partial(self._ended, function, out))
        return out

    def _once(self, item):
        """Large data as a task of its own, sent once; a worker that dies with it is no loss,
        for the scheduler has it, too, which it would not with `scatter`.
        """
        if id(item) not in self._sent:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sending large graph")
                self._sent[id(item)] = (item, self._client.submit(_same, item, pure=False))
        return self._sent[id(item)][1]

    def _ended(self, function: Callable, out: Future, running: Future) -> None:
        from distributed import KilledWorker

        if running.cancelled():
            out.set_exception(self._lost())
        elif (error := running.exception()) is None:
            out.set_result(running.result())
        elif isinstance(error, KilledWorker):
            out.set_exception(SpikeloomError(
                f"{error.allowed_failures + 1} workers died at the same task "
                f"({function.__name__}), perhaps for want of memory{self.advice}"))
        else:
            out.set_exception(error)

    def _lost(self) -> SpikeloomError:
        return SpikeloomError(f"the scheduler at {self.address} went away{self.advice}")

    def _watch(self) -> None:
        """Say when the last worker is gone, and when there is one again."""
        some = True
        while not self._closed.wait(LOOKS):
            try:
                now = bool(self._client.nthreads())
            except Exception:  # the scheduler is gone, which the tasks tell
                return
            if now != some:
                self.note("there are workers again" if now else
                          f"the scheduler at {self.address} has no worker left; waiting for one "
                          f"(dask worker {self.address} --nthreads 1)")
            some = now

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Drop what waits; what a worker has in hand it ends, and the result is forgotten."""
        self._closed.set()
        with suppress(Exception):  # there may be no scheduler any more
            if self._client.status == "running":
                self._executor.shutdown(wait=False)
        self._close()

    def _close(self) -> None:
        with suppress(Exception):
            self._client.close(timeout=ANSWERS)


def _connected(address: str):
    """A client of the scheduler; SpikeloomError if none answers."""
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise SpikeloomError(f"--cluster needs the Python package {error.name!r}; install it with: "
                             "pip install 'spikeloom[cluster]'") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    made: Queue = Queue()

    def connect() -> None:
        try:
            made.put(distributed.Client(address, timeout=ANSWERS, set_as_default=False,
                                        name="spikeloom"))
        except BaseException as error:
            made.put(error)

    # in a thread, for what takes a connection and says nothing may be waited for without end
    threading.Thread(target=connect, daemon=True).start()
    try:
        found = made.get(timeout=ANSWERS + 1.0)
    except Empty as error:
        found = error
    if isinstance(found, OSError | ValueError | Empty):
        raise SpikeloomError(
            f"no scheduler answers at {address} within {ANSWERS:g} s; start one with: dask "
            "scheduler, or leave --cluster out") from found
    if isinstance(found, BaseException):
        raise found
    return found
