"""Statements whose result is several tables' rows side by side, given out as plain JSON data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.tables import Schema, attributes, column, snapshot
from dlstbx_cli.services.errors import Rejected

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, FromClause, Select

#: A table's row: plain JSON values by column name.
Row = dict[str, Any]
#: The rows that a statement joins, by the part's name; null where there is none.
Joined = dict[str, Row | None]


def plain(value: Any) -> Any:
    """Return a database value as JSON data.

    A Decimal becomes a float, a date or time ISO 8601 text; bytes become text if they are
    UTF-8; other bytes, and numbers that JSON does not have, become null.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return _as_text(value)


def _as_text(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class Part:
    """Some columns of one table or alias in a joined statement; the first is its primary key."""

    names: Sequence[str]
    columns: Sequence[ColumnElement[Any]]

    @classmethod
    def of(
        cls,
        source: FromClause,
        table: str,
        names: Iterable[str] | None = None,
        without: Iterable[str] = (),
    ) -> Part:
        """Take columns of a table: those named, else all of the snapshot's but *without*."""
        described = snapshot()[table]
        given_out = attributes(table)
        key = next(entry["name"] for entry in described if entry.get("primary_key"))
        wanted = given_out if names is None else names
        chosen = [key, *(name for name in wanted if name != key and name not in without)]
        return cls([given_out[name] for name in chosen], [column(source, name) for name in chosen])


class Query:
    """A statement, built once, that gives the rows of its parts side by side.

    :param key: the part and the column by which rows are asked for, if several can be asked
        for at a time: the statement's parameter is then ``keys``, a list.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        build: Callable[[Select[Any]], Select[Any]],
        key: tuple[str, str] | None = None,
    ) -> None:
        from sqlalchemy import select

        columns = [column for part in parts.values() for column in part.columns]
        self._statement = build(select(*columns))
        self._key = key
        self._slices: list[tuple[str, Sequence[str], slice]] = []
        start = 0
        for name, part in parts.items():
            self._slices.append((name, part.names, slice(start, start + len(part.names))))
            start += len(part.names)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Joined]:
        """Execute the statement with these values for its parameters.

        Raises Rejected if a value is not of its column's type: SQLite holds any value in
        any column, and a text that is no date stays one however often it is tried.
        """
        result = connection.execute(self._statement, dict(values))
        try:
            return [self._split(row) for row in result]
        except (ValueError, TypeError) as error:
            raise Rejected(f"ISPyB has a value that is not of its column's type: {error}") from None

    def rows_by_key(self, connection: Connection, keys: Iterable[int]) -> dict[int, list[Joined]]:
        """Return the rows of each of several keys, as ``rows`` gives them for one; see there."""
        found: dict[int, list[Joined]] = {key: [] for key in keys}
        part, name = self._key or ("", "")
        for joined in self.rows(connection, {"keys": list(found)}) if found else ():
            row = joined[part] or {}
            found[row[name]].append(joined)
        return found

    def _split(self, row: Sequence[Any]) -> Joined:
        return {name: _part(names, row[place]) for name, names, place in self._slices}


def _part(names: Sequence[str], values: Sequence[Any]) -> Row | None:
    # No primary key: the outer join found nothing.
    if values[0] is None:
        return None
    return dict(zip(names, map(plain, values), strict=True))


#: What builds a query for the columns that a database has.
Builder = Callable[[Schema], Query]
