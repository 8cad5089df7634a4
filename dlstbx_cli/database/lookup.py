"""The look-up: a request's parameters, and everything that ISPyB knows about its collection.

Each group of parameters is a module with a function ``parameters(inquiry)``, and with
``SOURCES``, which has each of them and says where it comes from; a further group is a
further module, named in ``GROUPS``.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database import (
    collection,
    energy,
    groups,
    pdb,
    related,
    reprocessing,
    sample,
    ssx,
)
from dlstbx_cli.database.connection import reading
from dlstbx_cli.database.identifiers import identifier, shown
from dlstbx_cli.database.inquiry import Inquiry, Reader, Source
from dlstbx_cli.database.paths import VisitPath
from dlstbx_cli.database.recent import Recent, once
from dlstbx_cli.database.rows import Joined, Part, Query, Row
from dlstbx_cli.database.visit import VisitContents, VisitFiles
from dlstbx_cli.services import trace
from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.recipe import JOB_PREFIX

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from dlstbx_cli.database.tables import Schema

#: What each look-up of a data collection consists of, in order.
GROUPS: tuple[ModuleType, ...] = (collection, sample, energy, pdb, related, groups, ssx)
#: Where each parameter comes from, in words for people.
SOURCES: dict[str, str] = {
    name: source for group in (reprocessing, *GROUPS) for name, source in group.SOURCES.items()
}


class Lookup:
    """Looks up what ISPyB knows for a request. Statements are built once and kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = Reader()
        self._bounded = Bounded()
        self._recent = Recent()

    def __call__(self, request: Mapping[str, Any], arrived: float | None = None) -> dict[str, Any]:
        """Return the request with everything looked up in its parameters: plain JSON data.

        A request that names neither a data collection (``ispyb_dcid``) nor a processing
        job (``ispyb_process``, older name ``ispyb_reprocessing_id``) is returned as it is.
        One that names a job with a recipe, and no recipe itself, gets ``recipes``.

        :param arrived: when the request came to us, ``time.monotonic()``: of its collection,
            what another look-up has read since then (a second ago at most) is not read
            again. None: all is read now.

        Raises Rejected, naming the id, for one that is not a positive number or not in the
        database, and for an odd image directory; Stuck if the visit's file system does not
        answer; Unavailable; Misconfigured.
        """
        return self.explained(request, arrived)[0]

    def several(
        self, requests: Sequence[Mapping[str, Any]], names: Collection[str]
    ) -> list[dict[str, Any] | Exception]:
        """Return the parameters of many requests, each of which names a data collection.

        The values are those of a look-up for each alone, but the rows are read for all at a
        time, and only groups of parameters that have one of these names are looked up. In
        place of what cannot be looked up stands the error (Rejected, Stuck; any other one is
        a bug), which is for that one alone.

        Raises Unavailable, Misconfigured.
        """
        wanted = [group for group in GROUPS if not group.SOURCES.keys().isdisjoint(names)]
        given = [dict(request.get("parameters") or {}) for request in requests]
        with reading(self._engine) as connection:
            # A visit's directories, for one, are listed once for all its collections.
            source = Source(self._reader, lambda: connection, once())
            rows = source.read_ahead(collection.query, _numbers(given))
            if related in wanted:
                source.read_ahead(related.query, _groups(rows))
            return [self._attempt(source, parameters, wanted) for parameters in given]

    def _attempt(
        self, source: Source, parameters: dict[str, Any], wanted: Iterable[ModuleType]
    ) -> dict[str, Any] | Exception:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return parameters | _found(self._inquiry(source, parameters), wanted)
        except SQLAlchemyError:
            raise
        except Exception as error:  # a bug, too, is to stop nobody but the one that shows it
            return error

    def explained(
        self, request: Mapping[str, Any], arrived: float | None = None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the request as looked up, and where each of its parameters came from.

        The second is words for people, by parameter; what the request itself gives is not
        in it. *arrived* is that of the look-up; raises as that does.
        """
        parameters = dict(request.get("parameters") or {})
        job = _given(parameters, "ispyb_reprocessing_id", "ispyb_process")
        if job is None and parameters.get("ispyb_dcid") is None:
            return dict(request), {}
        recipes: dict[str, Any] = {}
        origins: dict[str, str] = {}
        recall = self._recent.since(arrived)
        with ExitStack() as stack:
            # A connection is asked for when there is something to read.
            connect = cache(lambda: stack.enter_context(reading(self._engine)))
            if job is not None:
                found = self._job(connect(), identifier(job, "ispyb_process"))
                if parameters.get("ispyb_dcid") is None:
                    found |= _collection_of(found["ispyb_processing_job"])
                parameters |= {"ispyb_process": job, **found}
                recipes = _recipes(request, found["ispyb_processing_job"])
                if recipes:
                    trace.found(recipe=recipes["recipes"][0])
                origins = {name: reprocessing.SOURCES[name] for name in found}
            if parameters.get("ispyb_dcid") is not None:
                source = Source(self._reader, connect, recall)
                inquiry = self._inquiry(source, parameters, job_recipe=bool(recipes))
                found = _found(inquiry, GROUPS)
                parameters |= found
                origins |= _origins(inquiry, found)
        return {**request, **recipes, "parameters": parameters}, origins

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

    def _inquiry(
        self, source: Source, parameters: Mapping[str, Any], *, job_recipe: bool = False
    ) -> Inquiry:
        number = identifier(parameters["ispyb_dcid"], "ispyb_dcid")
        trace.found(dcid=number)
        rows = source.rows_of(collection.query, number)
        row = _only(rows, "collection", f"DCID {number}")
        visit = _visit(number, row["imageDirectory"])
        files = VisitFiles(visit.directory, self._bounded) if visit else None
        return Inquiry(
            parameters=parameters,
            uuid=_uuid(parameters.get("guid")),
            collection=row,
            joined=rows[0],
            source=source,
            visit=visit,
            files=files,
            contents=_contents(source, visit, files, rows[0]["crystal"]),
            job_recipe=job_recipe,
        )


def _visit(dcid: int, directory: str | None) -> VisitPath | None:
    try:
        return VisitPath.of(directory)
    except Rejected as error:
        raise Rejected(f"DCID {dcid}: {error}") from None


def _contents(
    source: Source, visit: VisitPath | None, files: VisitFiles | None, crystal: Row | None
) -> VisitContents:
    if visit is None or files is None:
        return VisitContents()
    # Where ISPyB knows the crystal, a file that hangs or is broken is nobody's concern.
    rest = () if sample.has_symmetry(crystal) else visit.rest
    return source.contents(files, frozenset(name.lower() for name in rest))


def _numbers(several: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """Yield the numbers of the collections; what is none is refused in its own look-up."""
    for parameters in several:
        with suppress(Rejected):
            yield identifier(parameters.get("ispyb_dcid"), "ispyb_dcid")


def _groups(rows: Iterable[Joined]) -> Iterator[int]:
    for joined in rows:
        row = joined["collection"]
        if row is not None and row["dataCollectionGroupId"] is not None:
            yield row["dataCollectionGroupId"]


def _found(inquiry: Inquiry, wanted: Iterable[ModuleType]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        for group in wanted:
            found |= group.parameters(inquiry)
    except Rejected as error:
        raise Rejected(f"DCID {inquiry.dcid}: {error}") from None
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


def _origins(inquiry: Inquiry, found: Mapping[str, Any]) -> dict[str, str]:
    """Return where each value came from, in words for people."""
    return {name: inquiry.origins.get(name) or SOURCES[name] for name in found}


def _recipes(request: Mapping[str, Any], job: Row) -> dict[str, Any]:
    if not job["recipe"] or request.get("recipes") or request.get("custom_recipe"):
        return {}
    return {"recipes": [f"{JOB_PREFIX}{job['recipe']}"]}


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
