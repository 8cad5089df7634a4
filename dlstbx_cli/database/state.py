"""The state store: which processing job was begun for which request.

ISPyB has no place for the identity of a request, so this small store of our own keeps it.
An entry is a reservation, made durable before the job itself is committed: it may name a
job that never came to be, but no job comes to be without one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import Column, Integer, MetaData, String, Table, delete, insert, or_, select

from dlstbx_cli.database.connection import connect, reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

_LONGEST = 200
_JOBS = Table(
    "dlstbx_job",
    MetaData(),
    Column("identity", String(_LONGEST), primary_key=True),
    Column("job_id", Integer, nullable=False, unique=True),
)


class JobState:
    """The reservations: identity of a request -> id of its ProcessingJob."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._made = False

    @classmethod
    def at(cls, url: str) -> JobState:
        """Open the store at an SQLAlchemy URL; an SQLite file is made on first use.

        Raises Misconfigured.
        """
        return cls(connect(url, create=True))

    def job_of(self, identity: str) -> int | None:
        """Return the job id reserved for an identity. Raises Unavailable."""
        self._make()
        with reading(self._engine) as connection:
            return connection.scalar(
                select(_JOBS.c.job_id).where(_JOBS.c.identity == _key(identity))
            )

    def reserve(self, identity: str, job_id: int, *, known: int | None) -> bool:
        """Reserve a job id for an identity, durably; tell whether that was possible.

        It is not if the identity's entry is no longer the *known* one: someone else is at
        work on the same request. An id is given out again by a database whose transaction
        with it was rolled back, so an older reservation of the same id is void: it goes.

        Raises Unavailable.
        """
        self._make()
        key = _key(identity)
        with writing(self._engine) as connection:
            of_identity = select(_JOBS.c.job_id).where(_JOBS.c.identity == key)
            if connection.scalar(of_identity.with_for_update()) != known:
                return False
            connection.execute(
                delete(_JOBS).where(or_(_JOBS.c.identity == key, _JOBS.c.job_id == job_id))
            )
            connection.execute(insert(_JOBS).values(identity=key, job_id=job_id))
        return True

    def _make(self) -> None:
        if self._made:
            return
        with writing(self._engine) as connection:
            _JOBS.create(connection, checkfirst=True)
        self._made = True


def _key(identity: str) -> str:
    # Ours are UUIDs. A foreign one may be of any length, and hold what is not UTF-8.
    if identity.isascii() and len(identity) < _LONGEST:
        return identity
    return "sha256:" + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
