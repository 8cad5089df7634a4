"""The embedded ISPyB: the snapshot's tables in an SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, text

from dlstbx_cli.database.connection import connect, writing
from dlstbx_cli.database.tables import generic_type, snapshot
from dlstbx_cli.services.errors import Misconfigured

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: MySQL's default expressions in SQLite's words; SQLite has no users.
_DEFAULTS = {"current_timestamp()": "CURRENT_TIMESTAMP", "current_user()": "'dlstbx'"}


def create(url: str) -> Engine:
    """Make ISPyB's tables in an SQLite file, where they are not there yet, and return its engine.

    Foreign keys between the tables are declared and indexed (as MySQL does by itself), those
    to tables that are not in the snapshot left out. Raises Misconfigured for a URL that is
    not SQLite's, Unavailable.
    """
    engine = connect(url, create=True)
    if engine.dialect.name != "sqlite":
        raise Misconfigured("the embedded ISPyB is an SQLite file: sqlite:////path/ispyb.sqlite3")
    if engine.url.database:
        _let_readers_and_a_writer_work_together(engine)
    with writing(engine) as connection:
        _metadata().create_all(connection)
    return engine


def _let_readers_and_a_writer_work_together(engine: Engine) -> None:
    from dlstbx_cli.database.connection import reading

    with reading(engine) as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")


def _metadata() -> MetaData:
    metadata = MetaData()
    for name, columns in snapshot().items():
        keys = [column["name"] for column in columns if column.get("primary_key")]
        table = Table(
            name,
            metadata,
            *[_column(column, single_key=len(keys) == 1) for column in columns],
            # A job's id should not be given again when the job was deleted.
            sqlite_autoincrement=len(keys) == 1,
        )
        for column in table.columns:
            if column.foreign_keys:
                Index(f"{name}_{column.name}", column)
    return metadata


def _column(described: dict[str, Any], *, single_key: bool) -> Column[Any]:
    default = described.get("default")
    references = described.get("references", "")
    keys = [ForeignKey(references)] if references.partition(".")[0] in snapshot() else []
    is_key = described.get("primary_key", False)
    return Column(
        described["name"],
        generic_type(described["type"]),
        *keys,
        primary_key=is_key,
        autoincrement=is_key and single_key,
        nullable=described.get("nullable", False),
        server_default=None if default is None else text(_DEFAULTS.get(default, default)),
    )
