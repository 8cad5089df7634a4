"""Stores of our own, beside ISPyB: how their tables come to be, and how they tell the time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import exc, inspect
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from dlstbx_cli.database.connection import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData, Table


def prepare(engine: Engine, metadata: MetaData) -> None:
    """Make the tables that are not there yet, and the columns that an older version lacked.

    Raises Unavailable, Misconfigured.
    """
    if engine.dialect.name == "sqlite" and engine.url.database:
        with reading(engine) as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    with writing(engine) as connection:
        present = inspect(connection)
        for table in metadata.tables.values():
            if present.has_table(table.name):
                _complete(connection, table)
            else:
                _make(connection, table)


def _make(connection: Connection, table: Table) -> None:
    # Another process may be making it at the same time.
    connection.execute(CreateTable(table, if_not_exists=True))
    for index in table.indexes:
        connection.execute(CreateIndex(index, if_not_exists=True))


def _complete(connection: Connection, table: Table) -> None:
    for column in table.columns:
        if not column.nullable or column.name in _columns(connection, table):
            continue
        added = CreateColumn(column).compile(dialect=connection.dialect)
        try:
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {added}")
        except exc.DBAPIError:
            # Another process may have been first.
            if column.name not in _columns(connection, table):
                raise


def _columns(connection: Connection, table: Table) -> set[str]:
    return {str(column["name"]) for column in inspect(connection).get_columns(table.name)}


def identity(engine: Engine) -> tuple[int, int] | None:
    """Return which file an SQLite engine's URL names now; None if there is none."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    try:
        found = Path(engine.url.database).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def now() -> int:
    """Return the time, in milliseconds since the epoch."""
    return int(1000 * time.time())
