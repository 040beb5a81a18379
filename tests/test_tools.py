"""Finding, identifying, preparing and running the external tools."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amaranth.hdl import Elaboratable, Module, Signal

from spikeloom.flow import tools
from spikeloom.flow.errors import ToolError


def script(path: Path, text: str) -> Path:
    """An executable Python script that stands for a tool."""
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("YOSYS", "NEXTPNR_ICE40", "ICEPACK", "ICEPROG", "AMARANTH_USE_YOSYS"):
        monkeypatch.delenv(name, raising=False)


def test_embedded_tools_are_the_default():
    for name in ("yosys", "nextpnr-ice40", "icepack"):
        found = tools.find(name)
        assert found.embedded and found.path.name == f"yowasp-{name}"
        assert found.identity.startswith(f"yowasp-{name} 0.")


def test_environment_chooses_another_tool(monkeypatch, tmp_path):
    other = script(tmp_path / "my-yosys", "print('Yosys 9.9 (git sha1 abc)')")
    monkeypatch.setenv("YOSYS", str(other))
    found = tools.find("yosys")
    assert found.path == other and not found.embedded
    assert found.identity == "Yosys 9.9 (git sha1 abc)"
    assert not tools.needs_compiling(found)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("YOSYS", "my-yosys")
    assert tools.find("yosys").path == other
    monkeypatch.setenv("YOSYS", "")
    assert tools.find("yosys").embedded


def test_identity_follows_the_program(monkeypatch, tmp_path):
    pack = script(tmp_path / "icepack", "print(1)")
    monkeypatch.setenv("ICEPACK", str(pack))
    first = tools.find("icepack").identity
    assert first.startswith("icepack sha256:")
    script(pack, "print(22)")
    assert tools.find("icepack").identity != first


def test_nextpnr_version_is_read_from_its_banner(monkeypatch, tmp_path):
    text = ("import sys; print('\"x\" -- Next Generation Place and Route (Version 0.4-1)', "
            "file=sys.stderr)")
    monkeypatch.setenv("NEXTPNR_ICE40", str(script(tmp_path / "pnr", text)))
    found = tools.find("nextpnr-ice40")
    assert found.identity == "nextpnr-ice40 0.4-1"
    assert found.too_old == "0.7"
    assert tools.find("yosys").too_old is None


def test_missing_tools_are_named_with_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(ToolError, match=r"YOSYS must name a program, not 'no-such-yosys'.*unset"):
        tools.find("yosys")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"iceprog is missing, which programming a board needs; "
                                        r"install it: the Debian package fpga-icestorm"):
        tools.find("iceprog")


def test_a_program_that_is_no_such_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("YOSYS", str(script(tmp_path / "y", "raise SystemExit(3)")))
    with pytest.raises(ToolError, match=r"must answer '-V' .* not with exit code 3"):
        _ = tools.find("yosys").identity


def test_first_use_is_announced_and_only_then(monkeypatch, tmp_path):
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "yowasp"))
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    found = tools.find("icepack")
    assert tools.needs_compiling(found)
    notes = []
    tools.prepare(["icepack"], notes.append, every=0.05)
    assert "first use of yowasp-icepack" in notes[0] and "ready after" in notes[-1]
    assert len(notes) > 2 and "s of about" in notes[1]
    assert not tools.needs_compiling(found)
    again = []
    tools.prepare(["icepack"], again.append)
    assert again == []


def run(tmp_path, text, timeout=60.0):
    tool = script(tmp_path / "tool", text)
    found = tools.Found(tools.TOOLS["icepack"], tool, False)
    return tools.run(found, ["a b", "$HOME"], cwd=tmp_path, log=tmp_path / "log", timeout=timeout)


def test_run_passes_arguments_as_they_are(tmp_path):
    ran = run(tmp_path, "import sys, os; print(sys.argv[1:], os.getcwd())")
    assert ran.problem is None and ran.seconds > 0
    assert ran.log.read_text() == f"['a b', '$HOME'] {tmp_path}\n"


def test_run_reports_the_error_line(tmp_path):
    ran = run(tmp_path, "print('ERROR: no such cell'); print('0 warnings, 1 error'); exit(1)")
    assert ran.problem == "no such cell"
    assert run(tmp_path, "exit(4)").problem == "exit code 4"


def test_run_kills_what_takes_too_long_with_its_children(tmp_path):
    text = ("import subprocess, sys, time\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            "open('pid', 'w').write(str(child.pid)); time.sleep(60)")
    start = time.monotonic()
    ran = run(tmp_path, text, timeout=2.0)
    assert ran.problem == "took longer than 2 s" and time.monotonic() - start < 20
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid):
    """Whether a process ends within five seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_a_tool_dies_with_the_process_that_started_it(tmp_path):
    """Even one that was killed outright: a router may run for ever."""
    sleeper = script(tmp_path / "tool", "import os, time\nopen('pid.new', 'w').write("
                     "str(os.getpid()))\nos.rename('pid.new', 'pid')\ntime.sleep(60)")
    starter = subprocess.Popen([sys.executable, "-c", f"""
from pathlib import Path
from spikeloom.flow import tools
here = Path({str(tmp_path)!r})
found = tools.Found(tools.TOOLS["icepack"], Path({str(sleeper)!r}), False)
tools.run(found, [], cwd=here, log=here / "log", timeout=60)
"""])
    for _ in range(600):
        if (tmp_path / "pid").exists():
            break
        time.sleep(0.05)
    starter.kill()
    starter.wait()
    assert ended(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("text, line", [
    ("ERROR: a\nERROR: b\nnext", "b"), ("trace\nwasm trap: call stack exhausted\n\n",
                                        "wasm trap: call stack exhausted"),
    ("one\ntwo\n", "two"), ("", ""),
])
def test_last_error(text, line):
    assert tools.last_error(text) == line


class Counter(Elaboratable):
    def __init__(self):
        self.o = Signal(4)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.o + 1)
        return m


def test_verilog_through_the_embedded_yosys(monkeypatch, tmp_path):
    counter = Counter()
    text = tools.amaranth_verilog(counter, [counter.o], "counter")
    assert "module counter(" in text and str(Path.cwd()) not in text
    assert "YOSYS" not in os.environ and "AMARANTH_USE_YOSYS" not in os.environ
    old = script(tmp_path / "yosys", "print('Yosys 0.23 (git sha1 abc)')")
    monkeypatch.setenv("YOSYS", str(old))
    with pytest.raises(ToolError, match=r"yosys must be 0.40 or later, not Yosys 0.23"):
        tools.amaranth_verilog(counter, [counter.o])
    assert os.environ["YOSYS"] == str(old)
