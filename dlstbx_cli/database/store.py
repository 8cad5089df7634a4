"""Stores of our own, beside ISPyB: how their tables come to be, and how they tell the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import inspect
from sqlalchemy.schema import CreateIndex, CreateTable

from dlstbx_cli.database.connection import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData, Table


def prepare(engine: Engine, metadata: MetaData) -> None:
    """Make the tables that are not there yet. Raises Unavailable, Misconfigured."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        with reading(engine) as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    with writing(engine) as connection:
        present = inspect(connection)
        for table in metadata.tables.values():
            if not present.has_table(table.name):
                _make(connection, table)


def _make(connection: Connection, table: Table) -> None:
    # Another process may be making it at the same time.
    connection.execute(CreateTable(table, if_not_exists=True))
    for index in table.indexes:
        connection.execute(CreateIndex(index, if_not_exists=True))


def now() -> int:
    """Return the time, in milliseconds since the epoch."""
    return int(1000 * time.time())
