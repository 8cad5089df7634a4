"""``--log-format json``: every record says which collection it is about."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMANDS, Outcome, run, shell, start

JSON = ("--log-format", "json")
TRIGGER = "dlstbx.go --stdout -r mimas -s event=end 993677"


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test the demo facility, and its directory."""
    monkeypatch.chdir(home)


def records(text: str) -> list[dict[str, Any]]:
    """Return the records of a log; whatever is no record fails the test."""
    return [json.loads(line) for line in text.splitlines()]


def told(outcome: Outcome, command: str) -> list[dict[str, Any]]:
    """Return what a command has logged of messages."""
    found = [one for one in records(outcome.err) if one["command"] == command]
    assert found
    return [one for one in found if "action" in one]


def test_a_collection_can_be_followed_through_the_pipe() -> None:
    stages = ("recipe-dispatch", "mimas-plan", "ispyb-create-job")
    pipe = " | ".join(f"{stage} -v --log-format json" for stage in stages)
    outcome = shell(f"{TRIGGER} | {pipe} > out")
    assert outcome.code == 0
    for stage in stages:
        handled = told(outcome, stage)
        assert handled
        for record in handled:
            assert record["action"] == "handle"
            assert record["dcid"] == 993677
            assert record["place"].startswith("line ")
            assert record["id"]
    ids = {record["recipe_id"] for record in told(outcome, "mimas-plan")}
    assert len(ids) == 1
    jobs = told(outcome, "ispyb-create-job")
    assert len(jobs) == 11
    assert {record["guid"] for record in jobs} == ids
    assert {record["rule"] for record in jobs} == {"rotation-end"}
    assert {record["queue"] for record in jobs} == {"ispyb_connector"}
    assert "autoprocessing-fast-dp-eiger" in {record["recipe"] for record in jobs}
    (first,) = told(outcome, "recipe-dispatch")
    assert first["recipe"] == "mimas"


@pytest.fixture
def odd_visit(tmp_path: Path, home: Path) -> Path:
    """A file that is none beside the images of 993677; the visit is the fifth name."""
    images = tmp_path / "mx37124-8" / "CDK2" / "run1"
    images.mkdir(parents=True)
    file = images.parents[1] / "processing" / "run1.yml"
    file.mkdir(parents=True)
    with closing(sqlite3.connect(home / "ispyb.sqlite3")) as ispyb, ispyb:
        statement = "UPDATE DataCollection SET imageDirectory = ? WHERE dataCollectionId = 993677"
        ispyb.execute(statement, [f"{images}/"])
        ispyb.execute("UPDATE Crystal SET spaceGroup = NULL")
    return file


def test_what_no_call_says_itself_is_said(odd_visit: Path) -> None:
    """A warning from deep inside a look-up, of a thread that knows nothing of messages."""
    outcome = shell(f"{TRIGGER} | recipe-dispatch --log-format json > out")
    assert outcome.code == 0
    (record,) = [one for one in told(outcome, "recipe-dispatch") if one["action"] == "look up"]
    assert record["path"] == str(odd_visit)
    assert (record["dcid"], record["recipe"]) == (993677, "mimas")
    assert record["place"] == "line 1"
    (again,) = [one for one in records(run("ispyb-lookup", *JSON, 993677).err) if "action" in one]
    assert (again["dcid"], again["place"]) == (993677, "argument 1")


def test_services_on_a_broker(odd_visit: Path, processes: list[Any]) -> None:
    stages = ("recipe-dispatch", "mimas-plan", "ispyb-create-job")
    for stage in stages:
        processes.append(start(stage, "--listen", "-v", *JSON))
    said = run("dlstbx.go", *JSON, "-r", "mimas", "-s", "event=end", 993677)
    (sent, *_) = [one for one in records(said.err) if "sent" in one["message"]]
    assert (sent["dcid"], sent["recipe"]) == (993677, "mimas")
    bad = {"queue": "ispyb_connector", "message": {"content": {"DCID": 4, "recipe": "x"}}}
    run("queue-put", stdin=json.dumps(bad))
    wait_for({"mimas.held": 4, "dlq.ispyb_connector": 1})
    logs = {stage: ended(process) for stage, process in zip(stages, processes, strict=True)}
    followed = [one for log in logs.values() for one in log if one.get("dcid") == 993677]
    assert {one["command"] for one in followed} == set(stages)
    warnings = [one for one in logs["recipe-dispatch"] if one.get("action") == "look up"]
    assert {one["queue"] for one in warnings} == {"processing_recipe"}
    # Requests for jobs name no collection and no recipe: it is the look-up that finds these.
    assert {one["dcid"] for one in warnings} == {993677}
    assert {"mimas", "ispyb-autoprocessing-fast-dp-eiger"} <= {one["recipe"] for one in warnings}
    (whole,) = {one["guid"] for one in followed if one["command"] == "ispyb-create-job"}
    (first, *_) = [one for one in logs["recipe-dispatch"] if one.get("action") == "handle"]
    assert (first["recipe"], first["guid"], first["recipe_id"]) == ("mimas", whole, whole)
    done = [one for one in logs["ispyb-create-job"] if one.get("action") == "handle"]
    assert {one["rule"] for one in done} == {"rotation-end"}
    started = [one for one in logs["recipe-dispatch"] if one.get("recipe", "").startswith("ispyb-")]
    assert {one.get("rule") for one in started} == {"rotation-end"}
    (refused,) = [one for one in logs["ispyb-create-job"] if one.get("action") == "reject"]
    assert (refused["dcid"], refused["recipe"], refused["level"]) == (4, "x", "error")


def wait_for(depths: dict[str, int]) -> None:
    """Wait until queues have so many messages."""
    end = time.monotonic() + 30
    while True:
        ready = {one["queue"]: one["ready"] for one in run("queue-ls").lines}
        if depths.items() <= ready.items():
            return
        assert time.monotonic() < end, ready
        time.sleep(0.1)


def ended(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """Tell a service to stop; return what it has logged."""
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    return records(err.decode())


def test_a_rule_that_refuses_a_scenario() -> None:
    scenario = {"dcid": 5, "event": "end", "beamline": "i19-2", "sweep_list": [],
                "detectorclass": "eiger", "dc_class": "serial_fixed"}  # fmt: skip
    (record,) = told(run("mimas-plan", *JSON, stdin=json.dumps(scenario)), "mimas-plan")
    assert (record["action"], record["dcid"]) == ("reject", 5)
    assert record["rule"] == "i19-eiger-serial-end"


def test_jobs_that_are_released(home: Path) -> None:
    assert shell(f"{TRIGGER} | recipe-dispatch | mimas-plan | ispyb-create-job --send").code == 0
    outcome = run("backlog-release", "--once", "-v", *JSON, "--capacity", "slurm=2")
    released = [one for one in told(outcome, "backlog-release") if one["action"] == "release"]
    assert len(released) == 2
    for record in released:
        assert record["dcid"] == 993677
        assert record["recipe"].startswith("autoprocessing-")
        assert len(record["guid"]) == 36
        assert record["rule"] == "rotation-end"


def test_a_broken_line_is_about_what_can_be_read() -> None:
    line = json.dumps({"queue": "mimas", "message": {"dcid": 7}, "headers": 5})
    (record,) = told(run("mimas-plan", *JSON, stdin=line), "mimas-plan")
    assert (record["place"], record["queue"], record["dcid"]) == ("line 1", "mimas", 7)


@pytest.mark.parametrize("command", COMMANDS)
def test_how_a_command_ends_is_a_record(command: str) -> None:
    outcome = run(command, *JSON, "--no-such-option")
    (record,) = records(outcome.err)
    assert (outcome.code, record["command"], record["level"]) == (2, command, "error")
    assert "--no-such-option" in record["message"]


def test_a_surrounding_that_fails_is_a_record(home: Path) -> None:
    (home / "ispyb.sqlite3").write_text("this is no database, but a text that is long " * 50)
    outcome = shell(f"{TRIGGER} | recipe-dispatch --log-format=json")
    assert outcome.code in (75, 78)
    assert [one["level"] for one in records(outcome.err)][-1] in ("error", "warning")


def test_a_bug_is_a_record_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr("dlstbx_cli.transport.broker.connect", broken)
    for more, whole in (([], False), (["-vv"], True)):
        *_, record = records(run("queue-ls", *JSON, *more).err)
        assert "internal error: RuntimeError: a bug" in record["message"]
        assert ("Traceback" in record.get("traceback", "")) is whole


def test_logs_for_people_are_as_before() -> None:
    outcome = run("mimas-plan", stdin='{"dcid": 5, "event": "never"}')
    assert outcome.err == (
        "mimas-plan: line 1: event must be one of start, end, start_group, end_group, not 'never'\n"
    )


def test_the_time_of_a_record_can_be_read_anywhere() -> None:
    (record, *_) = records(shell("echo 5 | mimas-plan --log-format json", TZ="Asia/Tokyo").err)
    assert record["time"].endswith("+09:00")
    assert abs(datetime.fromisoformat(record["time"]).timestamp() - time.time()) < 60
