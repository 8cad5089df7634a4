"""The state store: which processing job was begun for which request.

ISPyB has no place for the identity of a request, so this small store of our own keeps it.
An entry is a reservation, made durable before the job itself is committed: it may name a
job that never came to be, but no job comes to be without one. That a job was finished
is not written down: ISPyB has it then.

Each method is one transaction. Nothing is read in one and written in another without being
compared again, so any number of processes may share a store; and only rows that exist are
locked, so that in MariaDB they do not wait for each other.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    String,
    Table,
    delete,
    exc,
    insert,
    select,
    update,
)

from dlstbx_cli.database import store
from dlstbx_cli.database.connection import connect, reading, writing
from dlstbx_cli.database.store import now

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: How long an entry is kept, in days: longer than any message waits for its acknowledgement.
KEPT = 90
_DAY = 86400
_LONGEST = 200
#: Entries that are asked for in one statement: SQLite has a limit.
_AT_ONCE = 500
#: MariaDB's texts are compared without regard to case and spaces at the end; these stay apart.
_PLAIN = re.compile(f"[0-9a-z_:.-]{{1,{_LONGEST}}}")
_METADATA = MetaData()
_RESERVATIONS = Table(
    "dlstbx_reservation",
    _METADATA,
    Column("identity", String(_LONGEST), primary_key=True),
    Column("job_id", BigInteger, unique=True),
    # Whose job was given to this request, which asked for the same; it has none of its own.
    Column("leader", String(_LONGEST)),
    Column("made", BigInteger, nullable=False, index=True),
    mysql_engine="InnoDB",
)
_CONTENTS = Table(
    "dlstbx_content",
    _METADATA,
    Column("content", String(64), primary_key=True),
    Column("identity", String(_LONGEST), nullable=False),
    Column("made", BigInteger, nullable=False, index=True),
    mysql_engine="InnoDB",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a request: the job reserved for it, or whose job it was given."""

    job_id: int | None
    leader: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The latest request for some content: its key, and when its job was begun.

    :param made: milliseconds since the epoch.
    """

    identity: str
    made: int


class _Changed(Exception):
    """Somebody else has changed the entry meanwhile."""


class JobState:
    """The reservations: identity of a request -> id of its ProcessingJob.

    Every method raises Unavailable.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pruned = float(-_DAY)

    @classmethod
    def at(cls, url: str) -> JobState:
        """Open the store at an SQLAlchemy URL; an SQLite file is made on first use.

        Raises Misconfigured.
        """
        return cls(connect(url, store=True))

    def entry(self, identity: str) -> Entry | None:
        """Return what is known of a request."""
        columns = _RESERVATIONS.c
        row = self._first(columns.job_id, columns.leader, identity=key_of(identity))
        return None if row is None else Entry(row[0], row[1])

    def claim(self, content: str) -> Claim | None:
        """Return the latest request for a content (a digest of 64 characters)."""
        row = self._first(_CONTENTS.c.identity, _CONTENTS.c.made, content=content)
        return None if row is None else Claim(row[0], row[1])

    def reserve(
        self,
        identity: str,
        job_id: int,
        *,
        known: Entry | None,
        alive: Callable[[], object],
        content: tuple[str, Claim | None] | None = None,
    ) -> bool:
        """Reserve a job id for an identity, durably; tell whether that was possible.

        It is not if the identity's entry is no longer the *known* one, or if the claim for
        *content* (a digest, and its claim as it was seen) is another one: someone else is at
        work on the same request.

        An id may be given out again by a database whose transaction with it was rolled
        back, so another reservation of this id is void: it goes. Only a transaction that
        has not been lost itself may say so: *alive* is called before, and raises if it was.
        """
        self._prepare()
        key = key_of(identity)
        try:
            with writing(self._engine) as connection:
                _void_others(connection, key, job_id, alive)
                _put(connection, key, job_id, known)
                if content is not None:
                    _stake(connection, key, *content)
        except (_Changed, exc.IntegrityError):
            return False
        return True

    def follow(self, identity: str, leader: str, *, known: Entry | None) -> bool:
        """Note that a request was given the job of another one; tell whether that was possible."""
        key = key_of(identity)
        try:
            with writing(self._engine) as connection:
                _put(connection, key, None, known, leader)
        except (_Changed, exc.IntegrityError):
            return False
        return True

    def jobs_of(self, identities: Sequence[str]) -> dict[str, int]:
        """Return the jobs begun for some requests, by identity. Raises as the others do."""
        keys = {key_of(identity): identity for identity in identities}
        found = self._reserved(_RESERVATIONS.c.identity, list(keys))
        return {keys[key]: job for key, job in found}

    def keys_of(self, jobs: Sequence[int]) -> dict[int, str]:
        """Return the key of the request that each of some jobs was begun for, if it is known."""
        return {job: key for key, job in self._reserved(_RESERVATIONS.c.job_id, jobs)}

    def _reserved(self, column: Column[Any], values: Sequence[Any]) -> list[tuple[str, int]]:
        self._prepare()
        found: list[tuple[str, int]] = []
        with reading(self._engine) as connection:
            for start in range(0, len(values), _AT_ONCE):
                some = select(_RESERVATIONS.c.identity, _RESERVATIONS.c.job_id).where(
                    column.in_(values[start : start + _AT_ONCE]),
                    _RESERVATIONS.c.job_id.is_not(None),
                )
                found += [(row[0], row[1]) for row in connection.execute(some)]
        return found

    def _first(self, *columns: Column[Any], **keys: str) -> tuple[Any, ...] | None:
        self._prepare()
        statement = select(*columns).filter_by(**keys)
        with reading(self._engine) as connection:
            row = connection.execute(statement).first()
        return None if row is None else tuple(row)

    def _prepare(self) -> None:
        """Make the tables at the first use; then, and once a day, remove what is too old."""
        if time.monotonic() - self._pruned < _DAY:
            return
        store.prepare(self._engine, _METADATA)
        with writing(self._engine) as connection:
            for table in _METADATA.tables.values():
                connection.execute(delete(table).where(table.c.made < now() - 1000 * KEPT * _DAY))
        self._pruned = time.monotonic()


def key_of(identity: str) -> str:
    """Return the key of an identity: itself, or a digest if a database might confuse it.

    Ours are UUIDs. A foreign one may be of any length, and hold what is not UTF-8.
    """
    if _PLAIN.fullmatch(identity):
        return identity
    return "sha256:" + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()


def _void_others(
    connection: Connection, key: str, job_id: int, alive: Callable[[], object]
) -> None:
    entries = _RESERVATIONS.c
    others = select(entries.identity).where(entries.job_id == job_id, entries.identity != key)
    for other in connection.scalars(others).all():
        alive()
        connection.execute(
            delete(_RESERVATIONS).where(entries.identity == other, entries.job_id == job_id)
        )


def _put(
    connection: Connection,
    key: str,
    job_id: int | None,
    known: Entry | None,
    leader: str | None = None,
) -> None:
    values = {"job_id": job_id, "leader": leader, "made": now()}
    if known is None:
        connection.execute(insert(_RESERVATIONS).values(identity=key, **values))
        return
    entries = _RESERVATIONS.c
    # With None, == is IS NULL.
    same = (entries.identity == key, entries.job_id == known.job_id, entries.leader == known.leader)
    if connection.execute(update(_RESERVATIONS).where(*same).values(values)).rowcount != 1:
        raise _Changed


def _stake(connection: Connection, key: str, content: str, seen: Claim | None) -> None:
    values = {"identity": key, "made": now()}
    if seen is None:
        connection.execute(insert(_CONTENTS).values(content=content, **values))
        return
    claims = _CONTENTS.c
    same = (claims.content == content, claims.identity == seen.identity, claims.made == seen.made)
    if connection.execute(update(_CONTENTS).where(*same).values(values)).rowcount != 1:
        raise _Changed
