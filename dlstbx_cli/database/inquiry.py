"""One look-up in progress: what the groups of parameters are given to work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.classification import classify
from dlstbx_cli.database.connection import is_unknown_column
from dlstbx_cli.database.paths import VisitPath
from dlstbx_cli.database.rows import Builder, Joined, Query, Row
from dlstbx_cli.database.tables import Schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dlstbx_cli.database.visit import VisitContents, VisitFiles


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
    :param visit: the collection's image directory taken apart; None if it names no visit.
    :param files: the visit's files; None without a visit.
    :param contents: what stands in the visit's directory ``processing``.
    :param job_recipe: whether the request's recipe was taken from its processing job.
    :param origins: where a value came from, by parameter, if that depends; see ``note``.
    """

    parameters: Mapping[str, Any]
    uuid: str
    collection: Row
    joined: Joined
    reader: Reader
    connection: Connection
    visit: VisitPath | None
    files: VisitFiles | None
    contents: VisitContents
    job_recipe: bool = False
    origins: dict[str, str] = field(default_factory=dict)

    @property
    def dcid(self) -> int:
        """The data collection's number."""
        return int(self.collection["dataCollectionId"])

    @property
    def experiment_type(self) -> str | None:
        """DataCollectionGroup.experimentType."""
        value: str | None = self.value("group", "experimentType")
        return value

    @property
    def session(self) -> int | None:
        """The session's number: the group's, else the collection's own."""
        number: int | None = self.value("group", "sessionId")
        return self.collection["SESSIONID"] if number is None else number

    @property
    def kinds(self) -> dict[str, bool | None]:
        """What kinds the collection is of, by name, see ``classification.classify``."""
        has_grid = self.joined["grid"] is not None
        return classify(self.collection, self.experiment_type, has_grid=has_grid)

    def value(self, part: str, name: str) -> Any:
        """Return one value of a joined row; null if there is no such row."""
        row = self.joined[part]
        return None if row is None else row[name]

    def rows(self, builder: Builder, **values: Any) -> list[Joined]:
        """Return the joined rows of a further query."""
        return self.reader.rows(self.connection, builder, **values)

    def note(self, parameter: str, origin: str) -> None:
        """Note where the value of a parameter came from, for ``ispyb-lookup --explain``.

        Only where that differs from one collection to the next; the rest stands in the
        ``SOURCES`` of the group of parameters.
        """
        self.origins[parameter] = origin
