"""What lines say of plans: the tasks of ``mimas-plan``'s output, explanations and records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from dlstbx_cli.services.difference import Place, Planned, Task
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.recipe import is_wrapped

#: Lists of objects with a key and a value: their order is of no consequence.
_PAIRED = ("parameters", "triggervariables")
_OF_JOB = ("source", "comment", "displayname", "sweeps", "triggervariables")


def tasks_of(message: Message) -> list[Task]:
    """Return the tasks that a message of a plan asks for; none: it is about something else.

    A job for ISPyB, or a request for recipes, bare or in the step of a recipe. Raises
    Rejected for one that says neither which collection nor which recipe.
    """
    if not isinstance(message.destination, Queue) or message.destination.name.startswith("dlq."):
        return []
    payload = message.body
    if is_wrapped(message) and isinstance(payload, dict):
        payload = payload.get("payload")
    elif isinstance(payload, dict) and "content" in payload:
        payload = payload["content"]
    if not isinstance(payload, dict):
        return []
    notes = {key: _text(message.notes.get(key), key) for key in ("rule", "beamline")}
    event = _event(message.notes.get("event"))
    if "DCID" in payload and "recipe" in payload:
        rest = {key: value for key, value in payload.items() if key not in ("DCID", "recipe")}
        place = Place(_dcid(payload["DCID"]), event)
        return [Task.of(place, "job", _name(payload["recipe"]), _flat(rest), **notes)]
    if isinstance(recipes := payload.get("recipes"), list):
        parameters = payload.get("parameters")
        if not isinstance(parameters, dict) or "ispyb_dcid" not in parameters:
            raise Rejected("a request for a recipe without the parameter ispyb_dcid")
        place = Place(_dcid(parameters["ispyb_dcid"]), event)
        rest = {
            key: value for key, value in payload.items() if key not in ("recipes", "parameters")
        }
        for key, value in parameters.items():
            if key != "ispyb_dcid":
                rest[f"parameters.{key}"] = value
        return [Task.of(place, "recipe", _name(one), rest, **notes) for one in recipes]
    return []


def is_explained(record: Mapping[str, Any]) -> bool:
    """Tell whether a line's object is of an explanation, or a record."""
    return "explain" in record or ("reasons" in record and "tasks" in record)


def explained(record: Mapping[str, Any]) -> Iterator[Task | Planned]:
    """Yield what a line of ``--explain``, or a record, is about. Raises Rejected."""
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
            yield _explained(task, place, _text(beamline, "beamline"))


def _explained(task: Mapping[str, Any], place: Place, beamline: str | None) -> Task:
    more = {"rule": _text(task.get("rule"), "rule"), "beamline": beamline}
    recipe, kind = _name(task.get("recipe")), task.get("kind")
    if kind == "run":
        # What goes along with a recipe (of per-image triggers) is not explained.
        return Task.of(place, "recipe", recipe, {}, partly=True, **more)
    if kind not in ("start", "hold"):
        raise Rejected(f"the kind of a task must be run, start or hold, not {kind!r:.60}")
    fields = {key: task[key] for key in ("parameters", *_OF_JOB) if key in task}
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
        seen: Counter[str] = Counter()
        for pair in value:
            if not isinstance(pair, dict) or not isinstance(key := pair.get("key"), str):
                raise Rejected(f"{name} must be objects with key and value")
            seen[key] += 1
            # Keys may repeat, and then their order counts.
            again = f" ({seen[key]})" if seen[key] > 1 else ""
            flat[f"{name}.{key}{again}"] = pair.get("value")
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


def _text(value: Any, what: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Rejected(f"the {what} must be a text, not {value!r:.60}")
