"""Reading the logbook and the records: whatever else may lie there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.commands import recorded
from dlstbx_cli.recipes.entries import Entries, Entry
from dlstbx_cli.recipes.logbook import Logbook
from dlstbx_cli.services.dispatcher import Dispatched
from dlstbx_cli.services.errors import Unavailable

GUID = "ab345678-1234-1234-1234-123456789abc"
PARENT = "cd345678-1234-1234-1234-123456789abc"
SENDER = {"dlstbx-id": "i", "zocalo.go.user": "gda2", "zocalo.go.host": "i03-control"}


def write(book: Path, guid: str = GUID, body: Any = None, **parameters: Any) -> Path:
    request = {"recipes": ["mimas"], "parameters": {"ispyb_dcid": "5", "guid": guid, **parameters}}
    Logbook(book)(Dispatched(guid, SENDER, body or {"recipes": ["mimas"]}, request, {"1": {}}))
    return book / time.strftime("%Y-%m") / guid[:2] / guid[2:]


def only(book: Path, *guids: str) -> Entry:
    (entry,) = Entries(book).named(guids or [GUID])
    return entry


def test_an_entry_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write(tmp_path)
    os.utime(path, (1000, 1000))
    entry = only(tmp_path)
    assert (entry.guid, entry.time, entry.identity) == (GUID, 1000.0, "i")
    assert (entry.who, entry.parent, entry.recipe) == ("gda2@i03-control", None, "mimas")
    assert (entry.named.dcids, entry.named.jobs) == ({5}, set())


def test_an_entry_of_what_follows_from_another(tmp_path: Path) -> None:
    body = {"environment": {"ID": PARENT}, "payload": {"parameters": {"ispyb_process": 7}}}
    write(tmp_path, body=body, ispyb_process=7)
    entry = only(tmp_path)
    assert (entry.parent, entry.named.jobs) == (PARENT, {7})


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\0", b"Incoming message header:\n{", b"Parsed message body:\n[1]",
     b"Parsed message body:\n" + b"[" * 100_000, b"Parsed message body:"],
    ids=range(6),
)  # fmt: skip
def test_what_is_no_entry_is_passed_over(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, PARENT)
    write(tmp_path).write_bytes(content)
    assert [entry.guid for entry in Entries(tmp_path).named([GUID, PARENT])] == [PARENT]


def test_only_a_guid_names_a_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.rename(path.with_name("secret"))
    month = tmp_path / time.strftime("%Y-%m")
    (month / "..").resolve()
    for name in ("absecret", "../secret", str(path), "ab/secret", ""):
        assert list(Entries(tmp_path).named([name])) == []


def test_only_months_are_looked_into_that_may_have_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.parent.parent.rename(tmp_path / "2020-01")
    (tmp_path / "2020-01.old").mkdir()
    assert only(tmp_path).guid == GUID
    assert list(Entries(tmp_path).named([GUID], since=time.time())) == []


def test_a_collection_is_searched_for_in_a_time(tmp_path: Path) -> None:
    now = time.time()
    write(tmp_path)
    write(tmp_path, PARENT, ispyb_dcid=5)
    write(tmp_path, PARENT.replace("c", "e"), ispyb_dcid=55)
    os.utime(write(tmp_path, PARENT.replace("c", "f")), (now - 7000, now - 7000))
    entries = Entries(tmp_path)

    def found(seconds: float) -> list[str | None]:
        end = time.monotonic() + seconds
        search = entries.of_collection(5, now - 3600, now + 3600, end)
        return [entry.guid if entry else None for entry in search]

    assert sorted(map(str, found(60))) == [GUID, PARENT]
    assert found(-1) == [None]


def test_a_logbook_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nowhere: No such file"):
        Entries(tmp_path / "nowhere")


def record(**more: Any) -> str:
    task = {"recipe": "xia2", "kind": "hold", "rule": "r", "override": None, "parameters": []}
    return json.dumps(
        {"time": 1000.5, "command": "mimas-plan", "dcid": 5, "event": "END", "guid": GUID,
         "scenario": {}, "tasks": [task], "dropped": [], "refused": None, **more}
    )  # fmt: skip


def test_a_record_is_a_plan(tmp_path: Path) -> None:
    (tmp_path / "mimas-2026-11-28.jsonl").write_text(record() + "\n" + record(dcid=55) + "\n")
    (plan,) = recorded.plans(tmp_path, 5, [])
    assert (plan.dcid, plan.guid, plan.time, plan.text) == (5, GUID, 1000.5, "for end: 1 to hold")
    assert [dict(task) for task in plan.tasks] == [
        {"recipe": "xia2", "kind": "hold", "rule": "r", "override": None}
    ]
    assert len(list(recorded.plans(tmp_path, None, [GUID]))) == 2
    assert list(recorded.plans(tmp_path, None, [])) == list(recorded.plans(tmp_path, 6, [])) == []


def test_plans_that_are_refused_or_empty(tmp_path: Path) -> None:
    lines = [record(tasks=[], refused="i03: no"), record(tasks=[]), record(dropped=[{}])]
    (tmp_path / "mimas-2026-11-28.001.jsonl").write_text("\n".join(lines))
    plans = list(recorded.plans(tmp_path, 5, []))
    assert [plan.text for plan in plans] == [
        "refused for end", "for end: nothing to do", "for end: 1 to hold, 1 dropped by overrides",
    ]  # fmt: skip
    assert plans[0].reason == "i03: no"


@pytest.mark.parametrize(
    "line",
    ["", '{"dcid": 5', '{"dcid": 5}', '[{"dcid": 5}]', '"dcid": 5', record(time=None),
     record(tasks=5), record(tasks=[5]), record(guid=[GUID]).replace('"time"', '"x"')],
)  # fmt: skip
def test_what_is_no_record_is_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "mimas-2026-11-28.jsonl").write_text(line + "\n" + record() + "\n")
    (tmp_path / "other.jsonl").write_text(record() + "\n")
    assert len(list(recorded.plans(tmp_path, 5, []))) == 1


def test_older_files_are_not_read(tmp_path: Path) -> None:
    for day in ("2026-11-01", "2026-11-27", "2026-11-28"):
        (tmp_path / f"mimas-{day}.jsonl").write_text(record() + "\n")
    begin = 1795867200  # 2026-11-28 12:00 UTC
    assert len(list(recorded.plans(tmp_path, 5, [], begin))) == 2
    assert len(list(recorded.plans(tmp_path, 5, [], None))) == 3
    with pytest.raises(Unavailable):
        list(recorded.plans(tmp_path / "nowhere", 5, []))
