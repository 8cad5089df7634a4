"""``mimas-trace`` after a real chain on the embedded default: every stage as its command."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome, run, shell

DCID = 993677
NOBODY = "12345678-1234-1234-1234-123456789abc"


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose services write a logbook and records."""
    monkeypatch.setenv("DLSTBX_LOGBOOK", str(home / "book"))
    monkeypatch.setenv("DLSTBX_RECORDS", str(home / "records"))
    return home


def once(name: str, *arguments: str) -> None:
    outcome = run(name, "--once", *arguments)
    assert outcome.code == 0, outcome.err


def plan(home: Path, dcid: int = DCID) -> None:
    assert run("dlstbx.go", "-r", "mimas", "-s", "event=end", dcid).code == 0
    once("recipe-dispatch")
    once("mimas-plan", "--record", str(home / "records"))


@pytest.fixture
def chain(site: Path) -> Path:
    """The whole way of one collection: 11 jobs, 3 of them still held."""
    plan(site)
    once("ispyb-create-job")
    once("backlog-release", "--capacity", "slurm=5")
    once("recipe-dispatch")
    return site


def trace(*arguments: str | int) -> list[Any]:
    outcome = run("mimas-trace", *arguments)
    assert outcome.code == 0, outcome.err
    return outcome.lines


def stages(lines: list[Any], job: int | None = None) -> list[str]:
    return [
        line["stage"] for line in lines if "stage" in line and (job is None or line["job"] == job)
    ]


def verdict(lines: list[Any]) -> str:
    text = lines[-1]["verdict"]
    assert isinstance(text, str)
    return text


def unavailable(lines: list[Any]) -> dict[str, str]:
    return {line["source"]: line["unavailable"] for line in lines if "unavailable" in line}


def answers(outcome: Outcome) -> dict[str, str]:
    """Return what a source that was not asked is named with on stderr."""
    prefix = "mimas-trace: "
    said = [line.removeprefix(prefix) for line in outcome.err.splitlines()]
    return dict(line.split(": not asked: ", 1) for line in said if ": not asked: " in line)


def test_the_whole_way(chain: Path) -> None:
    lines = trace(DCID)
    assert unavailable(lines) == {}
    found = stages(lines)
    assert found[:5] == ["collected", "collected", "triggered", "looked-up", "planned"]
    assert {stage: found.count(stage) for stage in dict.fromkeys(found)} == {
        "collected": 2, "triggered": 1, "looked-up": 1, "planned": 1, "created": 11, "held": 8,
        "released": 5, "started": 13, "waiting": 13,
    }  # fmt: skip
    assert {line["dcid"] for line in lines if "stage" in line} == {DCID}
    assert lines[-1]["state"] == "held"
    assert lines[-1]["jobs"] == {"waiting": 8, "held": 3}
    first = min(
        (line["id"] for line in lines if line.get("stage") == "held" and line["reason"]), key=int
    )
    assert verdict(lines).startswith(
        "3 of 11 jobs are held: cluster slurm: there is no statistic yet"
        f" (backlog-show {first}); 13 messages wait in the queue demo.processing"
    )
    assert run("backlog-show", first).code == 0


def test_who_triggered_and_what_was_planned(chain: Path) -> None:
    lines = trace(DCID)
    (triggered,) = (line for line in lines if line.get("stage") == "triggered")
    assert triggered["who"].endswith(f"@{os.uname().nodename}")
    assert triggered["time"] is None
    assert triggered["latest"] > 1.7e9
    (planned,) = (line for line in lines if line.get("stage") == "planned")
    assert planned["guid"] == triggered["guid"]
    kinds = [task["kind"] for task in planned["tasks"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {"run": 5, "start": 3, "hold": 8}
    assert all(task["rule"] for task in planned["tasks"])


def test_one_job(chain: Path) -> None:
    lines = trace("--job", 6)
    assert stages(lines) == [
        *("collected", "collected", "triggered", "looked-up", "planned"),
        *("created", "held", "released", "started", "waiting"),
    ]
    assert verdict(lines) == "1 message waits in the queue demo.processing (queue-ls)"
    assert trace(6) == lines  # no collection has this number
    (started,) = (line for line in lines if line.get("stage") == "started")
    assert trace(started["guid"])[:-1] == lines[:-1]


def test_a_job_that_starts_at_once(chain: Path) -> None:
    assert stages(trace("--job", 1)) == [
        *("collected", "collected", "triggered", "looked-up", "planned"),
        *("created", "started", "waiting"),
    ]


def test_one_request(chain: Path) -> None:
    """Of two triggers of a collection, the one that is asked for."""
    lines = trace(DCID)
    (guid,) = {line["guid"] for line in lines if line.get("stage") == "planned"}
    plan(chain)
    once("ispyb-create-job")
    assert stages(trace(DCID)).count("planned") == 2
    assert stages(trace(DCID)).count("created") == 22
    again = trace(guid)
    assert sorted(map(json.dumps, again[:-1])) == sorted(map(json.dumps, lines[:-1]))
    assert trace(guid.upper()) == again


def test_without_a_logbook(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DLSTBX_LOGBOOK")
    outcome = run("mimas-trace", DCID)
    assert answers(outcome).keys() == {"logbook"}
    assert "--logbook" in unavailable(outcome.lines)["logbook"]
    found = stages(outcome.lines)
    assert "triggered" not in found
    assert found.count("created") == 11
    assert outcome.lines[-1]["jobs"]["held"] == 3


def test_without_records_the_logbook_is_searched(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DLSTBX_RECORDS")
    # Nobody who could name the request knows of it.
    (chain / "state.sqlite3").unlink()
    with sqlite3.connect(chain / "ispyb.sqlite3") as ispyb:
        ispyb.execute(
            "UPDATE DataCollection SET startTime = datetime('now', 'localtime', '-1 minute')"
        )
    lines = trace(DCID)
    assert unavailable(lines).keys() == {"records"}
    found = stages(lines)
    assert (found.count("triggered"), found.count("started")) == (1, 13)


def test_a_directory_that_is_not_there(chain: Path) -> None:
    lines = trace("--logbook", f"{chain}/nowhere", "--record", f"{chain}/nothing", DCID)
    assert {name: str(chain) in why for name, why in unavailable(lines).items()} == {
        "logbook": True,
        "records": True,
    }


def test_without_ispyb(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLSTBX_ISPYB", "mysql://nobody@127.0.0.1:1/ispyb")
    outcome = run("mimas-trace", DCID)
    assert outcome.code == 0
    assert answers(outcome).keys() == {"ISPyB"}
    assert "taken for a DCID" in outcome.err
    found = stages(outcome.lines)
    assert {"triggered", "planned", "held", "started", "waiting"} <= set(found)
    assert not {"collected", "created"} & set(found)
    assert stages(trace("--job", 6)) == [
        *("triggered", "looked-up", "planned", "held", "released", "started", "waiting"),
    ]


def test_without_a_state_store(chain: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no database " * 100)
    lines = trace("--state", f"sqlite:///{tmp_path}/text", DCID)
    assert unavailable(lines).keys() == {"state"}
    assert "held" not in stages(lines)
    assert stages(lines).count("created") == 11


def test_without_a_broker(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLSTBX_BROKER", "stomp://localhost:1/")
    lines = trace(DCID)
    assert unavailable(lines).keys() == {"broker"}
    assert "waiting" not in stages(lines)
    assert lines[-1]["jobs"] == {"started": 8, "held": 3}


def test_nobody_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLSTBX_BROKER", "stomp://localhost:1/")
    monkeypatch.setenv("DLSTBX_ISPYB", "mysql://nobody@127.0.0.1:1/ispyb")
    monkeypatch.setenv("DLSTBX_STATE", "mysql://nobody@127.0.0.1:1/state")
    outcome = run("mimas-trace", DCID)
    assert outcome.code == 75
    assert stages(outcome.lines) == []
    assert unavailable(outcome.lines).keys() == {"ISPyB", "state", "records", "logbook", "broker"}
