"""Worker processes: what they leave behind, which is nothing."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from networks import random_graph
from tiny_search import falls_once, measured, once_marked, outcome, tiny_world

from spikeloom.flow import ir, synthesis
from spikeloom.flow.errors import SpikeloomError, ToolError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.nas import pool, workers

SCRIPT = """
import os, signal, time
from spikeloom.nas import workers
signal.signal(signal.SIGINT, signal.default_int_handler)  # some shells start jobs without it
def nap():
    import os, time
    open({path!r}, "w").write(str(os.getpid()))
    time.sleep(60)
if __name__ == "__main__":
    with workers.workers(1) as executor:
        executor.submit(nap).result()
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_with_its_parent_however_that_ends(tmp_path, number):
    path = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT.format(path=str(path))],
                              stderr=subprocess.DEVNULL)
    assert wait(lambda: path.exists() and path.read_text())
    worker = int(path.read_text())
    assert alive(worker)
    parent.send_signal(number)
    parent.wait(timeout=20)
    assert wait(lambda: not alive(worker))


def die(path=None, lives=0):
    """End this process, unless as many have ended already as `path` may have bytes."""
    import os

    if path is None or os.path.getsize(path) < lives:
        if path is not None:
            with open(path, "ab") as file:
                file.write(b"x")
        os._exit(7)
    return "alive"


def test_a_task_that_kills_every_worker_is_an_error_of_one_line(tmp_path):
    notes, path = [], tmp_path / "deaths"
    path.touch()
    with pytest.raises(SpikeloomError, match="a worker process died 2 times at the same task "
                                             r"\(die\)") as error:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pool, "REPEATS", 1)
            with workers.workers(1, note=notes.append) as executor:
                executor.submit(die, str(path), 5).result()
    assert "--resume" in str(error.value) and "\n" not in str(error.value)
    assert path.read_bytes() == b"xx"
    assert notes == ["a worker process died; repeating 1 task with new processes"]


def test_what_a_dead_worker_had_in_hand_is_repeated_and_nothing_else_is_lost(tmp_path):
    path = tmp_path / "deaths"
    path.touch()
    with workers.workers(2) as executor:
        futures = [executor.submit(die, str(path), 1), *(executor.submit(abs, -k)
                                                         for k in range(6))]
        assert [future.result() for future in futures] == ["alive", *range(6)]
    assert path.read_bytes() == b"x"


def test_a_worker_that_dies_between_tasks_is_replaced():
    with workers.workers(1) as executor:
        os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
        assert executor.submit(abs, -3).result() == 3


def test_an_error_of_a_task_is_its_own():
    with workers.workers(1) as executor:
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result()
        assert executor.submit(divmod, 7, 2).result() == (3, 1)
    with pytest.raises(RuntimeError, match="must be submitted before"):
        executor.submit(abs, 1)


def test_a_search_whose_worker_is_killed_in_mid_task_comes_to_the_same(tmp_path, monkeypatch,
                                                                       capsys):
    world = tiny_world(tmp_path, monkeypatch, threaded=False)
    few = ("--set", "search.generations=2", "--set", "search.routed=2")
    assert world.search(*few, run="whole") == 0
    falls_once(monkeypatch, str(tmp_path / "marker"))
    with once_marked(tmp_path / "marker", lambda process: os.kill(process, signal.SIGKILL)):
        assert world.search("--workers", "2", *few) == 0
    assert "a worker process died; repeating" in capsys.readouterr().err
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_work_runs_in_other_processes():
    with workers.workers(2) as executor:
        assert executor.submit(os.getpid).result() != os.getpid()


@pytest.mark.parametrize("status,measures", [("routed", True), ("timed-out", True),
                                             ("failed", False)])
def test_a_build_is_what_was_measured_or_why_nothing_was(tmp_path, monkeypatch, status, measures):
    network = random_graph(np.random.default_rng(0))
    known = measured(compile_graph(network), status=status)

    def build_graph(graph, board, *, seed, out_dir, must_fit, exact, predicted_low,
                    on_measured):
        assert graph == compile_graph(network) and (board.name, seed) == ("icebreaker", 7)
        assert out_dir != tmp_path and not must_fit and exact and predicted_low is None
        log = out_dir / "failed" / "nextpnr.log"
        log.parent.mkdir()
        log.write_bytes(b"it was killed")
        if measures:
            on_measured(known)
        if status != "routed":
            raise ToolError(f"nextpnr was killed (log: {log})")

    monkeypatch.setattr(synthesis, "build_graph", build_graph)
    found = workers.build(ir.to_bytes(network), "here", "icebreaker", 7, str(tmp_path))
    assert (found.status, found.measurement) == (status, known if measures else None)
    log = tmp_path / "failed" / "nextpnr.log"
    assert found.reason == (known.reason if measures else f"nextpnr was killed (log: {log})")
    assert found.seconds > 0 and not log.exists(), "its files come back with the result"
    found.keep(tmp_path)
    assert log.read_bytes() == b"it was killed"


def test_a_network_that_cannot_be_compiled_is_a_build_that_failed(tmp_path):
    found = workers.build(b"nothing", "candidate x", "icebreaker", 1, str(tmp_path))
    assert found.status == "failed" and found.measurement is None and "candidate x" in found.reason
