"""Writing processing jobs to ISPyB: all or nothing, and one job for one request.

ISPyB has no column for the identity of a request. So the state store is told which id the
job will have after everything is written, but before it is committed. Whoever comes again
with the same identity, after a crash at any instant, finds one of three states:

* nothing reserved: nothing was committed, the job is written;
* an id reserved that ISPyB does not have: the transaction was rolled back, the job is written;
* an id reserved that ISPyB has: that is the job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exc, insert, select

from dlstbx_cli.database.connection import reading, writing
from dlstbx_cli.database.identifiers import identifier, shown
from dlstbx_cli.database.tables import Schema
from dlstbx_cli.services.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from dlstbx_cli.database.state import JobState
    from dlstbx_cli.services.ispyb_job import Job, Sweep

#: ProcessingJobImageSweep's image numbers are unsigned MEDIUMINTs.
_LARGEST_IMAGE = 2**24 - 1
#: How many ids are asked for in one statement: SQLite has a limit.
_AT_ONCE = 500
_ATTEMPTS = 3


class _Overtaken(Exception):
    """Another process is at work on the same request."""


class IspybJobs:
    """Processing jobs in an ISPyB that may be written to through tables.

    :param engine: of the ISPyB database.
    :param state: remembers which job was begun for which request; another database.
    """

    def __init__(self, engine: Engine, state: JobState) -> None:
        self._engine = engine
        self._state = state
        self._schema = Schema()

    def image_range(self, dcid: int) -> tuple[int | None, int | None]:
        """Return startImageNumber and numberOfImages of a collection.

        Raises Rejected for an unknown DCID, Unavailable.
        """
        dc = self._schema["DataCollection"]
        statement = select(dc.c.startImageNumber, dc.c.numberOfImages).where(
            dc.c.dataCollectionId == identifier(dcid, "DCID")
        )
        with reading(self._engine) as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise Rejected(f"DCID {dcid} is not in ISPyB")
        return row[0], row[1]

    def create(self, identity: str, job: Job) -> int:
        """Write the job with its parameters and sweeps in one transaction; return its id.

        For an identity whose job has been written before, return that job's id and
        write nothing. Raises Rejected (an unknown DCID, a value that ISPyB cannot hold),
        Unavailable.
        """
        _check(job)
        for _ in range(_ATTEMPTS):
            try:
                return self._create(identity, job)
            except _Overtaken:
                continue
            except (exc.DataError, exc.IntegrityError, UnicodeEncodeError) as error:
                cause = getattr(error, "orig", None) or error
                raise Rejected(f"ISPyB cannot hold this job: {cause}") from error
        raise Unavailable("another process is writing the same job; try again later")

    def _create(self, identity: str, job: Job) -> int:
        with writing(self._engine) as connection:
            known = self._state.job_of(identity)
            if known is not None and self._has(connection, known, job):
                # Meanwhile somebody else may have been given the same id: their job.
                if self._state.job_of(identity) != known:
                    raise _Overtaken
                return known
            self._require_collections(connection, job)
            job_id = self._write(connection, job)
            if not self._state.reserve(identity, job_id, known=known):
                raise _Overtaken
        return job_id

    def _has(self, connection: Connection, job_id: int, job: Job) -> bool:
        jobs = self._schema["ProcessingJob"]
        statement = select(jobs.c.processingJobId).where(
            jobs.c.processingJobId == job_id,
            jobs.c.dataCollectionId == job.dcid,
            jobs.c.recipe == job.recipe,
        )
        # Waits for a transaction that has written the job and not ended yet.
        return connection.execute(statement.with_for_update()).first() is not None

    def _require_collections(self, connection: Connection, job: Job) -> None:
        dc = self._schema["DataCollection"].c.dataCollectionId
        needed = sorted({job.dcid, *(sweep.dcid for sweep in job.sweeps)})
        for start in range(0, len(needed), _AT_ONCE):
            some = needed[start : start + _AT_ONCE]
            there = set(connection.scalars(select(dc).where(dc.in_(some))))
            missing = [str(dcid) for dcid in some if dcid not in there]
            if missing:
                raise Rejected(f"DCID {', '.join(missing[:10])} is not in ISPyB")

    def _write(self, connection: Connection, job: Job) -> int:
        written = connection.execute(
            insert(self._schema["ProcessingJob"]).values(
                dataCollectionId=job.dcid,
                displayName=job.displayname,
                comments=job.comments,
                recipe=job.recipe,
                automatic=int(job.automatic),
            )
        )
        job_id = int(written.lastrowid)
        parameters = [
            {"parameterKey": key, "parameterValue": value} for key, value in job.parameters
        ]
        sweeps = [_sweep_row(sweep) for sweep in job.sweeps]
        self._write_rows(connection, "ProcessingJobParameter", job_id, parameters)
        self._write_rows(connection, "ProcessingJobImageSweep", job_id, sweeps)
        return job_id

    def _write_rows(
        self, connection: Connection, table: str, job_id: int, rows: list[dict[str, Any]]
    ) -> None:
        if rows:
            values = [{"processingJobId": job_id, **row} for row in rows]
            connection.execute(insert(self._schema[table]), values)


def _sweep_row(sweep: Sweep) -> dict[str, Any]:
    return {"dataCollectionId": sweep.dcid, "startImage": sweep.start, "endImage": sweep.end}


def _check(job: Job) -> None:
    identifier(job.dcid, "DCID")
    for sweep in job.sweeps:
        identifier(sweep.dcid, "a sweep's DCID")
        if not 0 <= sweep.start <= sweep.end <= _LARGEST_IMAGE:
            raise Rejected(
                f"a sweep cannot have the images {shown(sweep.start)} to {shown(sweep.end)}"
            )
