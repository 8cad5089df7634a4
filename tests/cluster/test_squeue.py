"""Asking squeue: how it is run, and what becomes of what it says. Here it is a script."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.cluster.squeue import Squeue
from dlstbx_cli.services.errors import Misconfigured, Unavailable


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that makes ``squeue`` the script that it is given."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(script: str) -> None:
        (tmp_path / "squeue").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "squeue").chmod(0o755)

    return make


def test_states(squeue: Any) -> None:
    squeue("printf 'PENDING\\nRUNNING \\n\\nOUT_OF_MEMORY\\n'")
    assert Squeue("gda2").states() == ["PENDING", "RUNNING", "OUT_OF_MEMORY"]
    squeue("true")
    assert Squeue("gda2").states() == []


def test_how_it_is_run(squeue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_ARRAY", "1")
    monkeypatch.setenv("SLURM_CONF", "kept")
    squeue(f'echo "$*" > {tmp_path}/said; env >> {tmp_path}/said; readlink /proc/self/fd/0')
    with pytest.raises(Misconfigured, match="/dev/null"):
        Squeue("gda2").states()
    arguments, *environment = (tmp_path / "said").read_text().splitlines()
    assert arguments == "--noheader --states=all --format=%T --account=gda2"
    assert "SLURM_CONF=kept" in environment
    assert [one for one in environment if one.startswith("SQUEUE")] == []


def test_a_command_before_it(squeue: Any, tmp_path: Path) -> None:
    squeue("echo PENDING")
    (tmp_path / "ssh").write_text('#!/bin/sh\n[ "$1" = head ] || exit 255\nshift\nexec sh -c "$*"')
    (tmp_path / "ssh").chmod(0o755)
    assert Squeue("gda2", ["ssh", "head"]).states() == ["PENDING"]
    with pytest.raises(Unavailable, match=r"^ssh other squeue: ended with 255$"):
        Squeue("gda2", ["ssh", "other"]).states()


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        (
            "echo first >&2; echo 'slurm_load_jobs error: Invalid user' >&2; exit 1",
            Unavailable,
            "^squeue: slurm_load_jobs error: Invalid user$",
        ),
        ("exit 3", Unavailable, "squeue: ended with 3"),
        ("kill -9 $$", Unavailable, "squeue: ended with -9"),
        ("printf '\\377' >&2; exit 1", Unavailable, "squeue: "),
        ("echo 'sh: squeue: not found' >&2; exit 127", Misconfigured, "squeue: not found"),
        ("echo Welcome to head; echo PENDING", Misconfigured, "no job state: 'Welcome'"),
        ("printf '\\377'", Misconfigured, "no job state"),
    ],
)
def test_failures(squeue: Any, script: str, kind: type[Exception], reason: str) -> None:
    squeue(script)
    with pytest.raises(kind, match=reason):
        Squeue("gda2").states()


def test_no_squeue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match="squeue cannot be run: No such file or directory"):
        Squeue("gda2").states()


def test_one_that_hangs_is_ended_with_what_it_has_started(squeue: Any, tmp_path: Path) -> None:
    squeue(f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    begin = time.monotonic()
    with pytest.raises(Unavailable, match=r"squeue does not answer within 0.5 s"):
        Squeue("gda2", timeout=0.5).states()
    assert time.monotonic() - begin < 3
    assert_gone(int((tmp_path / "pid").read_text()))


def test_it_is_ended_when_it_is_no_longer_wanted(squeue: Any, tmp_path: Path) -> None:
    squeue(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    asked = Squeue("gda2")
    failures: list[Exception] = []

    def ask() -> None:
        try:
            asked.states()
        except Unavailable as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    asked.close()
    thread.join(5)
    assert len(failures) == 1
    assert_gone(int((tmp_path / "pid").read_text()))
    with pytest.raises(Unavailable, match="no longer asked"):
        asked.states()


def test_what_stays_behind_does_not_hold_it_up(squeue: Any) -> None:
    # ssh leaves a shared connection behind, which keeps the error output.
    squeue("sleep 15 >/dev/null & echo PENDING")
    begin = time.monotonic()
    assert Squeue("gda2").states() == ["PENDING"]
    assert time.monotonic() - begin < 5


def assert_gone(process: int) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)
