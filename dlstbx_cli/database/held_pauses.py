"""Pauses in the store of held jobs: each statement on a connection that is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, update

from dlstbx_cli.database.held_tables import PAUSES
from dlstbx_cli.database.store import now
from dlstbx_cli.services.held.values import KINDS, Pause

if TYPE_CHECKING:
    from sqlalchemy import Connection


def add(connection: Connection, pause: Pause) -> int:
    """Add a pause that begins now, and return its number."""
    made = connection.execute(
        insert(PAUSES).values(
            kind=pause.kind,
            name=pause.name,
            until=int(1000 * pause.until),
            owner=pause.owner,
            reason=pause.reason,
            begun=now(),
        )
    )
    (number,) = made.inserted_primary_key or (0,)
    return int(number)


def current(connection: Connection, *wanted: ColumnElement[bool]) -> list[Pause]:
    """Return the pauses that last and meet all conditions, that which ends first first."""
    found = select(PAUSES).where(*_lasting(), *wanted).order_by(PAUSES.c.until, PAUSES.c.id)
    return _pauses(connection.execute(found))


def end(connection: Connection, owner: str, *wanted: ColumnElement[bool]) -> list[Pause]:
    """End the pauses that last and meet all conditions, in somebody's name; return them."""
    found = current(connection, *wanted)
    return [
        pause
        for pause in found
        # Somebody else may have ended it meanwhile: he is the one who is remembered.
        if connection.execute(
            update(PAUSES)
            .where(PAUSES.c.id == pause.number, *_lasting())
            .values(ended=now(), ended_by=owner)
        ).rowcount
    ]


def since(connection: Connection, begin: float | None) -> list[Pause]:
    """Return all pauses that there have been, first made first.

    :param begin: without those that had ended before then, seconds since the epoch.
    """
    found = select(PAUSES).order_by(PAUSES.c.id)
    if begin is not None:
        found = found.where(
            PAUSES.c.until >= int(1000 * begin),
            or_(PAUSES.c.ended.is_(None), PAUSES.c.ended >= int(1000 * begin)),
        )
    return _pauses(connection.execute(found))


def prune(connection: Connection, before: int) -> None:
    """Forget the pauses whose time was over before a time, in milliseconds."""
    connection.execute(delete(PAUSES).where(PAUSES.c.until < before))


def _lasting() -> tuple[ColumnElement[bool], ...]:
    return PAUSES.c.until > now(), PAUSES.c.ended.is_(None), PAUSES.c.kind.in_(KINDS)


def _pauses(rows: Iterable[Any]) -> list[Pause]:
    return [
        Pause(
            row.kind,
            row.name,
            row.until / 1000,
            row.owner,
            row.reason,
            row.id,
            _s(row.begun),
            _s(row.ended),
            row.ended_by or "",
        )
        for row in rows
    ]


def _s(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
