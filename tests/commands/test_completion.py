"""``dlstbx-completion``: Tab is pressed in real shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BIN, COMMANDS, run
from tests.test_architecture import HEAVY, loaded_by

SHELLS = ("bash", "zsh", "fish")


def need(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here (apt-get install {shell})")


class Bash:
    """A bash that somebody types into, with the script read."""

    def __init__(self, directory: Path) -> None:
        self._ours, theirs = pty.openpty()
        environment = {
            **os.environ, "TERM": "dumb", "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(directory), "INPUTRC": "/dev/null",
        }  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"], stdin=theirs, stdout=theirs, stderr=theirs,
            cwd=directory, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.type("PS1='>'; stty cols 200; source <(dlstbx-completion bash); echo re''ady\n")
        assert "ready" in self.read("ready")

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read(self, wanted: str, seconds: float = 15) -> str:
        text, deadline = "", time.monotonic() + seconds
        while not re.search(wanted, text) and time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.1)[0]:
                text += os.read(self._ours, 1 << 16).decode(errors="replace")
        return text

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@pytest.fixture
def bash(home: Path, tmp_path: Path) -> Iterator[Bash]:
    directory = tmp_path / "here"
    (directory / "records").mkdir(parents=True)
    (directory / "scenarios.jsonl").touch()
    shell = Bash(directory)
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("mimas-plan --expl", "mimas-plan --explain "),
        ("dlstbx.go --std", "dlstbx.go --stdout "),
        ("dlstbx.pickup --max", "dlstbx.pickup --max-age "),
        ("dlstbx.go -r mim", "dlstbx.go -r mimas "),
        ("ispyb-create-job --recipe strat", "ispyb-create-job --recipe strategy-align-crystal "),
        ("backlog-ls --by v", "backlog-ls --by visit "),
        ("backlog-ls --by=v", "backlog-ls --by=visit "),
        ("recipe-dispatch --queue proc", "recipe-dispatch --queue processing_recipe "),
        ("queue-get dlq.proc", "queue-get dlq.processing_recipe "),
        ("mimas-plan --replay sc", "mimas-plan --replay scenarios.jsonl "),
        ("mimas-plan --record re", "mimas-plan --record records/"),
        ("mimas-plan --record=re", "mimas-plan --record=records/"),
        ("dlstbx-completion z", "dlstbx-completion zsh "),
        (f"{BIN}/queue-ls --tab", f"{BIN}/queue-ls --table "),
        ("echo | backlog-release --lis", "echo | backlog-release --listen "),
    ],
)
def test_bash_completes(bash: Bash, typed: str, completed: str) -> None:
    bash.type(f"{typed}\t")
    assert completed in bash.read(re.escape(completed))


def test_bash_lists_what_is_possible_in_the_order_of_the_command(bash: Bash) -> None:
    bash.type("backlog-ls --by \t\t")
    assert re.search(r"cluster +beamline +visit +recipe +job", bash.read("job"))


def complete(command: str, *words: str) -> list[str]:
    """Return what a command says that its last word can become."""
    environment = {
        **os.environ, "_DLSTBX_COMPLETE": "bash_complete",
        "COMP_WORDS": "\n".join([command, *words]), "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    done = subprocess.run(
        [BIN / command], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_completes_its_options(command: str, home: Path) -> None:
    assert "plain,--version" in complete(command, "--ver")
    before = sorted(home.rglob("*"))
    assert {"plain,--help", "plain,--log-format"} <= set(complete(command, "--"))
    assert complete(command, "--log-format", "j") == ["plain,json"]
    assert sorted(home.rglob("*")) == before


def test_recipes_are_those_that_are_configured(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mimas", "mine", "ispyb-mine"):
        (tmp_path / f"{name}.json").write_text("{}")
    monkeypatch.setenv("DLSTBX_RECIPES", str(tmp_path))
    assert complete("dlstbx.go", "-r", "mi") == ["plain,mimas", "plain,mine"]
    assert complete("ispyb-create-job", "--recipe", "") == ["plain,mine"]
    monkeypatch.setenv("DLSTBX_RECIPES", str(tmp_path / "nowhere"))
    assert complete("dlstbx.go", "-r", "mi") == []
    monkeypatch.delenv("DLSTBX_RECIPES")
    monkeypatch.setenv("ZOCALO_CONFIG", str(tmp_path / "nowhere.yml"))
    assert complete("dlstbx.go", "-r", "mi") == []


@pytest.mark.parametrize(
    ("command", "kind"), [("mimas-plan --overrides", "file"), ("dlstbx.pickup --drop-dir", "dir")]
)
def test_files_are_left_to_the_shell(command: str, kind: str, home: Path) -> None:
    name, option = command.split()
    assert complete(name, option, "x") == [f"{kind},x"]


@pytest.mark.parametrize("module", COMMANDS.values())
def test_nothing_heavy_is_loaded_for_it(module: str) -> None:
    code = (
        "import contextlib, os\n"
        "os.environ |= {'_DLSTBX_COMPLETE': 'bash_complete', 'COMP_CWORD': '1',\n"
        "    'COMP_WORDS': 'x --'}\n"
        f"from dlstbx_cli.commands.{module} import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "print()"
    )
    assert not loaded_by(code) & (HEAVY | {"sqlite3", "asyncio"})


@pytest.mark.parametrize("shell", SHELLS)
def test_one_script_is_for_all_commands(shell: str) -> None:
    outcome = run("dlstbx-completion", shell)
    assert outcome.code == 0
    (names,) = (
        line for line in outcome.out.splitlines()
        if line.startswith(("complete -o", "    compdef", "for name in"))
    )  # fmt: skip
    assert set(COMMANDS) <= set(names.split())
    assert "VARIABLE" not in outcome.out
    assert "NAMES" not in outcome.out


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_takes_the_script(shell: str, tmp_path: Path) -> None:
    need(shell)
    path = tmp_path / "script"
    path.write_text(run("dlstbx-completion", shell).out)
    done = subprocess.run([shell, "-n", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mimas-plan --expl", ["--explain"]),
        ("dlstbx.go -r mim", ["mimas"]),
        ("backlog-ls --by=v", ["--by=visit"]),
        ("mimas-plan --record=re", ["--record=records/"]),
    ],
)
def test_fish_completes(line: str, expected: list[str], home: Path, tmp_path: Path) -> None:
    need("fish")
    (tmp_path / "records").mkdir()
    script = f'source (dlstbx-completion fish | psub); complete -C "{line}"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert [each.split("\t")[0] for each in done.stdout.splitlines()] == expected


def test_the_shell_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")
    assert run("dlstbx-completion").out == run("dlstbx-completion", "zsh").out
    for shell in ("/bin/tcsh", ""):
        monkeypatch.setenv("SHELL", shell)
        outcome = run("dlstbx-completion")
        assert (outcome.code, outcome.out) == (2, "")
        assert "bash, zsh, fish" in outcome.err
