"""The embedded broker's rows: messages to rows and back, and whose hand a row is in."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Destination, Message, Queue, Topic
from dlstbx_cli.transport.alive import is_alive
from dlstbx_cli.transport.envelope import check_name, dumps, loads
from dlstbx_cli.transport.link import Delivery
from dlstbx_cli.transport.sqlite_file import QueueFile

#: Seconds that a broadcast is kept after a newer one on the same subject has come, for
#: consumers that have not seen it yet.
_KEEP_BROADCAST = 60.0

#: The messages that a consumer of a queue would get, in their order.
READY = (
    "SELECT id, headers, body, deaths FROM messages"
    " WHERE queue=? AND due IS NULL AND consumer IS NULL ORDER BY id LIMIT ?"
)
HAS_DUE = "SELECT 1 FROM messages WHERE queue=? AND due<=? LIMIT 1"
MAKE_READY = "UPDATE messages SET due=NULL WHERE queue=? AND due<=?"
PUT_BACK = "UPDATE messages SET consumer=NULL WHERE consumer=?"
_BEREAVED = "UPDATE messages SET consumer=NULL, deaths=deaths+1 WHERE consumer=?"
#: One part for each state, so that each reads its own index and no message.
STATES = """
WITH parts (queue, ready, in_hand, delayed, first) AS (
    SELECT queue, count(*), 0, 0, min(id) FROM messages
        WHERE due IS NULL AND consumer IS NULL GROUP BY queue
    UNION ALL SELECT queue, 0, count(*), 0, min(id) FROM messages
        WHERE consumer IS NOT NULL GROUP BY queue
    UNION ALL SELECT queue, 0, 0, count(*), min(id) FROM messages
        WHERE due IS NOT NULL GROUP BY queue
), queues (queue, ready, in_hand, delayed, first) AS (
    SELECT queue, sum(ready), sum(in_hand), sum(delayed), min(first) FROM parts GROUP BY queue
)
SELECT queues.queue, ready, in_hand, delayed, sent
    FROM queues JOIN messages ON messages.id = queues.first ORDER BY queues.queue
"""
_INSERT = "INSERT INTO messages (queue, sent, due, headers, body) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Row:
    """A message encoded: what is stored of it."""

    destination: Destination
    delay: float
    subject: str
    headers: str
    body: str

    @classmethod
    def of(cls, message: Message) -> Row:
        """Encode a message. Raises Rejected if its destination cannot be one, ValueError."""
        destination = message.destination
        kind = "queue" if isinstance(destination, Queue) else "topic"
        check_name(kind, destination.name)
        subject = dumps(_subject(message.body)) if kind == "topic" else ""
        headers = dumps(dict(message.headers))
        return cls(destination, message.delay, subject, headers, dumps(message.body))


def insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Store rows, in their order. A broadcast is never delayed: it says how things are."""
    now = time.time()
    for row in rows:
        name = row.destination.name
        if isinstance(row.destination, Topic):
            _broadcast(connection, row, now)
        else:
            due = now + row.delay if row.delay > 0 else None
            connection.execute(_INSERT, (name, now, due, row.headers, row.body))


def delivery(
    destination: Destination, place: int, number: int, headers: str, body: str, deaths: int = 0
) -> Delivery:
    """Return the delivery that a stored row is.

    :param deaths: how many consumers have died with it in hand.
    """
    broadcast, where = isinstance(destination, Topic), f"message {place}"
    try:
        message = Message(destination, loads(body), json.loads(headers))
    except Rejected as error:  # nested too deeply: a service may have built that
        message = Message(destination, body, json.loads(headers))
        return Delivery(message, where, broadcast, fault=str(error), tag=number)
    return Delivery(message, where, broadcast, tag=number, attempts=deaths + 1)


def dead(file: QueueFile, queue: str | None = None, own: int = 0) -> list[int]:
    """Return the consumers (of one queue, or of all) that have died without closing."""
    rows = file.connection.execute(
        "SELECT id, name FROM consumers WHERE id<>? AND queue=coalesce(?, queue)", (own, queue)
    )
    return [number for number, name in rows if not is_alive(signs(file), name)]


def revive(file: QueueFile, queue: str | None = None, own: int = 0) -> None:
    """Put the messages of dead consumers back in their places, inside a transaction."""
    for number in dead(file, queue, own):
        file.connection.execute(_BEREAVED, (number,))
        file.connection.execute("DELETE FROM consumers WHERE id=?", (number,))


def signs(file: QueueFile) -> Path:
    """Return the directory beside the database that holds the signs of life."""
    return file.path.with_name(f"{file.path.name}-consumers")


def _broadcast(connection: sqlite3.Connection, row: Row, now: float) -> None:
    same = (row.destination.name, row.subject)
    connection.execute(
        "DELETE FROM broadcasts WHERE topic=? AND subject=? AND NOT is_last AND sent<?",
        (*same, now - _KEEP_BROADCAST),
    )
    connection.execute(
        "UPDATE broadcasts SET is_last=0 WHERE topic=? AND subject=? AND is_last", same
    )
    connection.execute(
        "INSERT INTO broadcasts (topic, subject, is_last, sent, headers, body)"
        " VALUES (?, ?, 1, ?, ?, ?)",
        (*same, now, row.headers, row.body),
    )


def _subject(body: Any) -> list[Any]:
    """Return what a broadcast speaks of: the cluster and the statistic, where it says so."""
    if not isinstance(body, dict):
        return []
    return [body.get("statistic-cluster"), body.get("statistic")]
