"""Small ISPyBs in SQLite, made of a few rows."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, insert

from dlstbx_cli.database.connection import connect, writing
from dlstbx_cli.database.embedded import create
from dlstbx_cli.database.tables import Schema, snapshot

Rows = Mapping[str, list[dict[str, Any]]]

DIRECTORY = "/dls/i03/data/2016/cm14451-1/20160114/tlys/"
COLLECTION = {
    "dataCollectionId": 100,
    "dataCollectionGroupId": 10,
    "BLSAMPLEID": 1,
    "SESSIONID": 7,
    "dataCollectionNumber": 1,
    "runStatus": "DataCollection Successful",
    "axisRange": 0.1,
    "overlap": 0.0,
    "numberOfImages": 3600,
    "startImageNumber": 1,
    "imageDirectory": DIRECTORY,
    "imagePrefix": "tlys",
    "fileTemplate": "tlys_1_####.cbf",
    "wavelength": 1.28255,
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "BLSession": [{"sessionId": 7, "beamLineName": "i03"}],
    "DataCollectionGroup": [
        {
            "dataCollectionGroupId": 10,
            "sessionId": 7,
            "blSampleId": 1,
            "experimentType": "SAD",
        }
    ],
    "DataCollection": [COLLECTION],
    "BLSample": [{"blSampleId": 1, "crystalId": 2, "name": "s1"}],
    "Crystal": [{"crystalId": 2, "proteinId": 3, "spaceGroup": "P41212"}],
    "Protein": [{"proteinId": 3, "acronym": "tlys"}],
}


@cache
def _template() -> Path:
    directory = tempfile.mkdtemp(prefix="dlstbx-tests-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = Path(directory) / "empty.sqlite3"
    create(f"sqlite:///{path}").dispose()
    return path


def empty(directory: Path, name: str = "ispyb.sqlite3") -> Engine:
    """Return an ISPyB without any rows."""
    shutil.copy(_template(), directory / name)
    return connect(f"sqlite:///{directory / name}")


#: MySQL: rows that lead nowhere, and lack what a real one has, are what we want to see.
_LENIENT = "SET SESSION foreign_key_checks = 0, sql_mode = ''"


def clear(engine: Engine) -> None:
    """Delete all rows that were added."""
    with writing(engine) as connection:
        if engine.dialect.name == "mysql":
            connection.exec_driver_sql(_LENIENT)
        for name in snapshot():
            connection.exec_driver_sql(f"DELETE FROM {name}")


def add(engine: Engine, rows: Rows) -> None:
    schema = Schema()
    with writing(engine) as connection:
        if engine.dialect.name == "mysql":
            connection.exec_driver_sql(_LENIENT)
        for name, values in rows.items():
            for row in values:
                connection.execute(insert(schema[name]).values(row))


def ispyb(directory: Path, rows: Rows = ROWS) -> Engine:
    """Return an ISPyB with these rows."""
    engine = empty(directory)
    add(engine, rows)
    return engine


def changed(rows: Rows, **changes: Mapping[str, Any] | None) -> dict[str, list[dict[str, Any]]]:
    """Return rows with the first row of the named tables changed; None leaves the table out."""
    result = {name: [dict(row) for row in values] for name, values in rows.items()}
    for name, change in changes.items():
        if change is None:
            result.pop(name, None)
        else:
            first, *further = result.get(name) or [{}]
            result[name] = [{**first, **change}, *further]
    return result


def counted(engine: Engine) -> list[str]:
    """Return a list to which every statement is added that is executed from now on."""
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    return statements
