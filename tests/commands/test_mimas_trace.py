"""``mimas-trace`` after a real chain on the embedded default: every stage as its command."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dlstbx_cli.commands.mimas_trace import _row
from dlstbx_cli.commands.trees import print_table
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.tracing import Event
from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.concerned import MOST
from tests.conftest import Outcome, make_dead_letters, run

DCID = 993677
NOBODY = "12345678-1234-1234-1234-123456789abc"


@pytest.fixture
def site(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose services write a logbook and records."""
    for variable, name in (("DLSTBX_LOGBOOK", "book"), ("DLSTBX_RECORDS", "records")):
        (home / name).mkdir()
        monkeypatch.setenv(variable, str(home / name))
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


def test_a_job_that_waits_to_be_looked_up(site: Path) -> None:
    """Of two triggers, it is the one that its job was made for."""
    for _ in range(2):
        plan(site)
    once("ispyb-create-job")
    first = {line["guid"] for line in trace("--job", 1) if line.get("stage") == "triggered"}
    other = {line["guid"] for line in trace("--job", 12) if line.get("stage") == "triggered"}
    assert len(first) == len(other) == len(first ^ other) - 1 == 1
    for job in (1, 12):
        lines = trace("--job", job)
        assert stages(lines) == [
            *("collected", "collected", "triggered", "looked-up", "planned", "created", "waiting"),
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


def test_what_is_not_known(site: Path) -> None:
    for what in (404, NOBODY, "--job=404", "--dcid=404"):
        arguments = str(what).split("=")
        outcome = run("mimas-trace", *arguments)
        assert outcome.code == 1, what
        (line,) = outcome.lines
        assert line["verdict"].startswith("nothing is known of ")
        assert line["verdict"] in outcome.err


def test_nothing_was_triggered(site: Path) -> None:
    before = sorted(site.rglob("*.sqlite3"))
    lines = trace(DCID)
    assert sorted(site.rglob("*.sqlite3")) == before  # who looks makes nothing
    assert stages(lines) == ["collected", "collected"]
    assert verdict(lines) == f"no trigger is known of DCID {DCID}"
    # What could have known of one must have been asked for this to mean anything.
    (site / "book").rmdir()
    assert verdict(trace(DCID)) == f"no trigger is known of DCID {DCID} (not asked: logbook)"


def test_a_trigger_waits(site: Path) -> None:
    run("dlstbx.go", "-r", "mimas", "-s", "event=end", DCID)
    lines = trace(DCID)
    assert stages(lines)[-1] == "waiting"
    assert verdict(lines) == "1 message waits in the queue processing_recipe (queue-ls)"


def test_a_trigger_behind_more_than_is_looked_at(site: Path) -> None:
    with closing(connect(f"sqlite:///{site}/queue.sqlite3")) as broker:
        broker.send([Message(Queue("processing_recipe"), 1)] * MOST)
    assert run("dlstbx.go", "-r", "mimas", "-s", "event=end", DCID).code == 0
    lines = trace(DCID)
    assert verdict(lines) == f"no trigger is known of DCID {DCID} (not asked: queues)"
    assert unavailable(lines)["queues"].endswith("first 10000 messages of processing_recipe")


def test_a_request_waits_for_its_run_status(site: Path) -> None:
    with sqlite3.connect(site / "ispyb.sqlite3") as ispyb:
        ispyb.execute("UPDATE DataCollection SET runStatus = NULL, endTime = NULL")
    run("dlstbx.go", "-r", "mimas", "-s", "event=end", "-s", "ispyb_wait_for_runstatus=1", DCID)
    assert run("recipe-dispatch", "--once").code == 0
    lines = trace(DCID)
    assert stages(lines) == ["collected", "waiting"]
    assert "due in" in lines[1]["text"]


def test_a_trigger_is_stored(site: Path) -> None:
    run("dlstbx.go", "--drop", "-r", "mimas", "-s", "event=end", DCID)
    lines = trace(DCID)
    assert stages(lines)[-1] == "stored"
    assert verdict(lines) == "a trigger is stored, not sent: run dlstbx.pickup"
    assert trace("--drop-dir", site / "drop", DCID) == lines
    assert stages(trace("--drop-dir", site / "elsewhere", DCID)) == ["collected", "collected"]


def test_the_dispatcher_rejects_it(site: Path) -> None:
    make_dead_letters()
    lines = trace(404)
    assert stages(lines) == ["dead"]
    assert (lines[0]["id"], lines[0]["queue"]) == ("bbb-3", "dlq.processing_recipe")
    assert verdict(lines) == "dead letter: DCID 404 is not in ISPyB (dlq-show bbb-3)"
    # The dead letter of another collection is not this one's.
    assert stages(trace(DCID)) == ["collected", "collected"]


def test_a_job_that_is_dead(chain: Path) -> None:
    """The recipe of a job is not there: so it was released, and nothing came of it."""
    again = {
        "queue": "processing_recipe",
        "headers": {"dlstbx-id": "job-7-again"},
        "message": {"recipes": ["no-such-recipe"], "parameters": {"ispyb_process": 7}},
    }
    assert run("recipe-dispatch", "--send", stdin=json.dumps(again)).code == 1
    lines = trace("--job", 7)
    assert stages(lines)[-2:] == ["waiting", "dead"] or stages(lines)[-2:] == ["dead", "waiting"]
    assert lines[-1]["state"] == "dead"
    assert lines[-1]["jobs"] == {"dead": 1}
    assert verdict(lines).startswith("dead letter: there is no recipe 'no-such-recipe' in ")
    assert "(dlq-show job-7-ag)" in verdict(lines)
    assert "dead" not in stages(trace("--job", 6))
    assert lines[-1]["state"] == trace(DCID)[-1]["state"] == "dead"


def test_the_rules_refuse_it(site: Path) -> None:
    scenario = {"dcid": DCID, "event": "ende", "beamline": "i03"}
    assert run("mimas-plan", "--send", stdin=json.dumps(scenario)).code == 1
    lines = trace(DCID)
    assert stages(lines)[-1] == "dead"
    assert "event must be one of" in verdict(lines)


def test_why_it_is_held(chain: Path) -> None:
    statistic = {
        "topic": "transient.statistics.cluster",
        "message": {"statistic-group": "cluster", "statistic": "job-states", "PENDING": 60,
                    "statistic-cluster": "slurm", "statistic-timestamp": time.time()},
    }  # fmt: skip
    assert run("backlog-release", "--once", stdin=json.dumps(statistic)).code == 0
    why = "65 jobs wait (5 of them just released), its limit is 60"
    assert f"3 of 11 jobs are held: cluster slurm: {why}" in verdict(trace(DCID))
    assert "its limit is 20" in verdict(trace("--limit", "slurm=20", DCID))
    run("backlog-hold", "i03", "--until", "2h", "--reason", "detector tests")
    assert "3 of 11 jobs are held: beamline i03 is paused: detector tests" in verdict(trace(DCID))


def test_released_and_cancelled_by_hand(chain: Path) -> None:
    first, second, third = (
        line["id"] for line in trace(DCID) if line.get("stage") == "held" and line["reason"]
    )
    assert run("backlog-cancel", first, "--reason", "a bad crystal").code == 0
    assert run("backlog-now", second).code == 0
    lines = trace(DCID)
    (cancelled,) = (line for line in lines if line.get("stage") == "cancelled")
    assert (cancelled["id"], cancelled["reason"]) == (first, "a bad crystal")
    assert cancelled["who"]
    by_hand = [line for line in lines if line.get("stage") == "released" and line["who"]]
    assert [line["id"] for line in by_hand] == [second]
    assert (
        "1 of 11 jobs is held: cluster slurm: there is no statistic yet"
        f" (backlog-show {third}); 1 of 11 jobs is cancelled by {cancelled['who']}: a bad crystal"
    ) in verdict(lines)


def program(home: Path, job: int, status: int | None, message: str = "") -> None:
    """Write what a program reports of a job, as Zocalo's wrappers do."""
    with sqlite3.connect(home / "ispyb.sqlite3") as ispyb:
        ispyb.execute(
            "INSERT INTO AutoProcProgram (processingPrograms, processingStatus, processingMessage,"
            " processingStartTime, processingEndTime, recordTimeStamp, processingJobId)"
            " VALUES ('xia2', ?, ?, ?, ?, ?, ?)",
            [status, message, "2026-12-01 10:00:00.000000",
             None if status is None else "2026-12-01 10:05:00.000000",
             "2026-12-01 10:00:00.000000", job],
        )  # fmt: skip


def test_what_the_programs_report(chain: Path) -> None:
    assert run("queue-get", "demo.processing").code == 0
    program(chain, 1, 1, "processing successful")
    program(chain, 2, 0, "processing failure")
    program(chain, 3, None)
    lines = trace(DCID)
    assert lines[-1]["jobs"] == {
        "succeeded": 1, "failed": 1, "running": 1, "held": 3, "started": 5,
    }  # fmt: skip
    assert "1 of 11 jobs failed, job 2: processing failure" in verdict(lines)
    assert verdict(lines).endswith("1 of 11 jobs is running")
    assert stages(lines, job=1)[-2:] == ["began", "succeeded"]
    assert verdict(trace("--job", 1)) == "the job is done"
    assert verdict(trace("--job", 3)) == "the job is running"
    assert verdict(trace("--job", 4)) == "the job is on the way and has reported nothing yet"


def test_a_number_that_is_both(chain: Path) -> None:
    with sqlite3.connect(chain / "ispyb.sqlite3") as ispyb:
        ispyb.execute(
            "UPDATE DataCollection SET dataCollectionId = 5 WHERE dataCollectionId = 993700"
        )
    outcome = run("mimas-trace", 5)
    assert "5 is a DCID and a JOBID" in outcome.err
    assert {line["dcid"] for line in outcome.lines if "stage" in line} == {5}
    for flag, wanted in (("--dcid", {5}), ("--job", {DCID})):
        outcome = run("mimas-trace", flag, 5)
        assert "JOBID" not in outcome.err
        assert {line["dcid"] for line in outcome.lines if "stage" in line} == wanted


@pytest.mark.parametrize(
    "arguments",
    [
        ["../../etc/passwd"], ["12345678-1234-1234-1234-12345678"], ["x"], [""], ["0"], ["-5"],
        ["9" * 5000], ["\u0665"], ["12345678-1234-1234-1234-123456789ab/"], ["--job", NOBODY],
        ["--dcid", NOBODY], ["--dcid", "--job", "5"], ["--table", "--json", "5"], [], ["1", "2"],
    ],
)  # fmt: skip
def test_what_is_no_id(site: Path, arguments: list[str]) -> None:
    outcome = run("mimas-trace", *arguments)
    assert (outcome.code, outcome.out) == (2, "")


def test_an_id_from_a_message_never_becomes_a_path(chain: Path) -> None:
    """A record that names a request as nobody may: it is no file of the logbook's."""
    month = next((chain / "book").iterdir())
    entry = next(month.glob("??/*"))
    (month / "secret").write_text(entry.read_text().replace("mimas", "stolen"))
    (path,) = (chain / "records").iterdir()
    record = json.loads(path.read_text())
    record["guid"] = "../secret"
    path.write_text(json.dumps(record) + "\n")
    assert "stolen" not in json.dumps(trace(DCID))


def test_what_people_see(chain: Path) -> None:
    outcome = run("mimas-trace", "--table", DCID)
    assert outcome.out.rstrip().splitlines()[-1].startswith(f"DCID {DCID}: 3 of 11 jobs are held: ")
    assert "autoprocessing-fast-dp-eiger" in outcome.out
    assert "or before" in outcome.out  # nobody wrote down when it was triggered
    assert run("mimas-trace", "--json", DCID).out == run("mimas-trace", DCID).out


def test_what_hostile_messages_show_to_people(site: Path) -> None:
    reason = "[/red] :100: \x1b[2J\r\n\x9b31m " + "x" * 100_000
    headers = {"dlstbx-error": reason, "dlstbx-rejected-by": reason, "dlstbx-id": "[/b]\x1b[31m"}
    bodies = [{"dcid": DCID, "recipe": reason}, {"dcid": DCID}]
    times = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
    for body, when in zip(bodies, times, strict=True):
        line = {"queue": "dlq.mimas", "message": body,
                "headers": {**headers, "dlstbx-rejected-at": when}}  # fmt: skip
        assert run("queue-put", stdin=json.dumps(line)).code == 0
        headers["dlstbx-id"] += "2"
    outcome = run("mimas-trace", "--table", DCID)
    assert outcome.code == 0, outcome.err
    assert outcome.out.replace("\n", "").isprintable()
    assert r"[/red] :100: \x1b[2J" in outcome.out
    assert len(outcome.out) < 10_000
    # Programs get it whole.
    dead = [line for line in trace(DCID) if line.get("stage") == "dead"]
    assert [line["reason"] for line in dead] == [reason, reason]


def test_a_narrow_terminal_hides_nothing() -> None:
    event = Event("created", "ISPyB", "by hand", 1.7e9, job=5, recipe="recipe-" + "0123456789" * 5)
    console = Console(width=80)
    with console.capture() as capture:
        print_table(["when", "what", "job", "recipe", "details"], [_row(event)], console)
    assert "…" not in capture.get()
    assert max(map(len, capture.get().splitlines())) <= 80
