"""What lines say of plans: of all the forms in which mimas-plan writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dlstbx_cli.services.difference import Place, Planned, Task
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.planned import plan_of

END = Place(5, "END")
NOTES = {"rule": "r", "event": "END", "beamline": "i03"}
JOB = {
    "DCID": 5, "recipe": "dials", "autostart": False, "source": "automatic", "comment": "",
    "displayname": "d", "parameters": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
    "sweeps": [{"DCID": 5, "start": 1, "end": 9}],
    "triggervariables": [{"key": "statistic-cluster", "value": "iris"}],
}  # fmt: skip
FIELDS = {
    "autostart": False, "source": "automatic", "comment": "", "displayname": "d",
    "parameters.a": "1", "parameters.b": "2", "sweeps": [{"DCID": 5, "start": 1, "end": 9}],
    "triggervariables.statistic-cluster": "iris",
}  # fmt: skip
WANTED = Task.of(END, "job", "dials", FIELDS, rule="r", beamline="i03")
COMMAND = {"ispyb_command": "create_ispyb_job"}


def wrapped(payload: Any) -> dict[str, Any]:
    return {"environment": {}, "payload": payload, "recipe": {}, "recipe-pointer": 3}


def line(message: Any, queue: str = "ispyb_connector", **more: Any) -> dict[str, Any]:
    return {"queue": queue, "message": message, **NOTES, **more}


def explained_task(**more: Any) -> dict[str, Any]:
    origin = [{**one, "origin": "SYM"} for one in JOB["parameters"]]
    rest = {name: JOB[name] for name in JOB if name not in ("DCID", "autostart", "recipe")}
    return {"rule": "r", "also": [], "recipe": "dials", "kind": "hold", "override": None,
            "dropped": False, **rest, "parameters": origin, **more}  # fmt: skip


@pytest.mark.parametrize(
    "record",
    [
        line({"parameters": COMMAND, "content": JOB}),
        line(wrapped(JOB)),
        line({"parameters": COMMAND, "content": JOB}, event="end"),
        line({"parameters": COMMAND, "content": {**JOB, "DCID": "5"}}),
        line({"parameters": COMMAND,
              "content": {**JOB, "parameters": list(reversed(JOB["parameters"]))}}),
        line({"parameters": COMMAND, "content": JOB}, override="hold until ...",
             headers={"dlstbx-id": "x"}),
    ],
)  # fmt: skip
def test_a_job_in_all_its_forms(record: dict[str, Any]) -> None:
    (task,) = plan_of(json.loads(json.dumps(record)))
    assert task == WANTED
    assert task.beamline == "i03"


@pytest.mark.parametrize(
    "record",
    [
        {"explain": "task", "dcid": 5, "event": "END", "beamline": "i03", **explained_task()},
        {"time": 1, "dcid": 5, "event": "END", "guid": None, "scenario": {"beamline": "i03"},
         "reasons": [], "tasks": [explained_task()], "dropped": [explained_task(dropped=True)],
         "cloud": [], "refused": None},
    ],
)  # fmt: skip
def test_a_job_that_is_explained(record: dict[str, Any]) -> None:
    assert plan_of(record) == [Planned(END, "i03"), WANTED]


def test_what_is_explained_besides() -> None:
    of = {"dcid": 5, "event": "END", "beamline": "i03"}
    for record in (
        {"explain": "rule", **of, "rule": "r", "holds": False},
        {"explain": "cloud", **of},
        {"explain": "task", **of, **explained_task(dropped=True)},
        {"dcid": 5, "event": "END", "scenario": of, "reasons": [], "tasks": []},
    ):
        assert plan_of(record) == [Planned(END, "i03")]
    (_, task) = plan_of({"explain": "task", **of, "kind": "run", "recipe": "x", "rule": "r"})
    assert (task.kind, task.partly, task.fields) == ("recipe", True, {})


def test_requests_for_recipes() -> None:
    request = {"recipes": ["x", "y"], "parameters": {"ispyb_dcid": 5, "filename": "a.cbf"}}
    for message in (request, wrapped(request)):
        tasks = plan_of(line(message, "processing_recipe"))
        assert tasks == [
            Task.of(END, "recipe", name, {"parameters.filename": "a.cbf"}, rule="r")
            for name in ("x", "y")
        ]


def test_what_nobody_has_noted() -> None:
    request = {"recipes": ["x"], "parameters": {"ispyb_dcid": 5}}
    (task,) = plan_of({"queue": "processing_recipe", "message": request})
    assert task == Task.of(Place(5, None), "recipe", "x", {})


def test_keys_that_repeat() -> None:
    pairs = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    (task,) = plan_of(line({"content": {**JOB, "parameters": pairs}}))
    assert task.fields["parameters.a"] == "1"
    assert task.fields["parameters.a (2)"] == "2"


def test_nothing_of_a_job_is_overlooked() -> None:
    (task,) = plan_of(line({"content": {**JOB, "something": {"new": 1}}}))
    assert task.fields["something"] == {"new": 1}


@pytest.mark.parametrize(
    "record",
    [
        1, [], "text", None, {}, {"queue": "x"}, {"queue": "x", "message": 1},
        {"queue": "x", "message": {"a": 1}}, {"topic": "x", "message": {"content": JOB}},
        {"queue": "dlq.mimas", "message": {"content": JOB}}, {"queue": "x", "message": wrapped(1)},
        {"queue": 1, "message": {"content": JOB}}, {"queue": "x", "message": {"recipes": "x"}},
    ],
)  # fmt: skip
def test_lines_about_something_else(record: Any) -> None:
    assert list(plan_of(record)) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (line({"content": {**JOB, "DCID": "x"}}), "the DCID must be a number, not 'x'"),
        (line({"content": {**JOB, "DCID": True}}), "the DCID must be a number"),
        (line({"content": {**JOB, "DCID": "1" * 5000}}), "the DCID must be a number"),
        (line({"content": {**JOB, "recipe": None}}), "the recipe must be a name"),
        (line({"content": {**JOB, "parameters": {}}}), "parameters must be a list"),
        (line({"content": {**JOB, "triggervariables": [1]}}), "triggervariables must be objects"),
        (line({"content": JOB}, event=1), "the event must be a text"),
        (line({"content": JOB}, rule=[]), "the rule must be a text"),
        (line({"recipes": ["x"]}, "q"), "without the parameter ispyb_dcid"),
        (line({"recipes": ["x"], "parameters": {}}, "q"), "without the parameter ispyb_dcid"),
        (line({"recipes": [1], "parameters": {"ispyb_dcid": 1}}, "q"), "recipe must be a name"),
        ({"explain": "task"}, "the DCID must be a number, not None"),
        ({"dcid": 5, "reasons": [], "tasks": 1}, "the tasks must be a list"),
        ({"dcid": 5, "reasons": [], "tasks": [1]}, "a task must be an object"),
        ({"explain": "task", "dcid": 5, "recipe": "x", "kind": "?"}, "run, start or hold"),
    ],
)
def test_lines_that_do_not_say_what_they_should(record: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        plan_of(record)
