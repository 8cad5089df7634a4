"""A job by ISPyB's stored procedures: what the role of processing services may call.

They are called on SQLAlchemy's connection, not on the ``ispyb`` package's own: that one
commits every statement by itself, and reconnects silently in the middle of a job. Here the
whole job is part of one transaction on one connection; if that is lost, so is the job.

All calls go to the server in one compound statement of MariaDB's (``BEGIN NOT ATOMIC``), so
a job costs two round trips whatever it holds: the calls, and the question for its id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from dlstbx_cli.services.errors import Misconfigured, Rejected

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

    from dlstbx_cli.services.ispyb_job import Job

#: How many parameters or sweeps go into one statement.
_AT_ONCE = 200

_JOB = (
    "SET @dlstbx_job = NULL; CALL upsert_processing_job"
    "(@dlstbx_job, :dcid, :displayname, :comments, :recipe, :automatic);"
)
_PARAMETER = (
    "SET @dlstbx_row = NULL; CALL upsert_processing_job_parameter"
    "(@dlstbx_row, @dlstbx_job, :key{n}, :value{n});"
)
_SWEEP = (
    "SET @dlstbx_row = NULL; CALL upsert_processing_job_image_sweep"
    "(@dlstbx_row, @dlstbx_job, :dcid{n}, :start{n}, :end{n});"
)

#: The texts of a job, as a request calls them: column of a table, argument of a procedure.
_TEXTS = {
    "displayname": (("processingjob", "displayname"), ("upsert_processing_job", "3")),
    "comment": (("processingjob", "comments"), ("upsert_processing_job", "4")),
    "recipe": (("processingjob", "recipe"), ("upsert_processing_job", "5")),
    "the key of parameters": (
        ("processingjobparameter", "parameterkey"),
        ("upsert_processing_job_parameter", "3"),
    ),
    "the value of parameters": (
        ("processingjobparameter", "parametervalue"),
        ("upsert_processing_job_parameter", "4"),
    ),
}
_CHARACTER_SETS = text(
    "SELECT LOWER(TABLE_NAME), LOWER(COLUMN_NAME), CHARACTER_SET_NAME"
    " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
    " AND CHARACTER_SET_NAME IS NOT NULL"
    " AND TABLE_NAME IN ('ProcessingJob', 'ProcessingJobParameter')"
    " UNION ALL SELECT LOWER(SPECIFIC_NAME), CAST(ORDINAL_POSITION AS CHAR), CHARACTER_SET_NAME"
    " FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = DATABASE()"
    " AND CHARACTER_SET_NAME IS NOT NULL"
    " AND SPECIFIC_NAME IN ('upsert_processing_job', 'upsert_processing_job_parameter')"
)


class Procedures:
    """Writes jobs by the procedures of one database."""

    def __init__(self) -> None:
        self._character_sets: dict[str, set[str]] | None = None

    def write(self, connection: Connection, job: Job) -> int:
        """Write a job with its parameters and sweeps; return its id.

        Raises Rejected, before anything is written, for a text that the database's
        character set cannot hold, naming it; Misconfigured if the procedure gives no id;
        SQLAlchemy's errors.
        """
        self._refuse_what_does_not_fit(connection, job)
        rows = iter(_rows(job))
        first = True
        while some := list(islice(rows, _AT_ONCE)):
            values = _job_values(job) if first else {}
            for number, (_, row) in enumerate(some):
                values |= {f"{name}{number}": value for name, value in row.items()}
            connection.execute(_calls(first, tuple(call for call, _ in some)), values)
            first = False
        job_id = connection.scalar(text("SELECT @dlstbx_job"))
        if job_id is None:
            raise Misconfigured("ISPyB's procedure upsert_processing_job gives no id")
        return int(job_id)

    def _refuse_what_does_not_fit(self, connection: Connection, job: Job) -> None:
        # ASCII fits everywhere, and nearly everything is ASCII: no question is asked then.
        unsure = [(name, value) for name, value in _texts(job) if not value.isascii()]
        if not unsure:
            return
        if self._character_sets is None:
            self._character_sets = _character_sets(connection)
        for name, value in unsure:
            for character_set in self._character_sets.get(name, ()):
                _refuse_unless_held(connection, name, value, character_set)


def _rows(job: Job) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the call and its values for each parameter and sweep; there is always a sweep."""
    for key, value in job.parameters:
        yield _PARAMETER, {"key": key, "value": value}
    for sweep in job.sweeps:
        yield _SWEEP, {"dcid": sweep.dcid, "start": sweep.start, "end": sweep.end}


def _job_values(job: Job) -> dict[str, Any]:
    return {
        "dcid": job.dcid,
        "displayname": job.displayname,
        "comments": job.comments,
        "recipe": job.recipe,
        "automatic": int(job.automatic),
    }


@lru_cache(maxsize=256)
def _calls(first: bool, calls: tuple[str, ...]) -> TextClause:
    numbered = " ".join(call.format(n=number) for number, call in enumerate(calls))
    return text(f"BEGIN NOT ATOMIC {_JOB if first else ''} {numbered} END")


def _texts(job: Job) -> Iterator[tuple[str, str]]:
    yield "displayname", job.displayname
    yield "comment", job.comments
    yield "recipe", job.recipe
    for key, value in job.parameters:
        yield "the key of parameters", key
        yield "the value of parameters", value


def _character_sets(connection: Connection) -> dict[str, set[str]]:
    """Return the character sets that each text passes through, utf8mb4 left out: it has all."""
    found = {(row[0], row[1]): str(row[2]) for row in connection.execute(_CHARACTER_SETS)}
    return {
        name: {found[place] for place in places if place in found} - {"utf8mb4"}
        for name, places in _TEXTS.items()
    }


def _refuse_unless_held(connection: Connection, name: str, value: str, character_set: str) -> None:
    # The database itself says what it would make of the text: a ? for what it has not.
    if not re.fullmatch("[a-z0-9_]+", character_set):
        raise Misconfigured(f"ISPyB has an odd character set: {character_set!r}")
    kept = connection.scalar(
        text(f"SELECT CAST(CONVERT(:value USING {character_set}) AS CHAR CHARACTER SET utf8mb4)"),
        {"value": value},
    )
    lost = [one for one, other in zip(value, str(kept), strict=False) if one != other]
    if lost:
        raise Rejected(
            f"job request: {name} holds {lost[0]!r}, which ISPyB's character set"
            f" {character_set} does not have: {value!r:.60}"
        )
