"""A real Dask scheduler and its workers, as processes of their own on this machine."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

#: What workers import: the package as this process has it, and the tests' own modules.
PATHS = [str(Path(__file__).parent), *(path for path in sys.path if path)]


class Processes:
    """`address` of the scheduler; `workers` and `scheduler` are processes, to be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, []
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(PATHS), "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__GIL__ENABLED": "False"}
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0",
                                     "--no-dashboard", "--scheduler-file", str(file))
        self._wait(lambda: file.exists() and "address" in file.read_text())
        from json import loads

        self.address = loads(file.read_text())["address"]

    def add_worker(self) -> subprocess.Popen:
        self.workers.append(self._start(
            "worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
            "--local-directory", str(self.folder), "--name", str(len(self.workers))))
        return self.workers[-1]

    def _start(self, *args: str) -> subprocess.Popen:
        with (self.folder / f"{args[0]}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen([sys.executable, "-m", "dask", *args], stdout=log, stderr=log,
                                    env=self.environment, cwd=self.folder)

    def _wait(self, condition) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end and self.scheduler.poll() is None
            time.sleep(0.05)

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(folder: Path, workers: int):
    """A scheduler with so many workers, which need not have joined yet."""
    found = Processes(folder)
    try:
        for _ in range(workers):
            found.add_worker()
        yield found
    finally:
        found.close()
