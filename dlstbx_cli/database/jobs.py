"""Writing processing jobs to ISPyB: all or nothing, and one job for one request.

ISPyB has no column for the identity of a request. So the state store is told which id the
job will have after everything is written, but before it is committed. Whoever comes again
with the same identity, after a crash at any instant, finds one of three states:

* nothing reserved: nothing was committed, the job is written;
* an id reserved that ISPyB does not have: the transaction was rolled back, the job is written;
* an id reserved that ISPyB has: that is the job.

Of two that come at the same time, one makes its reservation first; the other one cannot,
rolls back what it has written, and looks again. The row of a job that is not committed yet
is locked: whoever looks for it waits until its fate is known.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import exc, select, text

from dlstbx_cli.database.connection import Contended, reading, translated, writing
from dlstbx_cli.database.identifiers import identifier, shown
from dlstbx_cli.database.job_rows import Rows
from dlstbx_cli.database.procedures import Procedures
from dlstbx_cli.database.state import key_of
from dlstbx_cli.database.store import now
from dlstbx_cli.database.tables import Schema
from dlstbx_cli.services.errors import Rejected, Unavailable
from dlstbx_cli.services.ispyb_job import Made

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from dlstbx_cli.database.state import Claim, Entry, JobState
    from dlstbx_cli.services.ispyb_job import Job, Window

logger = logging.getLogger(__name__)

#: ProcessingJobImageSweep's image numbers are unsigned MEDIUMINTs.
_LARGEST_IMAGE = 2**24 - 1
#: How many ids are asked for in one statement: SQLite has a limit.
_AT_ONCE = 500
_ATTEMPTS = 5


class _Overtaken(Exception):
    """Another process is at work on the same request."""


class Writer(Protocol):
    """A way to write a job within a transaction."""

    def write(self, connection: Connection, job: Job) -> int:
        """Write a job with its parameters and sweeps; return its id."""


class IspybJobs:
    """Processing jobs in an ISPyB.

    :param engine: of the ISPyB database.
    :param state: remembers which job was begun for which request; another database.
    :param writer: the same ISPyB as the user that may write jobs, if that is another one.

    A server is written to by its stored procedures, an SQLite file by its tables.
    """

    def __init__(self, engine: Engine, state: JobState, writer: Engine | None = None) -> None:
        self._reader = engine
        self._engine = writer or engine
        self._state = state
        self._schema = Schema()
        on_file = self._engine.dialect.name == "sqlite"
        self._writer: Writer = Rows() if on_file else Procedures()

    def image_range(self, dcid: int) -> tuple[int | None, int | None]:
        """Return startImageNumber and numberOfImages of a collection.

        Raises Rejected for an unknown DCID, Unavailable.
        """
        dc = self._schema["DataCollection"]
        statement = select(dc.c.startImageNumber, dc.c.numberOfImages).where(
            dc.c.dataCollectionId == identifier(dcid, "DCID")
        )
        with reading(self._reader) as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise Rejected(f"DCID {dcid} is not in ISPyB")
        return row[0], row[1]

    def create(self, identity: str, job: Job, window: Window | None = None) -> Made:
        """Write the job with its parameters and sweeps in one transaction.

        For an identity whose job has been written before, return that job and write
        nothing. The same if another identity's job with the same content was begun
        within the *window*: a duplicate.

        Raises Rejected (an unknown DCID, a value that ISPyB cannot hold), Unavailable.
        """
        _check(job)
        for _ in range(_ATTEMPTS):
            try:
                return self._create(identity, job, window)
            except (_Overtaken, Contended) as error:
                logger.debug("beginning the job anew: %s", error or "overtaken")
            except (exc.DataError, exc.IntegrityError, UnicodeEncodeError) as error:
                cause = getattr(error, "orig", None) or error
                raise Rejected(f"ISPyB cannot hold this job: {cause}") from error
        raise Unavailable("another process is writing the same job; try again later")

    def _create(self, identity: str, job: Job, window: Window | None) -> Made:
        known = self._state.entry(identity)
        claim = self._state.claim(window.content) if window else None
        with writing(self._engine) as connection:
            job_id = self._standing(connection, identity, known, job)
            if job_id is not None:
                return Made(job_id)
            leader = _leader(identity, known, claim, window)
            if leader is not None:
                job_id = self._standing(connection, leader, self._state.entry(leader), job)
                if job_id is not None:
                    _insist(self._state.follow(identity, leader, known=known))
                    return Made(job_id, duplicate=True)
            self._require_collections(job)
            job_id = self._writer.write(connection, job)
            _insist(
                self._state.reserve(
                    identity,
                    job_id,
                    known=known,
                    alive=lambda: self._probe(connection),
                    content=(window.content, claim) if window else None,
                )
            )
        return Made(job_id)

    def _standing(
        self, connection: Connection, identity: str, entry: Entry | None, job: Job
    ) -> int | None:
        """Return the id that was reserved for an identity if ISPyB has that job."""
        if entry is None or entry.job_id is None or not self._has(connection, entry.job_id, job):
            return None
        # Meanwhile somebody else may have been given the same id: their job.
        _insist(self._state.entry(identity) == entry)
        return entry.job_id

    def _has(self, connection: Connection, job_id: int, job: Job) -> bool:
        jobs = self._schema["ProcessingJob"]
        # People may edit name and comment of a job, or change its parameters.
        statement = select(jobs.c.processingJobId).where(
            jobs.c.processingJobId == job_id,
            jobs.c.dataCollectionId == job.dcid,
            jobs.c.recipe == job.recipe,
        )
        # Waits for a transaction that has written the job and not ended yet.
        return connection.execute(statement.with_for_update()).first() is not None

    def _probe(self, connection: Connection) -> None:
        """Raise Unavailable if the transaction on this connection has been lost."""
        with translated(self._engine):
            connection.execute(text("SELECT 1"))

    def _require_collections(self, job: Job) -> None:
        dc = self._schema["DataCollection"].c.dataCollectionId
        needed = sorted({job.dcid, *(sweep.dcid for sweep in job.sweeps)})
        with reading(self._reader) as connection:
            for start in range(0, len(needed), _AT_ONCE):
                some = needed[start : start + _AT_ONCE]
                there = set(connection.scalars(select(dc).where(dc.in_(some))))
                missing = [str(dcid) for dcid in some if dcid not in there]
                if missing:
                    raise Rejected(f"DCID {', '.join(missing[:10])} is not in ISPyB")


def _insist(nobody_was_faster: bool) -> None:
    if not nobody_was_faster:
        raise _Overtaken


def _leader(
    identity: str, known: Entry | None, claim: Claim | None, window: Window | None
) -> str | None:
    """Return the key of the request whose job this one is to be given, if there is one."""
    if known is not None and known.leader is not None:
        return known.leader
    if claim is None or window is None or claim.identity == key_of(identity):
        return None
    return claim.identity if now() - claim.made < 1000 * window.seconds else None


def _check(job: Job) -> None:
    identifier(job.dcid, "DCID")
    for sweep in job.sweeps:
        identifier(sweep.dcid, "a sweep's DCID")
        if not 0 <= sweep.start <= sweep.end <= _LARGEST_IMAGE:
            raise Rejected(
                f"a sweep cannot have the images {shown(sweep.start)} to {shown(sweep.end)}"
            )
