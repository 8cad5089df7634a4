"""What lines say of plans: the tasks of ``mimas-plan``'s output, explanations and records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlstbx_cli.services.difference import Place, Planned, Task, content
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import DLQ

#: Lists of objects with a key and a value: their order is of no consequence.
_PAIRED = ("parameters", "triggervariables")
#: The content of most requests for a recipe.
_NOTHING = content({})
#: What is recorded of a job besides its parameters: by this, records can be compared.
OF_JOB = ("source", "comment", "displayname", "sweeps", "triggervariables")


def plan_of(record: Any) -> Sequence[Task | Planned]:
    """Return what a line's JSON value says of a plan; nothing: it is about something else.

    A line of a plan is addressed to a queue: a job for ISPyB, or a request for recipes, bare
    or in the step of a recipe. A line of ``--explain``, or a record, is addressed to nobody.
    Raises Rejected for one that does not say what it should.
    """
    if not isinstance(record, dict):
        return ()
    if "explain" in record or ("reasons" in record and "tasks" in record):
        return list(_explained(record))
    queue, payload = record.get("queue"), record.get("message")
    if not isinstance(queue, str) or queue.startswith(DLQ) or not isinstance(payload, dict):
        return ()
    if "recipe-pointer" in payload:
        payload = payload.get("payload")
    elif "content" in payload:
        payload = payload["content"]
    if not isinstance(payload, dict):
        return ()
    if "DCID" in payload and "recipe" in payload:
        return (_job(payload, record),)
    if isinstance(payload.get("recipes"), list):
        return _requests(payload, record)
    return ()


def _job(job: Mapping[str, Any], record: Mapping[str, Any]) -> Task:
    place = Place(_dcid(job["DCID"]), _event(record.get("event")))
    rule, beamline = _notes(record)
    fields = _flat(job)
    del fields["DCID"], fields["recipe"]
    return Task(place, "job", _name(job["recipe"]), content(fields), rule, beamline)


def _requests(payload: Mapping[str, Any], record: Mapping[str, Any]) -> list[Task]:
    parameters = payload.get("parameters")
    if not isinstance(parameters, dict) or "ispyb_dcid" not in parameters:
        raise Rejected("a request for a recipe without the parameter ispyb_dcid")
    place = Place(_dcid(parameters["ispyb_dcid"]), _event(record.get("event")))
    rule, beamline = _notes(record)
    fields = {key: value for key, value in payload.items() if key not in ("recipes", "parameters")}
    for key, value in parameters.items():
        if key != "ispyb_dcid":
            fields[f"parameters.{key}"] = value
    asked = content(fields) if fields else _NOTHING
    return [Task(place, "recipe", _name(one), asked, rule, beamline) for one in payload["recipes"]]


def _explained(record: Mapping[str, Any]) -> Iterator[Task | Planned]:
    place = Place(_dcid(record.get("dcid")), _event(record.get("event")))
    scenario = record.get("scenario")
    beamline = scenario.get("beamline") if isinstance(scenario, dict) else record.get("beamline")
    yield Planned(place, _text(beamline, "beamline"))
    tasks = [record] if record.get("explain") == "task" else record.get("tasks", [])
    if not isinstance(tasks, list):
        raise Rejected("the tasks must be a list")
    for task in tasks:
        if not isinstance(task, dict):
            raise Rejected("a task must be an object")
        if not task.get("dropped"):
            yield _explained_task(task, place, _text(beamline, "beamline"))


def _explained_task(task: Mapping[str, Any], place: Place, beamline: str | None) -> Task:
    more = {"rule": _text(task.get("rule"), "rule"), "beamline": beamline}
    recipe, kind = _name(task.get("recipe")), task.get("kind")
    if kind == "run":
        # What goes along with a recipe (of per-image triggers) is not explained.
        return Task.of(place, "recipe", recipe, {}, partly=True, **more)
    if kind not in ("start", "hold"):
        raise Rejected(f"the kind of a task must be run, start or hold, not {kind!r:.60}")
    fields = {key: task[key] for key in ("parameters", *OF_JOB) if key in task}
    return Task.of(place, "job", recipe, _flat({**fields, "autostart": kind == "start"}), **more)


def _flat(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's fields, each of its parameters and variables as one of its own."""
    flat: dict[str, Any] = {}
    for name, value in job.items():
        if name not in _PAIRED:
            flat[name] = value
            continue
        if not isinstance(value, list):
            raise Rejected(f"{name} must be a list")
        for pair in value:
            if not isinstance(pair, dict) or not isinstance(key := pair.get("key"), str):
                raise Rejected(f"{name} must be objects with key and value")
            field, number = f"{name}.{key}", 1
            while field in flat:  # keys may repeat, and then their order counts
                number += 1
                field = f"{name}.{key} ({number})"
            flat[field] = pair.get("value")
    return flat


def _dcid(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    raise Rejected(f"the DCID must be a number, not {value!r:.60}")


def _event(value: Any) -> str | None:
    event = _text(value, "event")
    return event.upper() if event else None


def _name(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise Rejected(f"the recipe must be a name, not {value!r:.60}")


def _notes(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return rule and beamline, as far as they are noted."""
    return _text(record.get("rule"), "rule"), _text(record.get("beamline"), "beamline")


def _text(value: Any, what: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Rejected(f"the {what} must be a text, not {value!r:.60}")
