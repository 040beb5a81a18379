"""Worker processes: what they leave behind, which is nothing."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from networks import random_graph
from tiny_search import measured

from spikeloom.flow import ir, synthesis
from spikeloom.flow.errors import SpikeloomError, ToolError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.nas import workers

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


def test_a_worker_that_dies_is_an_error_of_one_line():
    def die():
        import os

        os._exit(7)

    with pytest.raises(SpikeloomError, match="a worker process died") as error:
        with workers.workers(1) as executor:
            executor.submit(die).result()
    assert "--resume" in str(error.value) and "\n" not in str(error.value)


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
        assert out_dir == tmp_path and not must_fit and exact and predicted_low is None
        if measures:
            on_measured(known)
        if status != "routed":
            raise ToolError("nextpnr was killed")

    monkeypatch.setattr(synthesis, "build_graph", build_graph)
    found = workers.build(ir.to_bytes(network), "here", "icebreaker", 7, str(tmp_path))
    assert (found.status, found.measurement) == (status, known if measures else None)
    assert found.reason == (known.reason if measures else "nextpnr was killed")
    assert found.seconds > 0


def test_a_network_that_cannot_be_compiled_is_a_build_that_failed(tmp_path):
    found = workers.build(b"nothing", "candidate x", "icebreaker", 1, str(tmp_path))
    assert found.status == "failed" and found.measurement is None and "candidate x" in found.reason
