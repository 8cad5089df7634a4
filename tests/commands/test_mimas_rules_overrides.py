"""``mimas-rules --overrides``: what is not as the rules want it, and what has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from tests.conftest import Outcome, run

TEXT = """
[[override]]
beamline = "i04"
action = "drop"
recipe = "archive-nexus"
reason = "archive full"
owner = "eve"
until = 2026-11-25T10:00:00Z

[[override]]
beamline = ["i03", "i04"]
event = "end"
detector = "eiger"
action = "hold"
reason = "cluster down"
owner = "adam"
until = 2026-11-25T15:30:00Z

[[override]]
visit = "cm"
action = "add"
add = "archive-cbfs"
reason = "commissioning"
owner = "eve"
until = 2026-12-01T00:00:00Z
"""


@pytest.fixture
def file(home: Path) -> Iterator[Path]:
    path = home / "overrides.toml"
    path.write_text(TEXT)
    with freeze_time("2026-11-25T12:00:00Z"):
        yield path


def reasons(outcome: Outcome) -> list[str]:
    assert outcome.code == 0, outcome.err
    return [line["reason"] for line in outcome.lines]


def test_those_in_force_come_first_and_all_is_told(file: Path) -> None:
    lines: list[Any] = run("mimas-rules", "--overrides", file).lines
    assert [line["reason"] for line in lines] == ["cluster down", "commissioning", "archive full"]
    assert [line["ended"] for line in lines] == [False, False, True]
    assert lines[0] == {
        "action": "hold",
        "add": None,
        "where": {"beamline": ["i03", "i04"], "event": ["END"], "detector": ["EIGER"]},
        "owner": "adam",
        "until": 1795620600.0,
        "left": 3.5 * 3600,
        "ended": False,
        "reason": "cluster down",
    }
    assert (lines[1]["action"], lines[1]["add"]) == ("add", "archive-cbfs")
    assert lines[2]["left"] == -2 * 3600


def test_as_configured(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLSTBX_OVERRIDES", str(file))
    assert len(reasons(run("mimas-rules", "--overrides"))) == 3
    assert len(reasons(run("mimas-rules", "--overrides", "--json"))) == 3


def test_filters(file: Path) -> None:
    def left(*arguments: str) -> list[str]:
        return reasons(run("mimas-rules", "--overrides", file, *arguments))

    assert left("--beamline", "i03") == ["cluster down", "commissioning"]
    assert left("--beamline", "I03") == ["cluster down", "commissioning"]
    assert left("--beamline", "i24") == ["commissioning"]
    assert left("--event", "start") == ["commissioning", "archive full"]
    assert left("--detector", "pilatus") == ["commissioning", "archive full"]
    assert left("--detector", "unknown") == ["commissioning", "archive full"]
    assert left("--detector", "eiger", "--beamline", "i04") == [
        "cluster down", "commissioning", "archive full",
    ]  # fmt: skip


def test_a_table(file: Path) -> None:
    out = run("mimas-rules", "--overrides", file, "--table").out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert any("hold beamline i03 or i04, event END, detector EIGER" in row for row in rows)
    assert any("3 h 30 min adam cluster down" in row for row in rows)
    assert any(row.startswith("add archive-cbfs visit cm") for row in rows)
    assert any("ended 2 h 0 min ago eve archive full" in row for row in rows)


def test_nothing_configured(home: Path) -> None:
    outcome = run("mimas-rules", "--overrides")
    assert (outcome.code, outcome.out) == (78, "")
    assert "DLSTBX_OVERRIDES" in outcome.err


def test_a_file_that_is_not_there_or_wrong(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("mimas-rules", "--overrides", "/nowhere.toml").code == 78
    # A site may write it only when it is needed.
    monkeypatch.setenv("DLSTBX_OVERRIDES", "/nowhere.toml")
    outcome = run("mimas-rules", "--overrides")
    assert (outcome.code, outcome.out) == (0, "")
    file.write_text(TEXT.replace('"hold"', '"stop"'))
    outcome = run("mimas-rules", "--overrides", file)
    assert outcome.code == 78
    assert "override 2: action must be one of" in outcome.err


@pytest.mark.parametrize("more", [["--check"], ["--markdown"], ["--rules", "dlstbx-mx"]])
def test_wrong_use(file: Path, more: list[str]) -> None:
    assert run("mimas-rules", "--overrides", file, *more).code == 2
