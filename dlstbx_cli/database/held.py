"""The store of held jobs: where they wait for room on their cluster, and their history."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import ColumnElement, delete, exc, func, insert, select, update

from dlstbx_cli.database import held_pauses, store
from dlstbx_cli.database.connection import Contended, connect, reading, writing
from dlstbx_cli.database.held_rows import entry_of, job_of, seconds
from dlstbx_cli.database.held_tables import (
    CANCELLED,
    GOING,
    HELD,
    JOBS,
    METADATA,
    RELEASED,
    STATISTICS,
)
from dlstbx_cli.database.renewal import repeated
from dlstbx_cli.database.state import key_of
from dlstbx_cli.database.store import now
from dlstbx_cli.services.held.port import Entry, Seen
from dlstbx_cli.services.held.values import SETTLING, Held, Pause, Statistic
from dlstbx_cli.services.message import Message

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Executable

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Seconds after which a claim is taken over that was neither renewed nor followed by a
#: release: its owner has been killed between the two.
LEASE = 30.0
#: Days that the history is kept, and that a visit's last release counts for fairness.
KEPT, REMEMBERED = 90, 7
_DAY = 86400
#: Jobs that are claimed at once.
_BATCH = 500
_ATTEMPTS = 5

#: Columns: what a job is, and what has become of it.
LIGHT = (
    *(JOBS.c.id, JOBS.c.cluster, JOBS.c.taken, JOBS.c.beamline, JOBS.c.visit),
    *(JOBS.c.recipe, JOBS.c.dcid, JOBS.c.job),
)
STATE = (JOBS.c.state, JOBS.c.changed, JOBS.c.owner, JOBS.c.reason)
_WHOLE = (*LIGHT, *STATE, JOBS.c.headers, JOBS.c.body)


class HeldJobs:
    """The store at an SQLAlchemy engine, see :class:`dlstbx_cli.services.held.port.HeldStore`.

    Any number of processes may share it: what one claims, no other does, and each counts
    what the others have released.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pruned = float(-_DAY)
        self._file: tuple[int, int] | None = None

    @classmethod
    def at(cls, url: str) -> Self:
        """Open the store at a URL; an SQLite file is made on first use. Raises Misconfigured."""
        return cls(connect(url, store=True))

    def hold(self, job: Held, message: Message) -> bool:
        """Keep a job; False if its identity is known already."""
        values = {
            "identity": key_of(message.identity),
            "cluster": job.cluster[:100],
            "beamline": job.beamline[:100],
            "visit": job.visit[:100],
            "recipe": job.recipe[:100],
            "dcid": job.dcid,
            "job": job.job,
            "taken": now(),
            "state": HELD,
            "changed": now(),
            "owner": "",
            "reason": "",
            "headers": json.dumps(dict(message.headers)),
            "body": json.dumps(message.body),
        }
        self._prepare()
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(JOBS).values(values))
        except exc.IntegrityError:
            return False
        return True

    def note(self, statistic: Statistic) -> None:
        """Remember a statistic of a cluster, if it is newer than the last."""
        values = {"waiting": statistic.waiting, "timestamp": int(1000 * statistic.timestamp)}
        same = STATISTICS.c.cluster == statistic.cluster
        self._prepare()
        with writing(self._engine) as connection:
            newer = STATISTICS.c.timestamp <= values["timestamp"]
            if connection.execute(update(STATISTICS).where(same, newer).values(values)).rowcount:
                return
            if connection.execute(select(STATISTICS.c.cluster).where(same)).first() is not None:
                return
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(STATISTICS).values(cluster=statistic.cluster, **values))
        except exc.IntegrityError:  # another process was first: its statistic is as new
            return

    def clusters(self) -> dict[str, int]:
        """Return how many jobs are held, by cluster."""
        count = select(JOBS.c.cluster, func.count()).where(JOBS.c.state == HELD)
        with self._looking() as connection:
            rows = connection.execute(count.group_by(JOBS.c.cluster)).all()
        return {row[0]: row[1] for row in rows}

    def claim(
        self,
        cluster: str,
        free: Callable[[Seen], int],
        choose: Callable[[Iterable[Held], Seen, int], Sequence[Held]],
    ) -> list[Entry]:
        """Claim jobs of a cluster for release, in the order in which they were chosen."""
        self._prepare()
        return self._again(lambda: self._claim(cluster, free, choose))

    def abandoned(self) -> list[Entry]:
        """Claim again what was claimed a while ago and never released."""
        before = now() - int(1000 * LEASE)
        left = select(JOBS.c.id).where(JOBS.c.state == GOING, JOBS.c.changed < before)
        with self._looking() as connection:
            numbers = connection.scalars(left.order_by(JOBS.c.id).limit(_BATCH)).all()
        if not numbers:
            return []
        same = (JOBS.c.state == GOING, JOBS.c.changed < before)
        return self._again(lambda: self._take_over(numbers, *same))

    def take(self, numbers: Sequence[int], owner: str, reason: str) -> list[Entry]:
        """Claim held jobs by their numbers, for somebody who releases them regardless."""
        self._prepare()
        return self._again(
            lambda: self._take_over(numbers, JOBS.c.state == HELD, owner=owner, reason=reason)
        )

    @contextmanager
    def renewing(self, numbers: Sequence[int]) -> Iterator[None]:
        """Keep claims up while what was claimed is being sent, however long that takes."""
        claimed = JOBS.c.id.in_(numbers), JOBS.c.state == GOING
        last = time.monotonic()

        def renew() -> None:
            nonlocal last
            begun = time.monotonic()
            # All by the same time: one after the other, as in _going. They count as
            # released from now on, for a limit as well: that is when they are sent.
            later = JOBS.c.changed + int(1000 * (begun - last))
            self._execute(update(JOBS).where(*claimed).values(changed=later))
            last = begun

        if not numbers:
            yield
            return
        with repeated(renew, LEASE / 4):
            yield

    def released(self, numbers: Sequence[int]) -> None:
        """Note that claimed jobs have been sent; when they were claimed is when they went."""
        gone = update(JOBS).where(JOBS.c.id.in_(numbers), JOBS.c.state == GOING)
        # They have been sent: not to note it would be to send them again.
        self._again(lambda: self._execute(gone.values(state=RELEASED)))

    def cancel(self, numbers: Sequence[int], owner: str, reason: str) -> list[int]:
        """Cancel held jobs; return the numbers of those that were held."""
        self._prepare()
        values = {"state": CANCELLED, "changed": now(), "owner": owner, "reason": reason}

        def cancel() -> list[int]:
            with writing(self._engine) as connection:
                return [
                    number
                    for number in numbers
                    if connection.execute(
                        update(JOBS).where(JOBS.c.id == number, JOBS.c.state == HELD).values(values)
                    ).rowcount
                ]

        return self._again(cancel)

    def pause(self, pause: Pause) -> int:
        """Add a pause that begins now, and return its number."""
        self._prepare()
        with writing(self._engine) as connection:
            return held_pauses.add(connection, pause)

    def resume(self, owner: str, *wanted: ColumnElement[bool]) -> list[Pause]:
        """End the pauses that meet all conditions on PAUSES, for *owner*; return them."""
        self._prepare()
        with writing(self._engine) as connection:
            return held_pauses.end(connection, owner, *wanted)

    def pauses(self, *wanted: ColumnElement[bool]) -> list[Pause]:
        """Return the pauses that have not ended."""
        with self._looking() as connection:
            return held_pauses.current(connection, *wanted)

    def statistics(self) -> dict[str, Statistic]:
        """Return the last statistic of each cluster."""
        with self._looking() as connection:
            rows = connection.execute(select(STATISTICS)).all()
        return {
            row.cluster: Statistic(row.cluster, row.waiting, seconds(row.timestamp)) for row in rows
        }

    def seen(self, cluster: str) -> Seen:
        """Return what is known about a cluster now."""
        with self._looking() as connection:
            return _seen(connection, cluster)

    def held(self, *wanted: ColumnElement[bool]) -> list[Held]:
        """Return the jobs that are held and meet all conditions on JOBS, first in first."""
        with self._looking() as connection:
            return _held(connection, *wanted)

    def entries(self, *wanted: ColumnElement[bool], maximum: int | None = None) -> Iterator[Entry]:
        """Yield the jobs that meet all conditions on JOBS, in whatever state, by number."""
        found = select(*_WHOLE).where(*wanted).order_by(JOBS.c.id).limit(maximum)
        with self._looking() as connection:
            for row in connection.execution_options(yield_per=200).execute(found):
                yield entry_of(row)

    def _claim(
        self,
        cluster: str,
        free: Callable[[Seen], int],
        choose: Callable[[Iterable[Held], Seen, int], Sequence[Held]],
    ) -> list[Entry]:
        with writing(self._engine) as connection:
            # One releaser at a time for each cluster: the others wait for this row, and
            # then count what was claimed. (SQLite has locked the whole file already.)
            same = STATISTICS.c.cluster == cluster
            connection.execute(select(STATISTICS.c.cluster).where(same).with_for_update()).first()
            seen = _seen(connection, cluster)
            number = min(free(seen), _BATCH)
            if number <= 0:
                return []
            chosen = choose(_held(connection, JOBS.c.cluster == cluster), seen, number)
            return _going(connection, [job.number for job in chosen], JOBS.c.state == HELD)

    def _take_over(
        self, numbers: Sequence[int], *same: ColumnElement[bool], **values: str
    ) -> list[Entry]:
        with writing(self._engine) as connection:
            return _going(connection, numbers, *same, **values)

    def _execute(self, statement: Executable) -> None:
        with writing(self._engine) as connection:
            connection.execute(statement)

    def _again(self, work: Callable[[], Result]) -> Result:
        """Do a transaction, again if another one was in its way (MariaDB's dead-locks)."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return work()
            except Contended:
                time.sleep(0.05)
        return work()

    def _looking(self) -> Any:
        self._prepare()
        return reading(self._engine)

    def _prepare(self) -> None:
        fresh = time.monotonic() - self._pruned < _DAY
        if fresh and self._file == store.identity(self._engine):
            return
        if fresh:
            # What would be written to a file that has been removed would be lost.
            logger.warning("the state store has been removed or replaced: it is opened anew")
            self._engine.dispose()
        store.prepare(self._engine, METADATA)
        self._file = store.identity(self._engine)
        before = now() - 1000 * KEPT * _DAY
        with writing(self._engine) as connection:
            ended = JOBS.c.state.in_([RELEASED, CANCELLED])
            connection.execute(delete(JOBS).where(ended, JOBS.c.changed < before))
            held_pauses.prune(connection, before)
        self._pruned = time.monotonic()


def _going(
    connection: Connection, numbers: Sequence[int], *same: ColumnElement[bool], **values: str
) -> list[Entry]:
    """Claim jobs that are still as they were; return these, in the order of *numbers*."""
    taken = [
        number
        # One after the other, so that the visit served last is known: see released_at.
        for place, number in enumerate(numbers)
        if connection.execute(
            update(JOBS)
            .where(JOBS.c.id == number, *same)
            .values(state=GOING, changed=now() + place, **values)
        ).rowcount
    ]
    rows = connection.execute(select(*_WHOLE).where(JOBS.c.id.in_(taken))).all()
    by_number = {row.id: entry_of(row) for row in rows}
    return [by_number[number] for number in taken]


def _seen(connection: Connection, cluster: str) -> Seen:
    row = connection.execute(select(STATISTICS).where(STATISTICS.c.cluster == cluster)).first()
    statistic = Statistic(cluster, row.waiting, seconds(row.timestamp)) if row else None
    gone = (JOBS.c.state.in_([GOING, RELEASED]), JOBS.c.cluster == cluster)
    # A clock that is ahead of ours must not make releases invisible.
    since = min(row.timestamp if row else now(), now()) - int(1000 * SETTLING)
    lately = select(JOBS.c.changed).where(*gone, JOBS.c.changed > since)
    remembered = now() - 1000 * REMEMBERED * _DAY
    turn = func.lower(JOBS.c.visit)
    served = (
        select(turn, func.max(JOBS.c.changed))
        .where(*gone, JOBS.c.changed > remembered)
        .group_by(turn)
    )
    return Seen(
        statistic,
        [seconds(changed) for changed in connection.scalars(lately)],
        {visit: seconds(changed) for visit, changed in connection.execute(served)},
        held_pauses.current(connection),
    )


def _held(connection: Connection, *wanted: ColumnElement[bool]) -> list[Held]:
    found = select(*LIGHT).where(JOBS.c.state == HELD, *wanted).order_by(JOBS.c.id)
    return [job_of(row) for row in connection.execute(found)]
