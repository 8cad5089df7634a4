"""The notes on messages that came back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.transport.stomp.attempts import Attempts


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "home" / "attempts"


def test_each_death_counts(directory: Path) -> None:
    """A new object each time: the one before has died."""
    assert [Attempts(directory).begin("i") for _ in range(4)] == [2, 3, 4, 5]
    assert Attempts(directory).begin("other") == 2
    assert directory.stat().st_mode & 0o777 == 0o700


def test_what_has_ended_is_forgotten(directory: Path) -> None:
    attempts = Attempts(directory)
    attempts.begin("i")
    attempts.begin("i")
    attempts.end("i")
    assert list(directory.iterdir()) == []
    assert attempts.begin("i") == 2
    attempts.end("never begun")


def test_given_back_is_no_death(directory: Path) -> None:
    attempts = Attempts(directory)
    attempts.begin("i")
    attempts.undo("i")
    assert list(directory.iterdir()) == []
    assert [attempts.begin("i") for _ in range(3)] == [2, 3, 4]
    attempts.undo("i")
    assert attempts.begin("i") == 4
    attempts.undo("never begun")


@given(identity=st.one_of(st.text(), st.sampled_from(["", ".", "../x", "/etc/x", "x" * 999])))
def test_any_identity_is_a_note_in_the_directory(
    identity: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("a") / "attempts"
    attempts = Attempts(directory)
    assert [attempts.begin(identity), attempts.begin(identity)] == [2, 3]
    assert len(list(directory.iterdir())) == 1
    assert list(directory.parent.iterdir()) == [directory]
    attempts.end(identity)
    assert list(directory.iterdir()) == []


def test_old_notes_are_swept_away(directory: Path) -> None:
    for identity, days in (("old", 8), ("new", 6)):
        Attempts(directory).begin(identity)
        (path,) = (one for one in directory.iterdir() if time.time() - one.stat().st_mtime < 60)
        os.utime(path, (0, time.time() - days * 86400))
    attempts = Attempts(directory)
    assert attempts.begin("x") == 2
    assert attempts.begin("old") == 2
    assert attempts.begin("new") == 3


def test_without_a_directory_nothing_is_counted() -> None:
    attempts = Attempts(None)
    assert [attempts.begin("i") for _ in range(9)] == [1] * 9
    attempts.end("i")
    attempts.undo("i")


def test_a_directory_that_cannot_be_used_is_said_once(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.parent.write_text("in the way")
    attempts = Attempts(directory)
    assert [attempts.begin("i") for _ in range(9)] == [1] * 9
    attempts.end("i")
    attempts.undo("i")
    (said,) = caplog.records
    assert said.action == "attempts"  # type: ignore[attr-defined]
    assert str(directory) in said.getMessage()
