"""The rings: arrows of import point inwards only, and a command's start-up stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dlstbx_cli"

#: Outermost last. What stands on the same line may import each other only as named below.
RINGS = {
    "mimas": 0,
    "services": 1,
    "transport": 2,
    "database": 2,
    "cluster": 2,
    "recipes": 2,
    "configuration": 2,
    "site_configuration": 2,
    "stomp_url": 2,
    "urls": 2,
    "commands": 3,
}
#: The only arrows between adapters: the configuration names what it configures.
BETWEEN_ADAPTERS = {
    ("configuration", "recipes"),
    ("configuration", "database"),
    ("configuration", "site_configuration"),
    ("configuration", "stomp_url"),
    ("configuration", "urls"),
    ("stomp_url", "urls"),
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the ring"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_inwards(path: Path) -> None:
    here = part_of(path)
    for name in imported(path):
        words = name.split(".")
        if words[0] != "dlstbx_cli" or len(words) < 2 or words[1] == here:
            continue
        there = words[1]
        inwards = RINGS[there] < RINGS[here]
        assert inwards or (here, there) in BETWEEN_ADAPTERS, f"{here} imports {there}"


def test_every_module_belongs_to_a_ring() -> None:
    assert {part_of(path) for path in modules()} <= RINGS.keys()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after *code*."""
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def loaded_by(code: str) -> set[str]:
    """Return their top-level packages."""
    return {name.partition(".")[0] for name in modules_after(code)}


HEAVY = {
    *("sqlalchemy", "rich", "gemmi", "workflows", "zocalo", "ispyb", "stomp", "requests"),
    "prometheus_client",
}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("dlstbx_cli.mimas", set()),
        ("dlstbx_cli.services.mimas", set()),
        ("dlstbx_cli.services.dispatcher", set()),
        ("dlstbx_cli.transport.driver", set()),
        ("dlstbx_cli.transport.sqlite", set()),
        ("dlstbx_cli.commands.go", set()),
        ("dlstbx_cli.commands.mimas_plan", set()),
        ("dlstbx_cli.commands.recipe_dispatch", set()),
        ("dlstbx_cli.commands.backlog_release", set()),
        ("dlstbx_cli.commands.cluster_stats", set()),
        ("dlstbx_cli.cluster.rest", set()),
    ],
)
def test_nothing_heavy_at_import(module: str, allowed: set[str]) -> None:
    assert loaded_by(f"import {module}") & HEAVY <= allowed


def test_dlstbx_go_loads_no_database_and_no_logging() -> None:
    code = (
        "import contextlib\n"
        "from dlstbx_cli.commands.go import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main(['--stdout', '-r', 'mimas', '-s', 'event=end', '1'])\n"
        "print()"
    )
    assert not loaded_by(code) & (HEAVY | {"logging", "sqlite3", "asyncio"})


def test_what_sends_to_a_broker_loads_nothing_of_what_takes_from_it() -> None:
    code = (
        "import dlstbx_cli.commands.go, dlstbx_cli.services.bounded\n"
        "import dlstbx_cli.transport.stomp.broker, dlstbx_cli.transport.stomp.socket"
    )
    mine = {name.removeprefix("dlstbx_cli.") for name in modules_after(code)}
    assert "transport.stomp.publisher" in mine
    consuming = {"transport.stomp.consumer", "transport.stomp.done", "transport.driver"}
    logging = {"services.trace", "commands.logs"}
    others = {"commands.metering", "services.meter", "services.held", "services.dead_letters"}
    assert not mine & (consuming | logging | others)
