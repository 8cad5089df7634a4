"""The look-up: a request's parameters, and everything that ISPyB knows about its collection.

Each group of parameters is a module with a function ``parameters(inquiry)``; a further
group is a further module, named in ``GROUPS``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database import collection, related, reprocessing, sample
from dlstbx_cli.database.connection import reading
from dlstbx_cli.database.identifiers import identifier, shown
from dlstbx_cli.database.inquiry import Inquiry, Reader
from dlstbx_cli.database.rows import Joined, Part, Query, Row
from dlstbx_cli.services.errors import Rejected

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from dlstbx_cli.database.tables import Schema

#: What each look-up of a data collection consists of, in order.
GROUPS: tuple[Callable[[Inquiry], dict[str, Any]], ...] = (
    collection.parameters,
    sample.parameters,
    related.parameters,
)


class Lookup:
    """Looks up what ISPyB knows for a request. Statements are built once and kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = Reader()

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request with everything looked up in its parameters: plain JSON data.

        A request that names neither a data collection (``ispyb_dcid``) nor a processing
        job (``ispyb_process``, older name ``ispyb_reprocessing_id``) is returned as it is.
        One that names a job with a recipe, and no recipe itself, gets ``recipes``.

        Raises Rejected, naming the id, for one that is not a positive number or not in the
        database, and for a relative image directory; Unavailable; Misconfigured.
        """
        parameters = dict(request.get("parameters") or {})
        job = _given(parameters, "ispyb_reprocessing_id", "ispyb_process")
        if job is None and parameters.get("ispyb_dcid") is None:
            return dict(request)
        recipes: dict[str, Any] = {}
        with reading(self._engine) as connection:
            if job is not None:
                found = self._job(connection, identifier(job, "ispyb_process"))
                parameters |= {"ispyb_process": job, **found}
                recipes = _recipes(request, found["ispyb_processing_job"])
                if parameters.get("ispyb_dcid") is None:
                    parameters |= _collection_of(found["ispyb_processing_job"])
            if parameters.get("ispyb_dcid") is not None:
                parameters |= self._collection(connection, parameters)
        return {**request, **recipes, "parameters": parameters}

    def run_status(self, dcid: Any) -> str | None:
        """Return DataCollection.runStatus; None while the collection is running.

        Raises Rejected for an unknown or odd DCID, Unavailable.
        """
        number = identifier(dcid, "ispyb_dcid")
        with reading(self._engine) as connection:
            found = self._reader.rows(connection, run_status_query, dcid=number)
        status: str | None = _only(found, "collection", f"DCID {number}")["runStatus"]
        return status

    def _job(self, connection: Connection, number: int) -> dict[str, Any]:
        rows = self._reader.rows(connection, reprocessing.job_query, job=number)
        job = _only(rows, "job", f"processing job {number}")
        sweeps = self._reader.rows(connection, reprocessing.sweeps_query, job=number)
        return reprocessing.parameters(job, rows, sweeps)

    def _collection(self, connection: Connection, parameters: dict[str, Any]) -> dict[str, Any]:
        number = identifier(parameters["ispyb_dcid"], "ispyb_dcid")
        rows = self._reader.rows(connection, collection.query, dcid=number)
        row = _only(rows, "collection", f"DCID {number}")
        inquiry = Inquiry(
            parameters, _uuid(parameters.get("guid")), row, rows[0], self._reader, connection
        )
        found: dict[str, Any] = {}
        try:
            for group in GROUPS:
                found |= group(inquiry)
        except Rejected as error:
            raise Rejected(f"DCID {number}: {error}") from None
        return found


def run_status_query(schema: Schema) -> Query:
    """Build the statement for the run status of a collection."""
    from sqlalchemy import bindparam

    dc = schema["DataCollection"]
    return Query(
        {"collection": Part.of(dc, "DataCollection", ["runStatus"])},
        lambda select: select.where(dc.c.dataCollectionId == bindparam("dcid")),
    )


def _given(parameters: Mapping[str, Any], *names: str) -> Any:
    return next((parameters[name] for name in names if parameters.get(name) is not None), None)


def _only(rows: list[Joined], part: str, what: str) -> Row:
    row = rows[0][part] if rows else None
    if row is None:
        raise Rejected(f"{what} is not in ISPyB")
    return row


def _recipes(request: Mapping[str, Any], job: Row) -> dict[str, Any]:
    if not job["recipe"] or request.get("recipes") or request.get("custom_recipe"):
        return {}
    return {"recipes": [f"ispyb-{job['recipe']}"]}


def _collection_of(job: Row) -> dict[str, Any]:
    dcid = job["dataCollectionId"]
    return {} if dcid is None else {"ispyb_dcid": dcid}


def _uuid(guid: Any) -> str:
    if guid is None or guid == "":
        return str(uuid.uuid4())
    # It names a directory: nothing in it may lead elsewhere.
    if not isinstance(guid, str) or "/" in guid or "\0" in guid or guid in (".", ".."):
        raise Rejected(f"guid must be a text that can name a directory, not {shown(guid)}")
    return guid
