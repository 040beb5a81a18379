"""A search on a real Dask cluster of this machine: the same outcome, whatever is killed."""

import os
import pickle
import signal
import socket
import sys
import time

import cloudpickle
import pytest
import tiny_search
from dask_cluster import cluster as started
from tiny_search import falls_once, once_marked, outcome

from spikeloom.flow import plugins
from spikeloom.flow.errors import SpikeloomError
from spikeloom.nas import cluster, workers
from spikeloom.nas.cluster import Cluster, unlike
from spikeloom.nas.store import FILE

#: Enough of the tiny search for rounds, builds and a final training.
FEW = ("--set", "search.generations=2", "--set", "search.routed=2")


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """The tiny search, done once without any cluster; then `search` is for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "workers", tiny_search.threads)
        world = tiny_search.tiny_world(tmp_path, monkeypatch, threaded=False)
        assert world.search(*FEW, run="whole") == 0
    return world


def ready(processes, count: int) -> None:
    """Wait until so many workers have joined."""
    from distributed import Client

    with Client(processes.address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


def test_a_search_survives_a_worker_and_what_a_scheduler_had_finished(whole, tmp_path, monkeypatch,
                                                                      capsys):
    monkeypatch.setattr(cluster, "LARGE", 1)
    first, second = tmp_path / "first", tmp_path / "second"
    with started(tmp_path, workers=2) as processes:
        ready(processes, 2)
        to = ("--cluster", processes.address)
        with pytest.MonkeyPatch.context() as patch:
            falls_once(patch, str(first))
            with once_marked(first, lambda process: os.kill(process, signal.SIGKILL)):
                assert whole.search(*to, *FEW) == 0
        assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
        assert sorted(worker.poll() is None for worker in processes.workers) == [False, True]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cluster.metadata, "version",
                          lambda name, real=cluster.metadata.version:
                          "9.9" if name == "torch" else real(name))
            cluster.versions.cache_clear()
            assert whole.search(*to, *FEW, run="refused") == 2
        cluster.versions.cache_clear()
        text = capsys.readouterr().err
        assert "worker tcp://127.0.0.1:" in text and ", not 9.9; stop it, or install" in text

        falls_once(monkeypatch, str(second))
        with once_marked(second, lambda _: processes.scheduler.kill()):
            assert whole.search(*to, *FEW, run="cut") == 1
    text = capsys.readouterr().err
    assert f"the scheduler at {processes.address} went away; what was finished is saved, go on " \
           "with --resume" in text
    monkeypatch.setattr(workers, "workers", tiny_search.threads)
    assert whole.search("--resume", run="cut", experiment=False) == 0
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")


def test_a_scheduler_without_workers_or_without_an_answer(tmp_path, monkeypatch, capsys):
    with started(tmp_path, workers=0) as processes:
        with pytest.raises(SpikeloomError, match="has no worker; start one: dask worker tcp://"):
            Cluster(processes.address)
    monkeypatch.setattr(cluster, "ANSWERS", 1.0)
    world = tiny_search.tiny_world(tmp_path, monkeypatch, threaded=False)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()  # takes a connection, and says nothing
        port = server.getsockname()[1]
        began = time.monotonic()
        assert world.search("--cluster", f"127.0.0.1:{port}") == 1
    assert time.monotonic() - began < 60
    assert f"no scheduler answers at 127.0.0.1:{port} within 1 s" in capsys.readouterr().err
    assert not (tmp_path / "run" / FILE).exists(), "no search to be resumed"


@pytest.mark.parametrize("address", ["", "here", "host:0", "host:65536", "http://host:1", "a b:1",
                                     "tcp://host", "inproc://1/2/3:4"])
def test_what_is_no_address_is_refused(address, world, capsys):
    assert world.search("--cluster", address) == 2
    assert "--cluster must be the address of a Dask scheduler, such as tcp://" in (
        capsys.readouterr().err)
    assert not (world.path / "run").exists()


@pytest.mark.parametrize("address", ["localhost:8786", "tcp://10.0.0.5:8786", "tls://[::1]:1"])
def test_what_is_an_address_is_taken(address):
    assert cluster.check_address(address) == address


def test_options_that_exclude_each_other(world, capsys):
    assert world.search("--workers", "2", "--cluster", "host:1") == 2
    assert "--workers must not be used with --cluster" in capsys.readouterr().err
    assert world.search("--workers", "0") == world.search("--jobs", "0") == 2
    assert capsys.readouterr().err.count("--workers must be at least 1, not 0") == 2


def test_a_missing_package_gives_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SpikeloomError, match=r"pip install 'spikeloom\[cluster\]'"):
        Cluster("localhost:1")


def test_workers_are_told_apart_by_what_they_run():
    ours = {"spikeloom": "1", "Python": "3.11", "torch": "2"}
    assert unlike(dict(ours), ours) == ""
    assert unlike(ours | {"Python": "3.12"}, ours) == "Python 3.12, not 3.11"
    assert unlike({"spikeloom": "1", "Python": "3.11"}, ours) == "torch missing, not 2"
    assert unlike(ours | {"numpy": "2"}, ours) == "numpy 2, not missing"


def test_a_task_runs_with_the_plug_ins_of_its_search(tmp_path):
    def named():
        from spikeloom.nas import strategies

        return "sideways" in strategies.names()

    text = (b"from spikeloom.nas import strategies\n"
            b"@strategies.register('sideways')\nclass Sideways:\n    pass\n")
    ours, payload = cluster.versions(), pickle.dumps((divmod, [7, cluster._Sent(0)], {}))
    assert cluster.perform(ours, [], payload, 2) == (3, 1)
    with_it, without = ([(str(tmp_path / "p.py"), text)], [])
    for files in (with_it, without, with_it):
        found = cluster.perform(ours, files, cloudpickle.dumps((named, [], {})))
        assert found == bool(files)
    plugins.forget()
