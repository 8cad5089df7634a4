"""The store of held jobs as people look at it: lists and sums, without the messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal, or_, select

from dlstbx_cli.database import held_pauses
from dlstbx_cli.database.held import LIGHT, STATE, HeldJobs
from dlstbx_cli.database.held_rows import job_of, seconds
from dlstbx_cli.database.held_tables import GOING, HELD, JOBS, is_named
from dlstbx_cli.database.store import now
from dlstbx_cli.services.held.explain import Kept
from dlstbx_cli.services.held.values import ANY_CASE, KINDS, Held, Pause

#: What has not ended: a job that is being released is still there.
OPEN = (HELD, GOING)
#: Rows that are read at once: a list may be long, and its reader slow.
PAGE = 2000
#: What jobs are summed up by, and what is said beside it.
GROUPS: dict[str, tuple[str, ...]] = {
    "cluster": ("cluster",),
    "beamline": ("beamline", "cluster"),
    "visit": ("visit", "beamline", "cluster"),
    "recipe": ("recipe", "cluster"),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are meant; what is None or empty does not matter.

    :param states: empty: all of them.
    :param since: came to be in their state since then, seconds since the epoch.
    """

    states: Sequence[str] = OPEN
    cluster: str | None = None
    beamline: str | None = None
    visit: str | None = None
    recipe: str | None = None
    dcid: int | None = None
    since: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what must be true of a row."""
        found: list[ColumnElement[bool]] = [
            is_named(JOBS.c[kind], kind, name)
            for kind in ("cluster", *KINDS)
            if (name := getattr(self, kind)) is not None
        ]
        if self.dcid is not None:
            found.append(JOBS.c.dcid == self.dcid)
        if self.states:
            found.append(JOBS.c.state.in_(self.states))
        if self.since is not None:
            found.append(JOBS.c.changed >= int(1000 * self.since))
        return found


@dataclass(frozen=True, slots=True)
class Listed:
    """A job without its message.

    :param changed: when it came to be in its state.
    :param owner: who released it by hand, or cancelled it; empty: nobody.
    """

    job: Held
    state: str
    changed: float
    owner: str
    reason: str


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that have something in common.

    :param names: the columns of GROUPS.
    :param oldest: when the first of them was held.
    :param paused: how many of them a pause keeps.
    """

    names: tuple[str, ...]
    jobs: int
    oldest: float
    paused: int


class HeldLists(HeldJobs):
    """The store with ways to look at it. Every method raises Unavailable, Misconfigured."""

    def listed(self, wanted: Wanted) -> Iterator[Listed]:
        """Yield jobs, first in first; nothing is locked while the reader takes his time."""
        last = 0
        # Page by page an index of states would be read from its beginning each time: for a
        # few jobs of a long history it is right, for that history it is not.
        plain = wanted.since is None and tuple(wanted.states) != OPEN
        while True:
            conditions = JOBS.c.id > last, *wanted.conditions()
            page = self._page(*conditions, order=(JOBS.c.id,), maximum=PAGE, plain=plain)
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1].job.number

    def latest(self, wanted: Wanted, maximum: int) -> list[Listed]:
        """Return the jobs whose state has changed last, the latest last."""
        order = JOBS.c.changed.desc(), JOBS.c.id.desc()
        return self._page(*wanted.conditions(), order=order, maximum=maximum)[::-1]

    def numbers(self, wanted: Wanted) -> list[int]:
        """Return the numbers of jobs, first in first."""
        found = select(JOBS.c.id).where(*wanted.conditions()).order_by(JOBS.c.id)
        with self._looking() as connection:
            return list(connection.scalars(found))

    def count(self, wanted: Wanted) -> int:
        """Return how many jobs there are."""
        found = select(func.count()).select_from(JOBS).where(*wanted.conditions())
        with self._looking() as connection:
            return int(connection.scalar(found))

    def groups(self, wanted: Wanted, by: str) -> list[Group]:
        """Return jobs summed up by one of GROUPS, who has waited longest first."""
        # One name for one thing: of several ways to write it, one is shown.
        keys = [
            func.lower(JOBS.c[kind]) if kind in ANY_CASE else JOBS.c[kind] for kind in GROUPS[by]
        ]
        columns = [func.max(JOBS.c[kind]) for kind in GROUPS[by]]
        paused = _paused(self.pauses())
        oldest = func.min(JOBS.c.taken)
        found = (
            select(*columns, func.count(), oldest, func.sum(paused))
            .where(*wanted.conditions())
            .group_by(*keys)
            .order_by(oldest)
        )
        with self._looking() as connection:
            return [
                Group(tuple(names), jobs, seconds(first), int(kept))
                for *names, jobs, first, kept in connection.execute(found)
            ]

    def kept(self, pauses: Iterable[Pause]) -> list[Kept]:
        """Return how many held jobs each pause keeps; one that has ended keeps none."""
        time = now() / 1000
        with self._looking() as connection:
            return [
                Kept(
                    pause,
                    connection.scalar(
                        select(func.count())
                        .select_from(JOBS)
                        .where(JOBS.c.state == HELD, _kept_by(pause))
                    )
                    if pause.lasts(time)
                    else 0,
                )
                for pause in pauses
            ]

    def is_known(self, kind: str, name: str) -> bool:
        """Tell whether any job of a beamline, visit or recipe is held, or has been."""
        found = select(JOBS.c.id).where(is_named(JOBS.c[kind], kind, name)).limit(1)
        with self._looking() as connection:
            return connection.execute(found).first() is not None

    def pauses_since(self, begin: float | None) -> list[Pause]:
        """Return all pauses that there have been, first made first.

        :param begin: without those that had ended before then, seconds since the epoch.
        """
        with self._looking() as connection:
            return held_pauses.since(connection, begin)

    def _page(
        self, *conditions: Any, order: Any, maximum: int, plain: bool = False
    ) -> list[Listed]:
        found = select(*LIGHT, *STATE).where(*conditions)
        if plain:
            found = found.with_hint(JOBS, "NOT INDEXED", "sqlite")
        with self._looking() as connection:
            rows = connection.execute(found.order_by(*order).limit(maximum)).all()
        return [
            Listed(job_of(row), row.state, seconds(row.changed), row.owner, row.reason)
            for row in rows
        ]


def _paused(pauses: Iterable[Pause]) -> ColumnElement[int]:
    """Return 1 for a held job that one of the pauses keeps, else 0."""
    keeping = [_kept_by(pause) for pause in pauses]
    if not keeping:
        return literal(0)
    return case(((JOBS.c.state == HELD) & or_(*keeping), 1), else_=0)


def _kept_by(pause: Pause) -> ColumnElement[bool]:
    return is_named(JOBS.c[pause.kind], pause.kind, pause.name)
