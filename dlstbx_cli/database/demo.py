"""The demo facility: written into an embedded ISPyB, and listed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, insert, select

from dlstbx_cli.database import demo_links, demo_rows
from dlstbx_cli.database.classification import classify
from dlstbx_cli.database.connection import reading, writing
from dlstbx_cli.database.embedded import create
from dlstbx_cli.database.paths import VisitPath
from dlstbx_cli.database.rows import Joined, Part, Query
from dlstbx_cli.database.tables import Schema
from dlstbx_cli.services.errors import Misconfigured

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Collection:
    """A data collection as it is listed for a person.

    :param kinds: what it is, by the names in ``ispyb_dc_class``.
    :param related: how many other collections its group has.
    :param running: whether it has no run status yet.
    """

    dcid: int
    beamline: str | None
    visit: str | None
    kinds: tuple[str, ...]
    detector: str | None
    sample: str | None
    space_group: str | None
    images: int | None
    related: int
    running: bool


@dataclass(frozen=True, slots=True)
class ProcessingJob:
    """A processing job as it is listed for a person.

    :param parameters: ``key:value`` in order.
    :param sweeps: ``DCID:first:last`` in order.
    """

    job: int
    dcid: int | None
    recipe: str | None
    displayname: str | None
    automatic: bool
    parameters: tuple[str, ...]
    sweeps: tuple[str, ...]


def make(url: str) -> Engine:
    """Make an embedded ISPyB with the demo facility at an SQLite URL and return its engine.

    Where it is already, nothing is changed. Raises Misconfigured for a database with other
    data and for a URL that is not SQLite's, Unavailable.
    """
    engine = create(url)
    fill(engine)
    return engine


def fill(engine: Engine) -> bool:
    """Write the demo facility; tell whether it was not there before.

    Raises Misconfigured for a database with other data in it, Unavailable.
    """
    schema, rows = Schema(), demo_rows.tables()
    rows |= demo_links.tables(rows["DataCollection"])
    ours = {row["dataCollectionId"]: row["imageDirectory"] for row in rows["DataCollection"]}
    with writing(engine) as connection:
        if ours.items() <= _directories(connection, schema).items():
            return False
        if not all(_is_empty(connection, schema[name]) for name in rows):
            raise Misconfigured(
                f"the database {engine.url.database} has other data than the demo's in it:"
                " name another file"
            )
        for name, values in rows.items():
            connection.execute(insert(schema[name]), values)
    return True


def collections(engine: Engine) -> list[Collection]:
    """Return the data collections of an embedded ISPyB, by DCID. Raises Unavailable."""
    with reading(engine) as connection:
        found = _query(Schema()).rows(connection, {})
    sizes = Counter(_value(row, "collection", "dataCollectionGroupId") for row in found)
    return [_listed(row, sizes) for row in found]


def processing_jobs(engine: Engine) -> list[ProcessingJob]:
    """Return the processing jobs of an embedded ISPyB, by id. Raises Unavailable."""
    with reading(engine) as connection:
        found = {
            name: [row[name] or {} for row in _whole(name).rows(connection, {})]
            for name in ("ProcessingJob", "ProcessingJobParameter", "ProcessingJobImageSweep")
        }
    parameters: dict[int, list[str]] = defaultdict(list)
    for row in found["ProcessingJobParameter"]:
        text = f"{row['parameterKey']}:{row['parameterValue']}"
        parameters[row["processingJobId"]].append(text)
    sweeps: dict[int, list[str]] = defaultdict(list)
    for row in found["ProcessingJobImageSweep"]:
        text = f"{row['dataCollectionId']}:{row['startImage']}:{row['endImage']}"
        sweeps[row["processingJobId"]].append(text)
    return [
        ProcessingJob(
            job=row["processingJobId"],
            dcid=row["dataCollectionId"],
            recipe=row["recipe"],
            displayname=row["displayName"],
            automatic=bool(row["automatic"]),
            parameters=tuple(parameters[row["processingJobId"]]),
            sweeps=tuple(sweeps[row["processingJobId"]]),
        )
        for row in found["ProcessingJob"]
    ]


def _whole(name: str) -> Query:
    """Build the statement for a whole table by primary key."""
    part = Part.of(Schema()[name], name)
    return Query({name: part}, lambda select: select.order_by(part.columns[0]))


def _directories(connection: Connection, schema: Schema) -> dict[int, str | None]:
    dc = schema["DataCollection"].c
    found = connection.execute(select(dc.dataCollectionId, dc.imageDirectory))
    return {row.dataCollectionId: row.imageDirectory for row in found}


def _is_empty(connection: Connection, table: Table) -> bool:
    return connection.execute(select(table).limit(1)).first() is None


def _query(schema: Schema) -> Query:
    dc, group = schema["DataCollection"].c, schema["DataCollectionGroup"].c
    sample, crystal = schema["BLSample"].c, schema["Crystal"].c
    grid = schema["GridInfo"].c
    source: Any = schema["DataCollection"]
    for table, condition in (
        ("DataCollectionGroup", group.dataCollectionGroupId == dc.dataCollectionGroupId),
        ("BLSession", schema["BLSession"].c.sessionId == group.sessionId),
        ("Detector", schema["Detector"].c.detectorId == dc.detectorId),
        ("BLSample", sample.blSampleId == group.blSampleId),
        ("Crystal", crystal.crystalId == sample.crystalId),
        ("GridInfo", grid.dataCollectionId == dc.dataCollectionId),
    ):
        source = source.outerjoin(schema[table], condition)
    wanted = {
        "session": ("BLSession", ["beamLineName"]),
        "detector": ("Detector", ["detectorModel"]),
        "group": ("DataCollectionGroup", ["experimentType"]),
        "sample": ("BLSample", ["name"]),
        "crystal": ("Crystal", ["spaceGroup"]),
        "grid": ("GridInfo", []),
    }
    parts = {name: Part.of(schema[table], table, names) for name, (table, names) in wanted.items()}
    parts["collection"] = Part.of(schema["DataCollection"], "DataCollection")
    return Query(parts, lambda select: select.select_from(source).order_by(dc.dataCollectionId))


def _listed(row: Joined, sizes: Counter[Any]) -> Collection:
    collection = row["collection"] or {}
    experiment_type = _value(row, "group", "experimentType")
    kinds = classify(collection, experiment_type, has_grid=row["grid"] is not None)
    visit = VisitPath.of(collection["imageDirectory"])
    return Collection(
        dcid=collection["dataCollectionId"],
        beamline=_value(row, "session", "beamLineName"),
        visit=visit.visit if visit else None,
        kinds=tuple(kind for kind, true in kinds.items() if true),
        detector=_value(row, "detector", "detectorModel"),
        sample=_value(row, "sample", "name"),
        space_group=_value(row, "crystal", "spaceGroup"),
        images=collection["numberOfImages"],
        related=sizes[collection["dataCollectionGroupId"]] - 1,
        running=collection["runStatus"] is None,
    )


def _value(row: Joined, part: str, name: str) -> Any:
    found = row[part]
    return None if found is None else found[name]
