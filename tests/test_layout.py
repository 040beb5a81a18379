"""The tree: packages, who imports whom, what a command loads, and the size of files."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from spikeloom.flow.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("boards", "flow", "hdl", "nas", "sim")

#: What each folder may import, besides itself.
MAY_IMPORT = {
    "hdl": set(), "boards": set(), "flow": {"hdl", "boards"}, "sim": {"flow", "hdl", "boards"},
    "nas": {"sim", "flow", "hdl", "boards"},
}
#: Packages of the extras: the base install has none of them.
HEAVY = {"torch", "sklearn", "pymoo", "loky", "scipy", "cocotb", "cocotb_tools", "hypothesis",
         "pytest"}
SOURCES = sorted(path for folder in (*FOLDERS, "tests") for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "tests"]


def name(path):
    return str(path.relative_to(ROOT))


def config():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def imports(path, lazy=True):
    """Absolute names of what a module of the package imports, those in functions too if `lazy`."""
    package = ["spikeloom", *path.relative_to(ROOT).parent.parts]
    tree = ast.parse(path.read_text(), str(path))
    inside = {id(node) for function in ast.walk(tree)
              if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
              for node in ast.walk(function)}
    for node in ast.walk(tree):
        if not lazy and id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_packages_listed_are_those_in_the_tree():
    found = {"spikeloom." + ".".join(path.parent.relative_to(ROOT).parts)
             for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    # A folder that holds data only is a package too, or a wheel would lack it.
    found |= {"spikeloom." + ".".join(path.parent.relative_to(ROOT).parts)
              for folder in FOLDERS for kind in ("json", "toml", "safetensors", "npz")
              for path in (ROOT / folder).rglob(f"*.{kind}")}
    assert sorted(config()["tool"]["setuptools"]["packages"]) == sorted(found)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_go_one_way(path):
    folder = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT[folder] | {folder}
    used = {module.split(".")[1] for module in imports(path) if module.startswith("spikeloom.")}
    assert used <= allowed, f"{folder} may import {sorted(allowed)}, not {sorted(used - allowed)}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[-2] != "benches"],
                         ids=name)
def test_the_base_install_suffices_outside_nas(path):
    """Packages of the extras: in nas, and lazily or in benches that run inside a simulator."""
    if path.relative_to(ROOT).parts[0] == "nas":
        return
    found = {module.split(".")[0] for module in imports(path, lazy=False)} & HEAVY
    assert not found


@pytest.mark.parametrize("command", ["", *(c for c, (m, _) in COMMANDS.items()
                                           if not m.startswith("spikeloom.nas"))])
def test_a_command_loads_nothing_heavy(command):
    argv = [command, "--help"] if command else []
    code = ("import sys, json, contextlib, io\n"
            "from spikeloom.flow.cli import main\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
            f"    main({argv!r})\n"
            "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & HEAVY


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_configure_run_and_help(command, capsys):
    module = import_module(COMMANDS[command][0])
    assert callable(module.configure) and callable(module.run)
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: spikeloom {command}") and "--json" in text and "--run" in text


def test_the_readme_names_every_command_and_every_make_target():
    readme = (ROOT / "README.md").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert not [command for command in COMMANDS if f"`spikeloom {command}" not in readme]
    assert not [target for target in targets if not re.search(rf"\bmake {target}\b", readme)]


def test_constraints_pin_every_dependency():
    project = config()["project"]
    wanted = [*project["dependencies"],
              *(item for extra in project["optional-dependencies"].values() for item in extra)]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()
                if not line.startswith("#"))
    pinned = {package.lower().replace("_", "-") for package in pins}
    assert {re.match(r"[\w-]+", item)[0].lower() for item in wanted} <= pinned
    assert pins["torch"] == "2.13.0"


def test_the_citation_is_of_this_version():
    """CITATION.cff by what version 1.2.0 of its schema asks for."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = config()["project"]
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert (cited["title"], cited["version"], cited["license"]) == (
        project["name"], project["version"], project["license"])
    assert isinstance(cited["message"], str) and cited["authors"]
    for author in cited["authors"]:
        assert author.keys() & {"name", "family-names", "given-names", "alias"}
    for key in ("abstract", "title"):
        assert isinstance(cited[key], str)
    assert all(isinstance(word, str) for word in cited["keywords"])


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_are_short_and_name_no_machine(path):
    text = path.read_text()
    assert text.count("\n") <= 550
    machine = re.compile("|".join(["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/opt/p" + "ypi"]))
    assert not [line for line in text.splitlines() if machine.search(line)]
