"""The parameters of a processing job, for a request that names one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlstbx_cli.database import paths
from dlstbx_cli.database.rows import Joined, Part, Query, Row
from dlstbx_cli.database.tables import Schema, column

#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_process": "the request",
    "ispyb_dcid": "ProcessingJob.dataCollectionId",
    "ispyb_processing_job": "ProcessingJob, the whole row",
    "ispyb_processing_parameters": "ProcessingJobParameter, the values of each parameterKey",
    "ispyb_reprocessing_parameters": "ProcessingJobParameter, the last value of each parameterKey",
    "ispyb_images": "ProcessingJobImageSweep: DataCollection.imageDirectory + fileTemplate at"
    " startImage, startImage and endImage",
}


def job_query(schema: Schema) -> Query:
    """Build the statement for a job beside each of its parameters, in order."""
    from sqlalchemy import bindparam

    job, parameter = schema["ProcessingJob"], schema["ProcessingJobParameter"]
    link = column(parameter, "processingJobId") == job.c.processingJobId
    return Query(
        {
            "job": Part.of(job, "ProcessingJob"),
            "parameter": Part.of(
                parameter, "ProcessingJobParameter", ["parameterKey", "parameterValue"]
            ),
        },
        lambda select: (
            select.select_from(job.outerjoin(parameter, link))
            .where(job.c.processingJobId == bindparam("job"))
            .order_by(parameter.c.processingJobParameterId)
        ),
    )


def sweeps_query(schema: Schema) -> Query:
    """Build the statement for the image sweeps of a job beside their collections, in order."""
    from sqlalchemy import bindparam

    sweep, dc = schema["ProcessingJobImageSweep"], schema["DataCollection"]
    link = column(sweep, "dataCollectionId") == dc.c.dataCollectionId
    return Query(
        {
            "sweep": Part.of(sweep, "ProcessingJobImageSweep", ["startImage", "endImage"]),
            "collection": Part.of(dc, "DataCollection", ["imageDirectory", "fileTemplate"]),
        },
        lambda select: (
            select.select_from(sweep.join(dc, link))
            .where(column(sweep, "processingJobId") == bindparam("job"))
            .order_by(sweep.c.processingJobImageSweepId)
        ),
    )


def parameters(job: Row, rows: Sequence[Joined], sweeps: Sequence[Joined]) -> dict[str, Any]:
    """Return the parameters of this group.

    :param job: the ProcessingJob row.
    :param rows: the rows of ``job_query``.
    :param sweeps: the rows of ``sweeps_query``.

    A parameter without a key, and a sweep without image numbers or a file template, says
    nothing and is left out.
    """
    values: dict[str, list[str | None]] = {}
    for row in rows:
        parameter = row["parameter"]
        if parameter is not None and parameter["parameterKey"] is not None:
            values.setdefault(parameter["parameterKey"], []).append(parameter["parameterValue"])
    files = (_sweep({**(row["sweep"] or {}), **(row["collection"] or {})}) for row in sweeps)
    return {
        "ispyb_processing_job": job,
        "ispyb_processing_parameters": values,
        "ispyb_reprocessing_parameters": {key: given[-1] for key, given in values.items()},
        "ispyb_images": ",".join(file for file in files if file),
    }


def _sweep(row: Row) -> str | None:
    first, last, template = row["startImage"], row["endImage"], row["fileTemplate"]
    if first is None or last is None or not template:
        return None
    return paths.sweep(row["imageDirectory"], template, first, last)
