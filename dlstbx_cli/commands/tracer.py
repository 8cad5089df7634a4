"""Where something is, from all sources: each answer says where the next one is found."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dlstbx_cli.commands import recorded
from dlstbx_cli.commands.asking import ISPYB, LOGBOOK, Asked
from dlstbx_cli.commands.base import Run
from dlstbx_cli.services import tracing
from dlstbx_cli.services.tracing import Event, Scope, Trace

if TYPE_CHECKING:
    from dlstbx_cli.database.progress import Progress
    from dlstbx_cli.recipes.entries import Entry

#: Seconds that a logbook is searched for a collection at most.
_SEARCH = 5.0
_HOUR, _DAY = 3600.0, 86400.0
#: Messages of a plan that nobody has recorded.
_TASKS = 64


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    :param number: a DCID or a JOBID.
    :param kind: ``dcid`` or ``job``; None: whichever it is.
    """

    number: int | None = None
    guid: str | None = None
    kind: str | None = None


class Tracer:
    """One trace. It asks each source for what is known of it by then."""

    def __init__(self, run: Run, asked: Asked) -> None:
        self._run = run
        self._asked = asked
        self._events: list[Event] = []
        self._parents: frozenset[str] = frozenset()

    def trace(self, query: Query) -> Trace:
        """Return all that is known."""
        subject, scope = self._numbered(query) if query.number else self._requested(query)
        scope = self._of_ispyb(self._of_state(scope))
        plans = self._recorded(scope)
        scope = self._of_logbook(scope, plans)
        self._events += self._mine(plans, scope)
        self._events += self._asked.broker(scope.concerns) + self._asked.stored(scope.concerns)
        return Trace(subject, scope, tracing.timeline(self._events), self._asked.unavailable)

    # What is meant

    def _numbered(self, query: Query) -> tuple[str, Scope]:
        number = query.number or 0
        is_collection, is_job = query.kind == "dcid", query.kind == "job"
        if query.kind is None:
            found = self._asked.ispyb(lambda ispyb: ispyb.collection(number))
            jobs = self._asked.ispyb(lambda ispyb: ispyb.jobs(ids=[number])) or []
            is_collection, is_job = found is not None, bool(jobs)
            if is_collection and is_job:
                self._run.say(f"{number} is a DCID and a JOBID: this is the DCID (or --job)")
            elif ISPYB in self._asked.unavailable:
                self._run.say(f"{number} is taken for a DCID: ISPyB cannot be asked (or --job)")
        if is_job and not is_collection:
            return f"processing job {number}", Scope(jobs=frozenset({number}))
        return f"DCID {number}", Scope(dcid=number, whole=True)

    def _requested(self, query: Query) -> tuple[str, Scope]:
        guid = str(query.guid)
        scope = Scope(guids=frozenset({guid}))
        entries = self._entries([guid], None)
        for entry in entries:
            scope = scope.with_jobs(entry.named.jobs)
            scope = replace(scope, dcid=min(entry.named.dcids, default=scope.dcid))
            if not entry.named.jobs:
                scope = self._with_followers(scope, entry, self._recorded(scope))
        if not entries:
            seen = self._recorded(scope) or self._asked.broker(scope.concerns)
            seen = seen or self._asked.held(lambda held: held.of_request(guid)) or []
            scope = replace(scope, dcid=min((one.dcid for one in seen if one.dcid), default=None))
        return f"request {guid}", scope

    def _with_followers(self, scope: Scope, entry: Entry, plans: Iterable[Event]) -> Scope:
        """Return the scope with the requests and jobs that follow from a request for a plan."""
        number = max((len(one.tasks) for one in plans if one.guid == entry.guid), default=_TASKS)
        planned = tracing.planned_ids(entry.identity, number)
        scope = scope.with_guids(guid for one in planned for guid in tracing.followers(one))
        return scope.with_jobs(self._made_for(planned))

    # ISPyB

    def _of_ispyb(self, scope: Scope) -> Scope:
        """Add the jobs, what became of them, and the collection."""
        jobs = self._asked.ispyb(lambda ispyb: _jobs(ispyb, scope)) or []
        scope = scope.with_jobs(one.job for one in jobs)
        scope = _with_dcid(scope, jobs)
        dcid = scope.dcid
        found = self._asked.ispyb(lambda ispyb: ispyb.collection(dcid) if dcid else None)
        self._events += jobs + (found.events() if found else [])
        numbers = sorted(scope.jobs)
        # The tables of an embedded ISPyB may be older than this one: the rest is told.
        self._events += self._asked.ispyb(lambda ispyb: ispyb.programs(numbers)) or []
        now = time.time()
        # A clock that is ahead must not make us look at nothing.
        began = found.started if found else None
        return replace(scope, since=began - _HOUR if began and began < now else None)

    # The state store

    def _of_state(self, scope: Scope) -> Scope:
        """Add what is held, and what was."""
        found = self._asked.held(lambda held: held.of(scope.dcid, scope.jobs)) or []
        mine = [
            one for one in found if scope.whole or one.job in scope.jobs or one.guid in scope.guids
        ]
        self._events += mine
        requests = frozenset(one.guid for one in mine if one.guid)
        if scope.whole:
            scope = scope.with_guids(requests)
        self._parents |= requests - scope.guids
        return _with_dcid(scope.with_jobs(one.job for one in mine), mine)

    # Records and logbook

    def _recorded(self, scope: Scope) -> list[Event]:
        """Return the plans that were made for the collection, or for one of the requests."""
        guids = scope.guids | self._parents
        return self._asked.records(
            lambda path: list(recorded.plans(path, scope.dcid, guids, scope.since))
        )

    def _mine(self, plans: Iterable[Event], scope: Scope) -> list[Event]:
        """Return the plans that are meant: of a job, those of the request that it came from."""
        guids = scope.guids | self._parents
        if scope.whole:
            return [plan for plan in plans if plan.dcid == scope.dcid]
        if any(plan.guid in guids for plan in plans):
            return [plan for plan in plans if plan.guid in guids]
        wanted = {one.recipe for one in self._events if one.job in scope.jobs and one.recipe}
        return [
            plan
            for plan in plans
            if any(task["recipe"] in wanted and task["kind"] != "run" for task in plan.tasks)
        ]

    def _of_logbook(self, scope: Scope, plans: list[Event]) -> Scope:
        """Add who has triggered, what was looked up, and which recipes were started."""
        if scope.whole:
            return self._of_collection(scope, plans)
        keys = self._asked.begun(lambda begun: begun.keys_of(sorted(scope.jobs))) or {}
        # The first of the followers would be a recipe, which is no job.
        own = {guid for key in keys.values() for guid in tracing.followers(key)[1:]}
        entries = self._entries(scope.guids | own, scope.since)
        self._parents |= {one.parent for one in entries if one.parent} - scope.guids
        # A job that has not been looked up has no entry yet that would name its request.
        self._parents |= self._planning(plans, scope) - scope.guids
        entries += self._entries(self._parents, scope.since)
        self._events += _told(entries)
        return scope.with_guids(own)

    def _planning(self, plans: Iterable[Event], scope: Scope) -> set[str]:
        """Return those of the requests for plans that jobs of the scope were made for."""
        numbers = {plan.guid: len(plan.tasks) for plan in plans if plan.guid}
        found = set()
        for entry in self._entries(numbers, scope.since):
            planned = tracing.planned_ids(entry.identity, numbers[entry.guid])
            if scope.jobs & self._made_for(planned):
                found.add(entry.guid)
        return found

    def _made_for(self, identities: list[str]) -> set[int]:
        """Return the jobs that were made for messages of a plan."""
        made = self._asked.begun(lambda begun: begun.jobs_of(identities)) or {}
        return set(made.values())

    def _of_collection(self, scope: Scope, plans: list[Event]) -> Scope:
        scope = scope.with_guids(plan.guid for plan in plans)
        entries = self._entries(scope.guids, scope.since) or self._searched(scope)
        for entry in entries:
            if not entry.named.jobs and entry.parent is None:
                scope = self._with_followers(scope, entry, plans)
        known = {entry.guid for entry in entries}
        entries += self._entries(scope.guids - known, scope.since)
        self._events += _told(entries)
        return scope.with_guids(entry.guid for entry in entries)

    def _entries(self, guids: Iterable[str], since: float | None) -> list[Entry]:
        wanted = sorted(guids)
        return self._asked.logbook(lambda entries: list(entries.named(wanted, since)))

    def _searched(self, scope: Scope) -> list[Entry]:
        """Return a collection's entries where nobody knows their names: it takes a while."""
        dcid, since = scope.dcid, scope.since
        if dcid is None or since is None:
            return []
        deadline = time.monotonic() + _SEARCH
        found = self._asked.logbook(
            lambda entries: list(entries.of_collection(dcid, since, since + _DAY, deadline))
        )
        if None in found:
            text = f"the logbook has more entries than can be looked through in {_SEARCH:g} s"
            self._run.say(f"{text}: records of mimas-plan (--record) would name them")
        return [entry for entry in found if entry is not None]


def _jobs(ispyb: Progress, scope: Scope) -> list[Event]:
    found = ispyb.jobs(dcid=scope.dcid) if scope.whole else []
    others = scope.jobs - {one.job for one in found if one.job}
    return found + (ispyb.jobs(ids=others) if others else [])


def _with_dcid(scope: Scope, events: Iterable[Event]) -> Scope:
    if scope.dcid is not None:
        return scope
    return replace(scope, dcid=min((one.dcid for one in events if one.dcid), default=None))


def _told(entries: Iterable[Entry]) -> list[Event]:
    """Return what the logbook's entries say, as events."""
    return [event for entry in entries for event in _of_entry(entry)]


def _of_entry(entry: Entry) -> Iterator[Event]:
    follows = entry.parent is not None
    job = min(entry.named.jobs, default=None)
    event = Event(
        stage="started" if follows or job else "looked-up",
        source=LOGBOOK,
        text="looked up, its recipe started",
        time=entry.time,
        dcid=min(entry.named.dcids, default=None),
        job=job,
        recipe=entry.recipe,
        guid=entry.guid,
    )
    if not follows:
        text = f"by {entry.who}" if entry.who else "by somebody who gives no name"
        yield replace(
            event, stage="triggered", text=text, time=None, latest=entry.time, who=entry.who
        )
    yield event
