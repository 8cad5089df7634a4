"""The data collections of a period."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.connection import reading
from dlstbx_cli.database.tables import Schema

if TYPE_CHECKING:
    from sqlalchemy import Engine, Select

#: So many numbers are fetched at a time.
_PAGE = 10_000


def dcids(
    engine: Engine,
    since: float | None = None,
    until: float | None = None,
    beamlines: Sequence[str] = (),
) -> Sequence[int]:
    """Return the numbers of the collections that began in a period, in order.

    :param since: seconds since the epoch, the first that counts.
    :param until: seconds since the epoch, the first that does not count any more.
    :param beamlines: only these, by BLSession.beamLineName in any letter case; none: all.

    ISPyB's times are local ones without a zone; they are taken for this machine's. Eight
    bytes are kept for each collection. Raises Unavailable, Misconfigured.
    """
    statement = _statement(Schema(), since, until, beamlines)
    with reading(engine) as connection:
        found = connection.execution_options(yield_per=_PAGE).execute(statement)
        return array("Q", found.scalars())


def _statement(
    schema: Schema, since: float | None, until: float | None, beamlines: Sequence[str]
) -> Select[Any]:
    from sqlalchemy import func, select

    dc, group, session = (
        schema[name] for name in ("DataCollection", "DataCollectionGroup", "BLSession")
    )
    statement = select(dc.c.dataCollectionId).order_by(dc.c.dataCollectionId)
    if since is not None:
        statement = statement.where(dc.c.startTime >= datetime.fromtimestamp(since))
    if until is not None:
        statement = statement.where(dc.c.startTime < datetime.fromtimestamp(until))
    if beamlines:
        # The group's session, as in the look-up.
        statement = (
            statement.join(group, group.c.dataCollectionGroupId == dc.c.dataCollectionGroupId)
            .join(session, session.c.sessionId == group.c.sessionId)
            .where(func.lower(session.c.beamLineName).in_([name.lower() for name in beamlines]))
        )
    return statement
