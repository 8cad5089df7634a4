"""An ISPyB with as many collections as wanted: copies of the demo facility, day after day.

Each copy has visits, samples and groups of its own, so that all kinds of collections, on all
beamlines and detectors, are spread evenly over the days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert

from dlstbx_cli.database import demo_links, demo_rows
from dlstbx_cli.database.connection import writing
from dlstbx_cli.database.demo_rows import Tables, Values
from dlstbx_cli.database.embedded import create
from dlstbx_cli.database.tables import Schema, snapshot

#: When the first collection begins.
BEGIN = datetime(2026, 6, 1)
#: What all copies share.
_SHARED = ("Proposal", "Detector", "ProcessingPipeline", "EventType")
#: Columns that lead to other tables, though the schema does not say so.
_LEADING = {"SESSIONID": "BLSession", "BLSAMPLEID": "BLSample"}


def make(url: str, collections: int, *, days: float = 30) -> Engine:
    """Make an embedded ISPyB with so many collections, and return its engine."""
    engine = create(url)
    fill(engine, collections, days=days)
    return engine


def fill(engine: Engine, collections: int, *, days: float = 30) -> None:
    """Write so many collections, evenly spread over the days, into an ISPyB without any."""
    schema = Schema()
    with writing(engine) as connection:
        for rows in _copies(collections, timedelta(days=days) / collections):
            for name, values in rows.items():
                connection.execute(insert(schema[name]), values)


def _copies(collections: int, apart: timedelta) -> Iterator[Tables]:
    tables = demo_rows.tables()
    tables |= demo_links.tables(tables["DataCollection"])
    yield {name: tables.pop(name) for name in _SHARED}
    steps = {name: _span(name, rows) for name, rows in tables.items()}
    size = len(tables["DataCollection"])
    for number in range(-(-collections // size)):
        copied = {
            name: [_copied(name, row, number, steps) for row in rows]
            for name, rows in tables.items()
        }
        before = number * size
        _set_times(copied, BEGIN + before * apart, apart)
        if before + size > collections:
            _cut(copied, collections - before)
        yield {name: rows for name, rows in copied.items() if rows}


def _span(table: str, rows: list[Values]) -> int:
    """Return how far the numbers of the next copy are from those of this one."""
    key = next(column["name"] for column in snapshot()[table] if column.get("primary_key"))
    numbers = [row[key] for row in rows if key in row]  # the database may give it
    return max(numbers) - min(numbers) + 1 if numbers else 0


def _copied(table: str, row: Values, number: int, steps: dict[str, int]) -> Values:
    """Return a row of a copy: its numbers, and those that lead to others, further on."""
    copied = dict(row)
    for column in snapshot()[table]:
        name = column["name"]
        there = column.get("references", "").partition(".")[0] or _LEADING.get(name)
        if there is None and column.get("primary_key"):
            there = table
        if there in steps and copied.get(name) is not None:
            copied[name] += number * steps[there]
    if table == "BLSession":
        copied["visit_number"] += 100 * number
    if table == "DataCollection":
        copied["imageDirectory"] = _moved(copied["imageDirectory"], number)
    return copied


def _moved(directory: str, number: int) -> str:
    """Return an image directory in a later visit of the same proposal."""
    names = directory.split("/")
    proposal, _, visit = names[5].partition("-")
    names[5] = f"{proposal}-{int(visit) + 100 * number}"
    return "/".join(names)


def _set_times(rows: Tables, begin: datetime, apart: timedelta) -> None:
    first: dict[Any, datetime] = {}
    for place, row in enumerate(rows["DataCollection"]):
        start = begin + place * apart
        if row["endTime"] is not None:
            row["endTime"] = start + (row["endTime"] - row["startTime"])
        row["startTime"] = start
        first.setdefault(row["dataCollectionGroupId"], start)
    for row in rows["DataCollectionGroup"]:
        row["startTime"] = first[row["dataCollectionGroupId"]]


def _cut(rows: Tables, size: int) -> None:
    """Leave out the collections beyond a number, and what belongs to them."""
    rows["DataCollection"] = rows["DataCollection"][:size]
    left = {row["dataCollectionId"] for row in rows["DataCollection"]}
    for name in ("GridInfo", "EventChain"):
        rows[name] = [row for row in rows[name] if row["dataCollectionId"] in left]
    chains = {row["eventChainId"] for row in rows["EventChain"]}
    rows["Event"] = [row for row in rows["Event"] if row["eventChainId"] in chains]
