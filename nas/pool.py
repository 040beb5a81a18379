"""Processes of this machine as an `Executor` that outlives any of them.

Where one dies (the kernel kills what asks for too much memory), loky gives up all that it was asked
for. Here the processes are then begun anew and repeat what they had in hand.
"""

import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from functools import partial

from ..flow import plugins
from ..flow.errors import SpikeloomError

#: How often a task is repeated whose process died, before it is held to be the reason.
REPEATS = 3


@dataclass(eq=False)
class _Task:
    """What was asked for, what its caller waits for, and how many processes died at it."""

    function: Callable
    args: tuple
    kwargs: dict
    future: Future = field(default_factory=Future)
    deaths: int = 0


class Pool(Executor):
    """`jobs` processes; `shutdown` kills them, with whatever they run.

    A process has one task in hand at a time, so that a death repeats `jobs` tasks at most. A task
    at which processes died more than `REPEATS` times ends with SpikeloomError. advice: what its
    user can do then. note: told of every death.
    """

    def __init__(self, jobs: int, *, advice: str = "",
                 note: Callable[[str], None] | None = None) -> None:
        self.jobs, self.advice = jobs, advice
        self.note = note or (lambda text: None)
        self._lock = threading.RLock()
        self._waiting: deque[_Task] = deque()
        self._in_hand: list[_Task] = []
        self._fallen: list[_Task] = []
        self._restarting = self._closed = False
        self._processes = self._begun()

    def _begun(self):
        from loky import ProcessPoolExecutor

        # Where psutil is installed, loky replaces a process that has grown, and says so to all.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        return ProcessPoolExecutor(max_workers=self.jobs, initializer=begin,
                                   initargs=(os.getpid(), plugins.named()))

    def submit(self, function: Callable, /, *args, **kwargs) -> Future:
        task = _Task(function, args, kwargs)
        with self._lock:
            if self._closed:
                raise RuntimeError("a task must be submitted before the pool is shut down")
            self._waiting.append(task)
        self._feed()
        return task.future

    def _feed(self) -> None:
        """Give tasks to processes that have none, unless some have died and are not replaced."""
        with self._lock:
            while (self._waiting and len(self._in_hand) < self.jobs
                   and not (self._fallen or self._restarting or self._closed)):
                task = self._waiting.popleft()
                if not task.deaths and not task.future.set_running_or_notify_cancel():
                    continue
                try:
                    running = self._processes.submit(task.function, *task.args, **task.kwargs)
                except BrokenExecutor:  # one died before anybody was told
                    self._fallen.append(task)
                    self._restart()
                    return
                self._in_hand.append(task)
                running.add_done_callback(partial(self._ended, task))

    def _ended(self, task: _Task, running: Future) -> None:
        from loky.process_executor import BrokenProcessPool, TerminatedWorkerError

        error = running.exception()
        with self._lock:
            self._in_hand.remove(task)
            if isinstance(error, TerminatedWorkerError) and not self._closed:
                self._fallen.append(task)
                self._restart()
                return
        if error is None:
            task.future.set_result(running.result())
        elif isinstance(error, BrokenProcessPool):
            why = error.__cause__ or error
            task.future.set_exception(SpikeloomError(
                f"a worker cannot take {task.function.__name__}: {why}"))
        else:
            task.future.set_exception(error)
        self._feed()

    def _restart(self) -> None:
        """Begin anew once all that was in hand has fallen: with one process all are gone."""
        if not self._in_hand and not self._restarting:
            self._restarting = True
            threading.Thread(target=self._begin_again, daemon=True).start()

    def _begin_again(self) -> None:
        self._processes.shutdown(wait=True, kill_workers=True)
        with self._lock:
            fallen, self._fallen, self._restarting = self._fallen, [], False
            if self._closed:
                return
            for task in fallen:
                task.deaths += 1
            given_up = [task for task in fallen if task.deaths > REPEATS]
            kept = [task for task in fallen if task.deaths <= REPEATS]
            self._waiting.extendleft(reversed(kept))
            self._processes = self._begun()
        for task in given_up:
            task.future.set_exception(SpikeloomError(
                f"a worker process died {task.deaths} times at the same task "
                f"({task.function.__name__}), perhaps for want of memory{self.advice}"))
        if kept:
            self.note(f"a worker process died; repeating {len(kept)} "
                      f"task{'' if len(kept) == 1 else 's'} with new processes")
        self._feed()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Kill the processes; what waits is cancelled."""
        with self._lock:
            self._closed = True
            waiting, processes = list(self._waiting), self._processes
            self._waiting.clear()
        for task in waiting:
            task.future.cancel()
        processes.shutdown(wait=wait, kill_workers=True)


def begin(parent: int, files: Sequence[tuple[str, bytes]]) -> None:
    """What a worker process does first: it ends with its parent, and imports the same plug-ins."""
    end_with(parent)
    plugins.adopt(files)


def end_with(parent: int) -> None:
    """End this process soon after process `parent` is gone, even if that was killed."""
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
