"""One look-up in progress: what the groups of parameters are given to work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.connection import is_unknown_column
from dlstbx_cli.database.rows import Builder, Joined, Query, Row
from dlstbx_cli.database.tables import Schema

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Reader:
    """Executes queries, each built when it is first needed and kept.

    A database whose schema is behind the snapshot lacks columns. When it says so, the
    queries are built anew with the columns that it has; the missing ones read as null.
    """

    def __init__(self) -> None:
        self._schema = Schema()
        self._queries: dict[Builder, Query] = {}

    def rows(self, connection: Connection, builder: Builder, **values: Any) -> list[Joined]:
        """Return the joined rows of a query. Raises SQLAlchemy's errors."""
        from sqlalchemy.exc import DBAPIError

        try:
            return self._query(builder).rows(connection, values)
        except DBAPIError as error:
            if not is_unknown_column(error):
                raise
        self._schema = Schema.of(connection)
        self._queries.clear()
        return self._query(builder).rows(connection, values)

    def _query(self, builder: Builder) -> Query:
        query = self._queries.get(builder)
        if query is None:
            query = self._queries[builder] = builder(self._schema)
        return query


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is known when the groups of parameters are asked for theirs.

    :param parameters: the request's, and those of its processing job.
    :param uuid: names the directories of this request.
    :param collection: the DataCollection row.
    :param joined: the rows that belong to the collection one to one, see ``collection.query``.
    """

    parameters: Mapping[str, Any]
    uuid: str
    collection: Row
    joined: Joined
    reader: Reader
    connection: Connection

    @property
    def dcid(self) -> int:
        """The data collection's number."""
        return int(self.collection["dataCollectionId"])

    @property
    def experiment_type(self) -> str | None:
        """DataCollectionGroup.experimentType."""
        value: str | None = self.value("group", "experimentType")
        return value

    def value(self, part: str, name: str) -> Any:
        """Return one value of a joined row; null if there is no such row."""
        row = self.joined[part]
        return None if row is None else row[name]

    def rows(self, builder: Builder, **values: Any) -> list[Joined]:
        """Return the joined rows of a further query."""
        return self.reader.rows(self.connection, builder, **values)
