"""Worker processes: what they leave behind, which is nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from spikeloom.flow.errors import SpikeloomError
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
