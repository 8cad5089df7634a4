"""``pip install .`` puts everything where it is looked for."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from importlib import metadata
from pathlib import Path

import pytest

from tests.docs.needs import need
from tests.docs.pages import MAN, TOP, click_commands

PARTS = ("dlstbx_cli", "bin", "man", "share", "setup.py", "setup.cfg", "README.md", "LICENSE")
HOOKS = ("RunAtEndOfCollect", "RunAtStartOfCollect")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of this checkout into a new virtual environment and return that.

    The dependencies are those of the running environment: nothing is downloaded, but for
    setuptools where what is there cannot make a wheel.
    """
    directory = tmp_path_factory.mktemp("install")
    source, home = directory / "source", directory / "venv"
    source.mkdir()
    # A copy, since a build leaves its traces in the tree.
    ignore = shutil.ignore_patterns("__pycache__")
    for name in PARTS:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, source / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(TOP / name, source)
    venv.create(home, with_pip=False, symlinks=True)
    scheme = {"base": str(home), "platbase": str(home)}
    library = Path(sysconfig.get_path("purelib", "venv", scheme))
    (library / "running.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "install"]
    options = ["--quiet", "--no-deps", "--ignore-installed", "--disable-pip-version-check"]
    if can_build_wheels():
        options.append("--no-build-isolation")
    run = subprocess.run(
        [*command, *options, str(source)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return home


def can_build_wheels() -> bool:
    """Tell whether wheels can be made here: setuptools does so by itself since 70.1."""
    try:
        found = tuple(map(int, metadata.version("setuptools").split(".")[:2]))
    except metadata.PackageNotFoundError:
        return False
    return found >= (70, 1) or importlib.util.find_spec("wheel") is not None


def environment(installed: Path, home: Path) -> dict[str, str]:
    """Return the environment of a user with the installation's ``bin`` in front."""
    path = f"{installed / 'bin'}:{os.defpath}:/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(home), "DLSTBX_HOME": str(home), "LC_ALL": "C.UTF-8"}


def output(installed: Path, home: Path, *command: str) -> str:
    run = subprocess.run(
        command,
        env=environment(installed, home),
        cwd=home,  # not the checkout: its package must not be found by accident
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_command_runs(installed: Path, tmp_path: Path) -> None:
    for name in click_commands():
        assert (installed / "bin" / name).stat().st_mode & 0o111
    assert output(installed, tmp_path, "mimas-plan", "--version").startswith("mimas-plan, version")
    for program in ("mimas-plan", "dlstbx-demo"):
        assert "Usage: " + program in output(installed, tmp_path, program, "--help")


def test_it_is_the_installed_package_that_works(installed: Path, tmp_path: Path) -> None:
    """Demo data, look-up, recipes and rules are all in the package."""
    output(installed, tmp_path, "dlstbx-demo")
    pipe = "dlstbx.go --stdout -r mimas -s event=end 993677 | recipe-dispatch | mimas-plan"
    lines = output(installed, tmp_path, "sh", "-c", pipe).splitlines()
    assert len(lines) == 16
    where = "import dlstbx_cli; print(dlstbx_cli.__file__)"
    assert output(installed, tmp_path, "python", "-c", where).startswith(str(installed))


def test_files_of_the_package(installed: Path) -> None:
    (package,) = installed.glob("lib/python*/site-packages/dlstbx_cli")
    for pattern in ("recipes/*.json", "database/*.json", "py.typed"):
        shipped = {path.name for path in package.glob(pattern)}
        assert shipped == {path.name for path in (TOP / "dlstbx_cli").glob(pattern)}
        assert shipped


def test_rules_are_entry_points(installed: Path, tmp_path: Path) -> None:
    program = (
        "from importlib.metadata import distribution as d\n"
        "for e in d('dlstbx-cli').entry_points.select(group='zocalo.mimas.handlers'):\n"
        "    print(e.name, type(e.load()).__name__)"
    )
    found = output(installed, tmp_path, "python", "-c", program).splitlines()
    names = ("i15", "i19", "mx", "ssx", "vmxi")
    assert sorted(found) == [f"dlstbx-{name} Family" for name in names]


def test_pages_are_installed(installed: Path) -> None:
    found = {path.name for path in (installed / "share/man").glob("man?/*")}
    assert found == {path.name for path in MAN.iterdir()}


def test_examples_of_configuration_are_installed(installed: Path) -> None:
    found = {path.name: path.read_text() for path in (installed / "share/dlstbx").iterdir()}
    assert found == {path.name: path.read_text() for path in (TOP / "share/dlstbx").iterdir()}
    assert "dlstbx@.service" in found


@pytest.mark.parametrize("name", ["mimas-plan", "dlstbx", "dlstbx-message", *HOOKS])
def test_man_finds_the_pages(installed: Path, tmp_path: Path, name: str) -> None:
    need("man")
    assert output(installed, tmp_path, "man", "-w", name).startswith(str(installed))


@pytest.mark.parametrize(("name", "event"), [(HOOKS[0], "end"), (HOOKS[1], "start")])
def test_hooks_trigger_and_log(installed: Path, tmp_path: Path, name: str, event: str) -> None:
    log = tmp_path / "collect.log"
    hook = f"DLSTBX_COLLECT_LOG={log} {name} 993677"
    assert output(installed, tmp_path, "sh", "-c", hook) == ""
    for _ in range(100):
        if log.exists() and log.read_text():
            break
        time.sleep(0.1)
    said = f"{event} of collection 993677: dlstbx.go: mimas for data collection 993677: sent\n"
    assert log.read_text().endswith(said)
    sent = json.loads(output(installed, tmp_path, "queue-get", "processing_recipe"))
    assert sent["message"]["parameters"]["event"] == event
