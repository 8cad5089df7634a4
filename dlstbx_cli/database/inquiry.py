"""One look-up in progress: what the groups of parameters are given to work with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from dlstbx_cli.database.classification import classify
from dlstbx_cli.database.connection import is_unknown_column
from dlstbx_cli.database.paths import VisitPath
from dlstbx_cli.database.recent import Recall, afresh
from dlstbx_cli.database.rows import Builder, Joined, Query, Row
from dlstbx_cli.database.tables import Schema
from dlstbx_cli.services.errors import Rejected

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dlstbx_cli.database.visit import VisitContents, VisitFiles

Result = TypeVar("Result")


class Reader:
    """Executes queries, each built when it is first needed and kept.

    A database whose schema is behind the snapshot lacks columns. When it says so, the
    queries are built anew with the columns that it has; the missing ones read as null.
    """

    def __init__(self) -> None:
        self._schema = Schema()
        self._queries: dict[Builder, Query] = {}

    def rows(self, connection: Connection, builder: Builder, **values: Any) -> list[Joined]:
        """Return the joined rows of a query. Raises Rejected, SQLAlchemy's errors."""
        return self._read(connection, lambda: self._query(builder).rows(connection, values))

    def rows_by_key(
        self, connection: Connection, builder: Builder, keys: Iterable[int]
    ) -> dict[int, list[Joined]]:
        """Return the joined rows of a query for each of several keys. Raises as ``rows``."""
        return self._read(connection, lambda: self._query(builder).rows_by_key(connection, keys))

    def _read(self, connection: Connection, read: Callable[[], Result]) -> Result:
        from sqlalchemy.exc import DBAPIError

        try:
            return read()
        except DBAPIError as error:
            if not is_unknown_column(error):
                raise
        self._schema = Schema.of(connection)
        self._queries.clear()
        return read()

    def _query(self, builder: Builder) -> Query:
        query = self._queries.get(builder)
        if query is None:
            query = self._queries[builder] = builder(self._schema)
        return query


class Source:
    """Where to read from, and what was read already: for many look-ups, or by one before.

    Beside the rows that is what stands in visits, by directory and the names that count
    there. Nothing of it is to be changed: the next look-up may be given the same.

    :param connect: gives the connection, when the first row is to be read.
    :param recall: knows what need not be read again.
    """

    def __init__(
        self, reader: Reader, connect: Callable[[], Connection], recall: Recall = afresh
    ) -> None:
        self._reader = reader
        self._connect = connect
        self._recall = recall
        self._ahead: dict[Builder, dict[int, list[Joined]]] = {}

    def rows(self, builder: Builder, **values: Any) -> list[Joined]:
        """Return the joined rows of a query. Raises Rejected, SQLAlchemy's errors."""
        key = (builder, *sorted(values.items()))
        return self._recall(key, lambda: self._reader.rows(self._connect(), builder, **values))

    def rows_of(self, builder: Builder, key: int) -> list[Joined]:
        """Return the joined rows of a query for a key: those read ahead, else read now."""
        found = self._ahead.get(builder, {}).get(key)
        if found is not None:
            return found
        read = self._reader.rows_by_key
        return self._recall((builder, key), lambda: read(self._connect(), builder, [key])[key])

    def contents(self, files: VisitFiles, names: frozenset[str]) -> VisitContents:
        """Return what stands in a visit. Raises Stuck."""
        return self._recall((files.directory, names), lambda: files.contents(names))

    def read_ahead(self, builder: Builder, keys: Iterable[int]) -> list[Joined]:
        """Read the rows of a query for all these keys, and return them.

        If a value among them cannot be used, nothing is read ahead: each look-up reads for
        itself then, and only the one that it concerns is refused. Raises SQLAlchemy's errors.
        """
        try:
            found = self._reader.rows_by_key(self._connect(), builder, keys)
        except Rejected:
            return []
        self._ahead[builder] = found
        return [joined for several in found.values() for joined in several]


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
    source: Source
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
        return self.source.rows(builder, **values)

    def rows_of(self, builder: Builder, key: int) -> list[Joined]:
        """Return the joined rows of a further query that asks by a key."""
        return self.source.rows_of(builder, key)

    def note(self, parameter: str, origin: str) -> None:
        """Note where the value of a parameter came from, for ``ispyb-lookup --explain``.

        Only where that differs from one collection to the next; the rest stands in the
        ``SOURCES`` of the group of parameters.
        """
        self.origins[parameter] = origin
