"""A job as rows of ISPyB's tables: the embedded ISPyB has no procedures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from dlstbx_cli.database.tables import Schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dlstbx_cli.services.ispyb_job import Job, Sweep


class Rows:
    """Writes jobs by INSERT."""

    def __init__(self) -> None:
        self._schema = Schema()

    def write(self, connection: Connection, job: Job) -> int:
        """Write a job with its parameters and sweeps; return its id. Raises SQLAlchemy's errors."""
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
        self._write(connection, "ProcessingJobParameter", job_id, parameters)
        self._write(connection, "ProcessingJobImageSweep", job_id, sweeps)
        return job_id

    def _write(
        self, connection: Connection, table: str, job_id: int, rows: list[dict[str, Any]]
    ) -> None:
        if rows:
            values = [{"processingJobId": job_id, **row} for row in rows]
            connection.execute(insert(self._schema[table]), values)


def _sweep_row(sweep: Sweep) -> dict[str, Any]:
    return {"dataCollectionId": sweep.dcid, "startImage": sweep.start, "endImage": sweep.end}
