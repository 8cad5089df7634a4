from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from freezegun import freeze_time

from dlstbx_cli.recipes import logbook
from dlstbx_cli.recipes.logbook import Logbook
from dlstbx_cli.services.dispatcher import Dispatched
from tests.conftest import run

DISPATCHED = Dispatched("ab12-cd", {"h": "v"}, {"recipes": ["x"]}, {"b": 1, "a": "ü"}, {"1": {}})


@freeze_time("2026-11-23")
def test_an_entry(tmp_path: Path) -> None:
    Logbook(tmp_path)(DISPATCHED)
    Logbook(tmp_path)(DISPATCHED)  # handled again
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path == tmp_path / "2026-11" / "ab" / "12-cd"
    sections = path.read_text().split("\n\n")
    assert [section.split(":\n")[0] for section in sections] == [
        "Incoming message header",
        "Incoming message body",
        "Parsed message body",
        "Recipe object",
    ]
    assert json.loads(sections[2].split(":\n", 1)[1]) == {"a": "ü", "b": 1}


@pytest.mark.parametrize("guid", ["", "../..", "//", "ab"])
def test_a_guid_that_names_no_file(
    tmp_path: Path, guid: str, caplog: pytest.LogCaptureFixture
) -> None:
    Logbook(tmp_path)(Dispatched(guid, {}, {}, {}, {}))
    assert not list(tmp_path.iterdir())
    assert len(caplog.records) == 1


def test_a_logbook_that_cannot_be_written_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    Logbook(Path("/proc/nowhere"))(DISPATCHED)
    assert "/proc/nowhere" in caplog.text


def test_what_cannot_be_an_entry_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    Logbook(tmp_path)(Dispatched("ab12-cd", {}, deep, {}, {}))
    Logbook(tmp_path)(Dispatched("ab12-cd", {}, 10**5000, {}, {}))
    (tmp_path / time.strftime("%Y-%m") / "ab" / "34").mkdir()
    Logbook(tmp_path)(Dispatched("ab34", {}, {}, {}, {}))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_logbook_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logbook, "_PATIENCE", 0.2)
    monkeypatch.setattr(logbook, "_write", lambda *_: time.sleep(5))
    begin = time.monotonic()
    Logbook(tmp_path)(DISPATCHED)
    assert time.monotonic() - begin < 2
    assert "does not answer" in caplog.text


def test_the_command_writes_it(home: Path) -> None:
    trigger = run("dlstbx.go", "--stdout", "-r", "mimas", "-s", "event=end", 993677).out
    outcome = run("recipe-dispatch", "--logbook", home / "book", stdin=trigger)
    assert outcome.code == 0
    guid = outcome.lines[0]["message"]["environment"]["ID"]
    path = home / "book" / time.strftime("%Y-%m") / guid[:2] / guid[2:]
    assert '"ispyb_space_group": "P212121"' in path.read_text()
    assert "ispyb_dcid" in path.read_text().split("Parsed message body")[0]
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208  nothing half-written
