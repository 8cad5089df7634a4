"""What tests of commands share: a home with the demo facility, and ways to run commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings

#: The servers that tests start for themselves.
pytest_plugins = [
    "tests.servers.brokers",
    "tests.servers.mariadb",
    "tests.servers.slurm",
    "tests.servers.slurmrestd",
]

# What is true does not depend on how busy the machine is.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# The same cases each time: what keeps a change from landing must be in the change.
settings.register_profile("ci", settings.get_profile("patient"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "patient")

TOP = Path(__file__).parent.parent
BIN = TOP / "bin"

#: The commands of setup.cfg, and the module of each.
COMMANDS = {
    "backlog-cancel": "backlog_cancel",
    "backlog-hold": "backlog_hold",
    "backlog-ls": "backlog_ls",
    "backlog-now": "backlog_now",
    "backlog-release": "backlog_release",
    "backlog-resume": "backlog_resume",
    "backlog-show": "backlog_show",
    "backlog-simulate": "backlog_simulate",
    "cluster-stats": "cluster_stats",
    "dlq-drop": "dlq_drop",
    "dlq-export": "dlq_export",
    "dlq-ls": "dlq_ls",
    "dlq-retry": "dlq_retry",
    "dlq-show": "dlq_show",
    "dlstbx-completion": "completion",
    "dlstbx-demo": "demo",
    "dlstbx-top": "top",
    "dlstbx.go": "go",
    "dlstbx.pickup": "pickup",
    "ispyb-create-job": "ispyb_create_job",
    "ispyb-lookup": "ispyb_lookup",
    "mimas-diff": "mimas_diff",
    "mimas-plan": "mimas_plan",
    "mimas-rules": "mimas_rules",
    "mimas-trace": "mimas_trace",
    "queue-get": "queue_get",
    "queue-ls": "queue_ls",
    "queue-put": "queue_put",
    "recipe-dispatch": "recipe_dispatch",
}


@pytest.fixture(autouse=True, scope="session")
def _no_silent_death() -> Iterator[None]:
    """A service in our own process that hangs at its end must not look like success."""
    from dlstbx_cli.transport import stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stop, "_die", lambda: os._exit(99))
        yield


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the demo facility, made once; not to be written to."""
    from dlstbx_cli.database.demo import make

    home = tmp_path_factory.mktemp("demo")
    make(f"sqlite:///{home / 'ispyb.sqlite3'}").dispose()
    return home


@pytest.fixture
def home(demo_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own with the demo facility; no setting of the user's counts."""
    for variable in [
        name for name in os.environ if name.startswith(("DLSTBX_", "ZOCALO_", "ISPYB_"))
    ]:
        monkeypatch.delenv(variable)
    home = tmp_path / "home"
    shutil.copytree(demo_home, home)
    monkeypatch.setenv("DLSTBX_HOME", str(home))
    return home


@dataclass
class Outcome:
    """What a command did: its exit code, its lines, what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def run(name: str, *arguments: str | int, stdin: bytes | str = b"") -> Outcome:
    """Run a command in this process."""
    command = import_module(f"dlstbx_cli.commands.{COMMANDS[name]}").main_command
    result = CliRunner().invoke(command, [str(one) for one in arguments], input=stdin)
    return Outcome(result.exit_code, result.stdout, result.stderr)


def shell(script: str, **environment: str) -> Outcome:
    """Run a script as a person would type it, bin/ on the PATH."""
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
    )
    return Outcome(result.returncode, result.stdout, result.stderr)


def start(name: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command as a process of its own, with pipes."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([BIN / name, *arguments], **(pipes | options))


def make_dead_letters() -> None:
    """Put three dead letters of two stages into the broker."""
    lines: list[dict[str, Any]] = [
        {"queue": "mimas", "message": {"dcid": "x"}, "headers": {"dlstbx-id": "aaa-1"}},
        {"queue": "mimas", "message": {"dcid": "5", "event": "never"},
         "headers": {"dlstbx-id": "aab-2"}},
    ]  # fmt: skip
    assert run("mimas-plan", "--send", stdin="\n".join(map(json.dumps, lines))).code == 1
    trigger = {
        "queue": "processing_recipe",
        "message": {"recipes": ["mimas"], "parameters": {"ispyb_dcid": 404}},
        "headers": {"dlstbx-id": "bbb-3"},
    }
    assert run("recipe-dispatch", "--send", stdin=json.dumps(trigger)).code == 1


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended with the test, whatever happens in it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()
