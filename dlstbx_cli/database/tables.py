"""ISPyB's tables as SQLAlchemy Core tables, made from the snapshot when they are asked for.

The snapshot's types are MySQL's. They are taken as SQLAlchemy's generic ones, which every
dialect knows: unsigned, tiny and medium integers are integers (so that SQLite counts the
primary keys), an ENUM is a text of its greatest length (a value that a newer ISPyB added
to it must not break the reading), blobs are bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Dialect,
    Double,
    Float,
    FromClause,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Time,
    literal_column,
    select,
    text,
)
from sqlalchemy.types import TypeEngine

from dlstbx_cli.database.snapshot import PATH


class Single(Float[float]):
    """MySQL's FLOAT: single precision, of which six digits are given out.

    SQLite keeps and gives all digits of a double: the same row would look different there.
    """

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002  theirs
        """Return what makes a value of the database the one that is given out."""
        return _six_digits if dialect.name == "sqlite" else None


def _six_digits(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    try:
        (single,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        return value
    return float(f"{single:.6g}")


_TYPES: dict[str, TypeEngine[Any]] = {
    "BINARY": LargeBinary(),
    "DATE": Date(),
    "DATETIME": DateTime(),
    # As in ispyb.sqlalchemy, whose decimals have ten places: so its answers are ours.
    "DOUBLE": Double(asdecimal=True),
    "FLOAT": Single(),
    "INTEGER": Integer(),
    "LONGTEXT": Text(),
    "MEDIUMINT": Integer(),
    "MEDIUMTEXT": Text(),
    "SMALLINT": Integer(),
    "TEXT": Text(),
    "TIME": Time(),
    "TIMESTAMP": DateTime(),
    "TINYINT": Integer(),
}


@cache
def snapshot() -> dict[str, list[dict[str, Any]]]:
    """Return the columns of each table of the snapshot, in order."""
    described: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    tables: dict[str, list[dict[str, Any]]] = described["tables"]
    return tables


@cache
def generic_type(mysql: str) -> TypeEngine[Any]:
    """Return SQLAlchemy's generic type for a MySQL type such as ``VARCHAR(80)``."""
    name, _, detail = mysql.rstrip(")").partition("(")
    if name == "VARCHAR":
        return String(int(detail))
    if name == "ENUM":
        return String(max(len(value) for value in detail.strip("'").split("','")))
    return _TYPES[name]


@cache
def attributes(name: str) -> Mapping[str, str]:
    """Return column name -> name in rows given out, for a table: the same but for a few.

    The column ``global`` of Protein is ``global_`` in ``ispyb.sqlalchemy``, and in recipes.
    """
    return {column["name"]: column.get("attribute", column["name"]) for column in snapshot()[name]}


class Schema:
    """The tables by name, each made when it is first asked for.

    :param present: the columns that a database really has, by table: one that is behind
        the snapshot lacks some. Without, all of the snapshot's.
    """

    def __init__(self, present: Mapping[str, frozenset[str]] | None = None) -> None:
        self._metadata = MetaData()
        self._present = present or {}

    @classmethod
    def of(cls, connection: Connection) -> Schema:
        """Return the schema with those columns only that the database has.

        Raises SQLAlchemy's errors, for a table that is not there too.
        """
        return cls(
            {
                # No reflection: asking for its types needs rights that a service has not.
                name: frozenset(
                    connection.execute(
                        select(text("*")).select_from(text(name)).where(text("1 = 0"))
                    ).keys()
                )
                for name in snapshot()
            }
        )

    def __getitem__(self, name: str) -> Table:
        """Return a table. Raises KeyError for one that the snapshot does not have."""
        table = self._metadata.tables.get(name)
        return self._made(name) if table is None else table

    def _made(self, name: str) -> Table:
        present = self._present.get(name)
        columns = [
            Column(
                column["name"],
                generic_type(column["type"]),
                primary_key=column.get("primary_key", False),
            )
            for column in snapshot()[name]
            if present is None or column["name"] in present
        ]
        return Table(name, self._metadata, *columns)


def column(source: FromClause, name: str) -> ColumnElement[Any]:
    """Return a column of a table or an alias; NULL where the database does not have it."""
    found = source.c.get(name)
    # Not null(): a comparison with that becomes IS NULL, which joins everything.
    return literal_column("NULL") if found is None else found
