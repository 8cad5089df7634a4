"""The one statement for all that is akin to a collection: a pin's samples, sample groups.

Each list is numbers under a heading, so that one statement can give them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.rows import Part, Query
from dlstbx_cli.database.tables import Schema, column

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

#: The headings.
GROUP, SAMPLE, DIRECTORY, SESSION, PIN = range(1, 6)


def query(schema: Schema) -> Query:
    """Build the statement for numbers under headings, by heading and number.

    * the collections of each sample group of a ``sample``: ``key`` and ``name`` are the group's;
    * the collections of the ``sample`` itself;
    * the collections in an image ``directory``;
    * the collections of a ``session``, with their ``directory``;
    * the samples at a ``location`` of a ``container``: ``key`` is the sub-location.

    Each of these parameters may be null: the list under that heading is empty then.
    """
    from sqlalchemy import union_all

    lists = union_all(
        _of_sample_groups(schema),
        _of_sample(schema),
        *_of_directory_and_session(schema),
        _of_pin(schema),
    ).subquery("kin")
    names = ("heading", "key", "name", "directory", "number")
    return Query(
        {"kin": Part(names, [lists.c[name] for name in names])},
        lambda select: select.order_by(lists.c.heading, lists.c.key, lists.c.number),
    )


def _list(
    heading: int,
    number: ColumnElement[Any],
    key: ColumnElement[Any] | None = None,
    name: ColumnElement[Any] | None = None,
    directory: ColumnElement[Any] | None = None,
) -> Select[Any]:
    # Names and directories have columns of their own: MySQL refuses to put texts below
    # each other whose collations differ.
    from sqlalchemy import literal_column, null, select

    given = {"key": key, "name": name, "directory": directory, "number": number}
    return select(
        literal_column(str(heading)).label("heading"),
        *((null() if value is None else value).label(what) for what, value in given.items()),
    )


def _of_sample_groups(schema: Schema) -> Select[Any]:
    from sqlalchemy import bindparam

    sample_group, group = schema["BLSampleGroup"], schema["DataCollectionGroup"]
    mine = schema["BLSampleGroup_has_BLSample"].alias("mine")
    member, dc = schema["BLSampleGroup_has_BLSample"], schema["DataCollection"]
    source = (
        mine.join(sample_group, sample_group.c.blSampleGroupId == mine.c.blSampleGroupId)
        .join(member, member.c.blSampleGroupId == mine.c.blSampleGroupId)
        .outerjoin(group, column(group, "blSampleId") == member.c.blSampleId)
        .outerjoin(dc, column(dc, "dataCollectionGroupId") == group.c.dataCollectionGroupId)
    )
    key, name = sample_group.c.blSampleGroupId, column(sample_group, "name")
    listed = _list(GROUP, dc.c.dataCollectionId, key, name)
    return listed.select_from(source).where(mine.c.blSampleId == bindparam("sample"))


def _of_sample(schema: Schema) -> Select[Any]:
    from sqlalchemy import bindparam

    group, dc = schema["DataCollectionGroup"], schema["DataCollection"]
    link = column(dc, "dataCollectionGroupId") == group.c.dataCollectionGroupId
    listed = _list(SAMPLE, dc.c.dataCollectionId).select_from(group.join(dc, link))
    return listed.where(column(group, "blSampleId") == bindparam("sample"))


def _of_directory_and_session(schema: Schema) -> list[Select[Any]]:
    from sqlalchemy import bindparam

    group, dc = schema["DataCollectionGroup"], schema["DataCollection"]
    link = column(dc, "dataCollectionGroupId") == group.c.dataCollectionGroupId
    directory, number = column(dc, "imageDirectory"), dc.c.dataCollectionId
    same = _list(DIRECTORY, number, directory=directory)
    ours = _list(SESSION, number, directory=directory)
    # Either may be missing: two statements, so that each has its index.
    return [
        same.where(directory == bindparam("directory")),
        ours.where(column(dc, "SESSIONID") == bindparam("session")),
        ours.select_from(group.join(dc, link)).where(
            column(group, "sessionId") == bindparam("session")
        ),
    ]


def _of_pin(schema: Schema) -> Select[Any]:
    from sqlalchemy import bindparam

    sample = schema["BLSample"]
    return _list(PIN, sample.c.blSampleId, column(sample, "subLocation")).where(
        column(sample, "containerId") == bindparam("container"),
        column(sample, "location") == bindparam("location"),
    )
