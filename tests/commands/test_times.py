from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import click
import pytest

from dlstbx_cli.commands.times import duration, moment, shown


@pytest.fixture(autouse=True)
def _in_england(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/London")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


#: A summer's noon: an hour ahead of UTC.
NOON = "2026-07-01T12:00"


@pytest.mark.parametrize(
    ("text", "past", "expected"),
    [
        ("2h", False, "2026-07-01T14:00"),
        ("3d", False, "2026-07-04T12:00"),
        ("90s", True, "2026-07-01T11:58:30"),
        ("0.5h", True, "2026-07-01T11:30"),
        ("18:00", False, "2026-07-01T18:00"),
        ("9:30", False, "2026-07-02T09:30"),
        ("12:00", False, "2026-07-02T12:00"),
        ("12:00", True, "2026-07-01T12:00"),
        ("18:00", True, "2026-06-30T18:00"),
        ("09:30:15", True, "2026-07-01T09:30:15"),
        ("2026-11-25T18:00", False, "2026-11-25T18:00"),
        ("2026-11-25 18:00", False, "2026-11-25T18:00"),
        ("2026-11-25", False, "2026-11-25T00:00"),
        ("2026-07-01T18:00Z", False, "2026-07-01T19:00"),
        ("2026-07-01T18:00+02:00", False, "2026-07-01T17:00"),
    ],
)
def test_a_moment(text: str, past: bool, expected: str) -> None:
    assert moment(text, "--until", at(NOON), past=past) == at(expected)


def test_a_clock_keeps_its_time_when_summer_ends() -> None:
    evening = at("2026-10-24T19:00")
    assert moment("18:00", "--until", evening) - evening == 24 * 3600
    assert moment("1d", "--until", evening) - evening == 24 * 3600


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "12:60", "7", "20", "2x", "-2h", "2026-13-01", "1:2:3:4", "٣h"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(click.UsageError, match="--until takes a time such as"):
        moment(text, "--until", at(NOON))


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("15m", 900), ("2d", 172800)])
def test_a_duration(text: str, expected: float) -> None:
    assert duration(text, "--max-age") == expected


@pytest.mark.parametrize("text", ["", "d", "1w", "-1", "1e3"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.UsageError, match="--max-age"):
        duration(text, "--max-age")


def test_a_time_is_shown_as_people_here_read_it() -> None:
    assert shown(at(NOON)) == "2026-07-01 12:00"
