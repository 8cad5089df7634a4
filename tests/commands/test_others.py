"""What the smaller commands do beyond the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run, shell


def test_lookup_of_dcids_and_processing_jobs(home: Path) -> None:
    outcome = run("ispyb-lookup", 993677, 993680)
    assert [one["ispyb_dcid"] for one in outcome.lines] == [993677, 993680]
    assert outcome.lines[0]["ispyb_space_group"] == "P212121"
    run("ispyb-create-job", "--dcid", 993677, "--recipe", "x", "--add-param", "d_min:1.8")
    (job,) = run("ispyb-lookup", "--processing-job", 1).lines
    assert job["ispyb_processing_parameters"] == {"d_min": ["1.8"]}
    assert job["ispyb_dcid"] == 993677


def test_lookup_reads_stdin_and_goes_on_after_an_unknown_dcid(home: Path) -> None:
    outcome = run("ispyb-lookup", stdin="993677\n\n1\nx\n993680")
    assert outcome.code == 1
    assert [one["ispyb_dcid"] for one in outcome.lines] == [993677, 993680]
    assert "line 3" in outcome.err
    assert "line 4" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dcid", 993677],
        ["--recipe", "x"],
        ["--new"],
        ["--recipe", "x", "--dcid", 0],
        ["--recipe", "x", "--dcid", 1, "--add-sweep", "1:2"],
        ["--recipe", "x", "--dcid", 1, "--add-param", "x"],
        ["--recipe", "x", "--dcid", 1, "--trigger-variable", ":x"],
        ["--recipe", "x", "--dcid", 1, "--once"],
    ],
)
def test_a_job_that_is_none(home: Path, arguments: list[Any]) -> None:
    outcome = run("ispyb-create-job", *arguments)
    assert (outcome.code, outcome.out) == (2, "")


def test_a_job_by_options(home: Path) -> None:
    outcome = run(
        "ispyb-create-job", "--dcid=993677", "--recipe=x", "--add-sweep=993677:1:90",
        "--add-param=a:b:c", "--display=my job", "--trigger", "--trigger-variable=k:v",
    )  # fmt: skip
    (line,) = outcome.lines
    assert line["queue"] == "processing_recipe"
    assert line["message"] == {"parameters": {"k": "v", "ispyb_process": 1}}
    (job,) = run("dlstbx-demo", "--jobs").lines
    assert job["displayname"] == "my job"
    assert job["automatic"] is False


def test_an_unknown_collection_is_rejected(home: Path) -> None:
    outcome = run("ispyb-create-job", "--dcid=1", "--recipe=x")
    assert outcome.code == 1
    assert outcome.lines[0]["queue"] == "dlq.ispyb_connector"
    assert "DCID 1" in outcome.err


def put(*lines: Any) -> None:
    assert run("queue-put", stdin="\n".join(json.dumps(line) for line in lines)).code == 0


def test_queue_get_takes_or_peeks(home: Path) -> None:
    put(*[{"queue": "q", "message": number} for number in range(5)])
    assert [line["message"] for line in run("queue-get", "--peek", "--max", 2, "q").lines] == [0, 1]
    assert [line["message"] for line in run("queue-get", "--max", 2, "q").lines] == [0, 1]
    assert [line["message"] for line in run("queue-get", "q").lines] == [2, 3, 4]
    assert run("queue-get", "q").lines == []


def test_what_goes_in_comes_out(home: Path) -> None:
    line = {"queue": "q", "message": {"ä": ["\ud800", "\u0000", 1.5, None]}, "headers": {"h": "v"}}
    put({**line, "note": "not sent"})
    (back,) = run("queue-get", "q").lines
    assert back["message"] == line["message"]
    assert back["headers"]["h"] == "v"
    assert back["headers"]["dlstbx-id"]
    assert "note" not in back


def test_queue_get_stops_taking_when_nobody_reads(home: Path) -> None:
    put(*[{"queue": "q", "message": "x" * 5000} for _ in range(200)])
    outcome = shell("queue-get q | head -n 1; echo ${PIPESTATUS[0]}")
    assert outcome.out.endswith("\n0\n")
    assert "Traceback" not in outcome.err
    (state,) = run("queue-ls").lines
    assert 100 < state["ready"] < 200  # what was written is taken, the rest still there


def test_queue_ls_for_people(home: Path) -> None:
    put({"queue": "q", "message": 1}, {"queue": "q", "message": 2, "delay": 100})
    outcome = run("queue-ls", "--table")
    assert "queue" in outcome.out
    assert "delayed" in outcome.out
    (row,) = [line.split() for line in outcome.out.splitlines() if line.split()[:1] == ["q"]]
    assert row[:4] == ["q", "1", "0", "1"]


def test_the_demo_facility_is_believable(home: Path) -> None:
    found = run("dlstbx-demo").lines
    assert len(found) >= 60
    assert {one["beamline"] for one in found} == {
        "i03", "i04", "i24", "i19-2", "i02-2", "i15", "i02-1",
    }  # fmt: skip
    assert len({one["visit"] for one in found}) >= 12
    assert "cdk2_x014" in run("dlstbx-demo", "--table").out


def test_the_demo_is_never_made_in_another_database(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLSTBX_ISPYB", "mysql://user:secret@localhost/ispyb")
    outcome = run("dlstbx-demo")
    assert outcome.code == 78
    assert "secret" not in outcome.err


@pytest.mark.parametrize("command", ["recipe-dispatch", "ispyb-lookup"])
def test_falling_back_on_the_embedded_default_is_said_once(home: Path, command: str) -> None:
    outcome = run(command)
    assert outcome.err.count("using the embedded one") == 1


def test_logs_as_json_lines(home: Path) -> None:
    bad = {"queue": "mimas", "message": {"dcid": "x"}, "headers": {"h": "v"}}
    outcome = run("mimas-plan", "--log-format", "json", stdin=json.dumps(bad))
    (record,) = [json.loads(line) for line in outcome.err.splitlines()]
    assert record["command"] == "mimas-plan"
    assert record["action"] == "reject"
    assert record["level"] == "error"
    assert record["place"] == "line 1"


def test_a_look_up_explained(home: Path) -> None:
    outcome = run("ispyb-lookup", "--explain", 993677)
    assert outcome.code == 0
    rows = {line.split()[0]: line for line in outcome.out.splitlines() if "ispyb_" in line}
    assert "Crystal.spaceGroup" in rows["ispyb_space_group"]
    assert "P212121" in rows["ispyb_space_group"]
    assert "columns known" in rows["ispyb_dc_info"]
    (explained,) = run("ispyb-lookup", "--explain", "--json", 993677).lines
    (plain,) = run("ispyb-lookup", 993677).lines
    assert explained.keys() == plain.keys()
    assert explained["ispyb_image_first"] == {
        "value": 1,
        "from": "DataCollection.startImageNumber",
    }
    assert run("ispyb-lookup", "--json", 993677).code == 2
