"""What is wrong with the state store is said in one line, with the exit code that fits."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlstbx_cli.database import connection
from tests.conftest import run

COMMANDS = [
    ("backlog-ls",),
    ("backlog-show", "1"),
    ("backlog-now", "1"),
    ("backlog-cancel", "--all", "--reason", "x"),
    ("backlog-hold", "i03", "--until", "2h", "--reason", "x"),
    ("backlog-resume", "--all"),
    ("backlog-release", "--explain"),
    ("backlog-release", "--once"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter; the tests may run as root, who may do all."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def nobody(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    elsewhere = Path(tempfile.mkdtemp(dir=place.parent))
    elsewhere.chmod(0o777)
    monkeypatch.setenv("DLSTBX_HOME", str(elsewhere))
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield
    shutil.rmtree(elsewhere)


def refusal(command: tuple[str, ...], state: Path, code: int) -> str:
    outcome = run(*command, "--state", f"sqlite:///{state}")
    assert outcome.code == code, outcome.err
    lines = [line for line in outcome.err.splitlines() if "embedded" not in line]
    (line,) = lines
    assert "Traceback" not in line
    assert "ISPyB" not in line
    return line


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_another_file(command: tuple[str, ...], home: Path, place: Path) -> None:
    (place / "text").write_text("this is not a database, however long it may be")
    assert "file is not a database; --state or DLSTBX_STATE" in refusal(command, place / "text", 78)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_is_broken(command: tuple[str, ...], home: Path, place: Path) -> None:
    run("backlog-hold", "i03", "--until", "2h", "--reason", "x", "--state", f"sqlite:///{place}/s")
    sqlite3.connect(place / "s").execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = (place / "s").read_bytes()
    (place / "s").write_bytes(whole[:100] + b"\xff" * (len(whole) - 100))
    (place / "s-wal").unlink()
    (place / "s-shm").unlink()
    assert "malformed" in refusal(command, place / "s", 78)


@pytest.mark.parametrize("command", COMMANDS[:1] + COMMANDS[-1:], ids=" ".join)
def test_a_directory(command: tuple[str, ...], home: Path, place: Path) -> None:
    assert "it is a directory" in refusal(command, place, 78)
    (place / "file").touch()
    assert "cannot be made" in refusal(command, place / "file" / "state.sqlite3", 78)


def test_a_directory_that_is_not_writable(home: Path, place: Path, nobody: None) -> None:
    for command in COMMANDS:
        line = refusal(command, place / "state.sqlite3", 78)
        assert f"the directory {place} is not writable; --state" in line


def test_a_file_that_is_not_writable(
    home: Path, place: Path, request: pytest.FixtureRequest
) -> None:
    sqlite3.connect(place / "s").execute("CREATE TABLE t (x)")
    (place / "s").chmod(0o444)
    place.chmod(0o777)
    request.getfixturevalue("nobody")
    for command in COMMANDS:
        assert "readonly database; --state" in refusal(command, place / "s", 78)


def test_a_disk_that_is_full(home: Path) -> None:
    for command in COMMANDS:
        line = refusal(command, Path("/dev/full"), 75)
        assert "is not available: database or disk is full; try again later" in line


def test_a_file_that_is_locked(home: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.05)
    with sqlite3.connect(place / "s") as other:
        other.execute("BEGIN EXCLUSIVE")
        for command in COMMANDS:
            assert "database is locked; try again later" in refusal(command, place / "s", 75)


def test_what_is_no_url(home: Path) -> None:
    outcome = run("backlog-ls", "--state", "nonsense")
    assert outcome.code == 78
    assert "the state store's URL is not one that SQLAlchemy knows" in outcome.err
