"""What the state store knows of jobs on their way: held, released, cancelled, and which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from sqlalchemy import ColumnElement, or_

from dlstbx_cli.database.held_lists import OPEN, HeldLists
from dlstbx_cli.database.held_tables import JOBS
from dlstbx_cli.services.held import explain
from dlstbx_cli.services.held.port import Entry, Seen
from dlstbx_cli.services.held.values import Held, Limits
from dlstbx_cli.services.tracing import Event, parent_of

_ENDS = {"going": "it is being sent"}
#: Jobs that are asked for by number at once: SQLite has a limit.
_MOST = 500


class HeldTrace:
    """Asks the store of held jobs. Every method raises Unavailable, Misconfigured.

    :param limits: those of backlog-release, by which it is said why a job is held.
    :param now: the time in seconds since the epoch.
    """

    def __init__(self, store: HeldLists, limits: Limits, now: float) -> None:
        self._store = store
        self._limits = limits
        self._now = now
        self._cluster = cache(self._of_cluster)

    def of(self, dcid: int | None, jobs: Iterable[int]) -> list[Event]:
        """Return what happened to the jobs of a collection, and to some by their number."""
        numbers = sorted(jobs)[:_MOST]
        wanted: list[ColumnElement[bool]] = []
        if dcid is not None:
            wanted.append(JOBS.c.dcid == dcid)
        if numbers:
            wanted.append(JOBS.c.job.in_(numbers))
        return self._events(or_(*wanted)) if wanted else []

    def of_request(self, guid: str) -> list[Event]:
        """Return what happened to the jobs that follow from a request and are held."""
        return self._events(JOBS.c.state.in_(OPEN), JOBS.c.body.contains(guid))

    def _events(self, *wanted: ColumnElement[bool]) -> list[Event]:
        return [event for one in self._store.entries(*wanted) for event in self._of_entry(one)]

    def _of_entry(self, entry: Entry) -> Iterator[Event]:
        job, is_held = entry.job, entry.state == "held"
        held = Event(
            stage="held",
            source="state",
            text=f"for {job.cluster}",
            time=job.taken,
            dcid=job.dcid,
            job=job.job,
            recipe=job.recipe or None,
            # Of the request whose plan has asked for the job.
            guid=parent_of(entry.message),
            ident=str(job.number),
            reason=self._why(job) if is_held else None,
        )
        yield held
        if not is_held:
            yield replace(
                held,
                stage=entry.state,
                text=_ENDS.get(entry.state, ""),
                time=entry.changed,
                who=entry.owner or None,
                reason=entry.reason or None,
            )

    def _why(self, job: Held) -> str:
        held, seen = self._cluster(job.cluster)
        return explain.place(job, held, seen, self._limits, self._now).why

    def _of_cluster(self, cluster: str) -> tuple[list[Held], Seen]:
        return self._store.held(JOBS.c.cluster == cluster), self._store.seen(cluster)
