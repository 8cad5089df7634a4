"""Where a collection, a job or a request is: events of several sources, as one timeline.

Pure: whoever asks a source turns what it answers into events; here they are put in order,
and what became of each job follows from them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dlstbx_cli.services.message import DCID_HEADER, ID_HEADER, Message, derived_id
from dlstbx_cli.services.trace import trace

#: What can happen, in the order in which it does: it settles what times do not, since
#: ISPyB's have no fractions of a second.
STAGES = (
    "collected",
    "triggered",
    "looked-up",
    "planned",
    "created",
    "held",
    "going",
    "released",
    "cancelled",
    "started",
    "began",
    "running",
    "succeeded",
    "failed",
    "stored",
    "waiting",
    "dead",
)
#: What became of a job, the last stage that it has reached; what is true now (it is held, a
#: program runs, a message waits or is dead) counts more than what has been.
_HELD_NOW = "held now"
_OUTCOMES = (
    *("created", "held", "going", "released", "cancelled", "started"),
    *("succeeded", "failed", _HELD_NOW, "running", "waiting", "dead"),
)
#: What older requests call a processing job.
_OLD_NAME = "ispyb_reprocessing_id"
#: The form of a recipe's id; nothing else may come to name a file.
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that is known to have happened, or to be so now.

    :param stage: one of STAGES.
    :param source: who says so: ``ISPyB``, ``logbook``, ``records``, ``state``, ``broker`` or
        ``drop-dir``.
    :param text: what happened, for people, without the job and the recipe.
    :param time: when, in seconds since the epoch; None where nobody wrote it down.
    :param latest: not later than this, where the time itself is not known.
    :param guid: the recipe's id of the request that it belongs to.
    :param ident: by what another command shows it: an ID of backlog-show or dlq-show.
    :param queue: the queue that a message lies in.
    :param who: who did it by hand.
    :param reason: why.
    :param tasks: of a plan: recipe, kind (``run``, ``start``, ``hold``) and rule of each.
    """

    stage: str
    source: str
    text: str
    time: float | None = None
    latest: float | None = None
    dcid: int | None = None
    job: int | None = None
    recipe: str | None = None
    guid: str | None = None
    ident: str | None = None
    queue: str | None = None
    who: str | None = None
    reason: str | None = None
    tasks: tuple[Mapping[str, Any], ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the event as an object for programs; ``id`` is its ``ident``."""
        record = {"time": self.time, "latest": self.latest, **asdict(self)}
        record["id"] = record.pop("ident")
        if not record["tasks"]:
            del record["tasks"]
        return record


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked for, and what has come to be known of it on the way.

    :param dcid: its collection.
    :param whole: everything of that collection is asked for, not a part.
    :param since: nothing of it can be older, seconds since the epoch.
    """

    dcid: int | None = None
    jobs: frozenset[int] = frozenset()
    guids: frozenset[str] = frozenset()
    whole: bool = False
    since: float | None = None

    def with_jobs(self, jobs: Iterable[int | None]) -> Scope:
        """Return this with more jobs known."""
        return replace(self, jobs=self.jobs | {job for job in jobs if job is not None})

    def with_guids(self, guids: Iterable[Any]) -> Scope:
        """Return this with more requests known; what is no id of one is left out."""
        return replace(self, guids=self.guids | {guid for text in guids if (guid := guid_of(text))})

    def concerns(self, named: Named) -> bool:
        """Tell whether something that names collections, jobs or requests belongs to this."""
        if self.whole and self.dcid in named.dcids:
            return True
        return bool(self.jobs & named.jobs or self.guids & named.guids)


@dataclass(frozen=True, slots=True)
class Named:
    """What a message, a logbook's entry or a record names."""

    dcids: frozenset[int] = frozenset()
    jobs: frozenset[int] = frozenset()
    guids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Trace:
    """All that is known: events in order, and which sources could not be asked.

    :param subject: what was asked for, in words.
    :param unavailable: why, by the name of the source.
    """

    subject: str
    scope: Scope
    events: Sequence[Event] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)

    def fates(self) -> dict[int, Event]:
        """Return of each job the event that says what became of it."""
        fates: dict[int, Event] = {}
        for event in self.events:
            if event.job is None or event.stage not in _OUTCOMES:
                continue
            before = fates.get(event.job)
            if before is None or _weight(event) >= _weight(before):
                fates[event.job] = event
        return dict(sorted(fates.items()))


def _weight(event: Event) -> int:
    # Of a job that was started twice, the later end counts.
    stage = "succeeded" if event.stage == "failed" else event.stage
    # Why it is held is known of a job that still is: one that was released may be held again.
    if event.stage == "held" and event.reason is not None:
        stage = _HELD_NOW
    return _OUTCOMES.index(stage)


def timeline(events: Iterable[Event]) -> list[Event]:
    """Return events in order, each once; one whose time nobody knows comes last.

    Where a request is known to have started a job or a recipe, its messages are of that.
    """
    events = list(events)
    started = {one.guid: one for one in events if one.stage == "started" and one.guid}
    known = (_completed(one, started.get(one.guid or "")) for one in events)
    return sorted(_unique(known), key=_place)


def _completed(event: Event, started: Event | None) -> Event:
    if started is None or event.source != "broker":
        return event
    job = started.job if event.job is None else event.job
    return replace(event, job=job, recipe=event.recipe or started.recipe)


def _unique(events: Iterable[Event]) -> list[Event]:
    # Their tasks are no keys of a dictionary, and there may be thousands of messages.
    return list({repr(event): event for event in events}.values())


def _place(event: Event) -> tuple[float, int, float, int]:
    time = event.time if event.time is not None else event.latest
    if time is None:
        return math.inf, STAGES.index(event.stage), 0.0, event.job or 0
    return math.floor(time), STAGES.index(event.stage), time, event.job or 0


def guid_of(text: Any) -> str | None:
    """Return a recipe's id in its usual form, None if the text is none."""
    lower = text.lower() if isinstance(text, str) else ""
    return lower if _GUID.fullmatch(lower) else None


def number_of(value: Any) -> int | None:
    """Return a DCID or a JOBID that stands as a number or as text, None if it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**15
    return value if is_number else None


def request_id(identity: str) -> str:
    """Return the recipe's id that the dispatcher gives to a request without one."""
    return derived_id(identity, "guid")


def followers(identity: str) -> list[str]:
    """Return the recipe ids of what can follow from one message of a plan.

    It asks for a recipe to run, for a job that starts at once, or for a job that is held
    first: each way, the dispatcher comes to see a request of another identity, which
    follows from the first one's (see ``Message.child``).
    """
    job = derived_id(identity, 0)
    return [request_id(identity), request_id(job), request_id(derived_id(job, 0))]


def planned_ids(parent: str, number: int) -> list[str]:
    """Return the identities of a plan's messages.

    :param parent: the identity of the request for the recipe ``mimas``, which has one
        start, of which the plan's messages are the results.
    """
    scenario = derived_id(parent, 0)
    return [derived_id(scenario, place) for place in range(number)]


def named_in(message: Message) -> Named:
    """Return what a message names, wherever it stands: plain, in parameters, in its recipe."""
    body = _mapping(message.body)
    payload = _mapping(body.get("payload"))
    steps = [_mapping(step) for step in _mapping(body.get("recipe")).values()]
    places = [body, payload, _mapping(body.get("content"))]
    places += [_mapping(place.get("parameters")) for place in [body, payload, *steps]]
    found = [message.headers.get(DCID_HEADER)]
    found += [place.get(key) for place in places for key in ("dcid", "DCID", "ispyb_dcid")]
    jobs = [place.get(key) for place in places for key in ("ispyb_process", _OLD_NAME)]
    guids = [place.get("guid") for place in places] + [request_of(message)]
    # A request that has not been looked up will be known by what follows from its identity.
    if own := message.headers.get(ID_HEADER):
        guids.append(request_id(own))
    return Named(_numbers(found), _numbers(jobs), frozenset(g for t in guids if (g := guid_of(t))))


def request_of(message: Message) -> str | None:
    """Return the recipe's id of the request that a message belongs to, None if it says none."""
    return guid_of(trace(message).get("recipe_id"))


def parent_of(message: Message) -> str | None:
    """Return the id of the recipe that a message is a step of, None if it is none's."""
    return guid_of(_mapping(_mapping(message.body).get("environment")).get("ID"))


def recipe_in(message: Message) -> str | None:
    """Return the recipes that a message asks for, None if it asks for none by name."""
    recipe = trace(message).get("recipe")
    return None if recipe is None else str(recipe)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _numbers(values: Iterable[Any]) -> frozenset[int]:
    return frozenset(number for value in values if (number := number_of(value)) is not None)
