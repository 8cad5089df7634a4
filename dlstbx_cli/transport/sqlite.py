"""The embedded broker: queues and topics in one SQLite file, for the processes of one machine.

It tells the truth: every message is encoded and decoded, and neither the notes of a line
nor its delay travel along. A dead letter is a message in an ordinary queue.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.transport import sqlite_rows as rows
from dlstbx_cli.transport.alive import Sign, sweep
from dlstbx_cli.transport.envelope import dumps
from dlstbx_cli.transport.link import Delivery, QueueState
from dlstbx_cli.transport.sqlite_file import QueueFile

#: Seconds between two looks for a change made by others (one read of a counter), and
#: between two looks for what no counter tells: a message come due, a consumer killed.
_SHORT, _LONG = 0.01, 0.05

_LAST_BROADCASTS = (
    "SELECT id, topic, headers, body FROM broadcasts"
    " WHERE topic IN (SELECT value FROM json_each(?)) AND is_last ORDER BY id"
)
_NEW_BROADCASTS = (
    "SELECT id, topic, headers, body FROM broadcasts"
    " WHERE topic IN (SELECT value FROM json_each(?)) AND id>? ORDER BY id LIMIT 100"
)


class SqliteBroker:
    """The embedded broker in the file *path*, which is made at its first use.

    :param timeout: seconds to wait for a lock that another process holds.

    Raises Misconfigured if the file cannot be used.
    """

    def __init__(self, path: str | Path, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._file = QueueFile(Path(path), timeout)

    def check(self) -> None:
        """Return at once: the file is open, nothing else can be away."""

    def send(self, messages: Sequence[Message]) -> None:
        """Store all messages in one transaction. Raises Rejected, Unavailable."""
        encoded = [rows.Row.of(message) for message in messages]
        if encoded:
            with self._file.transaction() as connection:
                rows.insert(connection, encoded)

    def consumer(self, queue: str, topics: Sequence[str] = ()) -> SqliteConsumer:
        """Return a new consumer of a queue and topics, with a connection of its own."""
        return SqliteConsumer(QueueFile(self._file.path, self._timeout), queue, topics)

    def peek(self, queue: str, maximum: int | None = None) -> list[Message]:
        """Return the messages waiting in a queue: those due in order, then the delayed."""
        limit = -1 if maximum is None else maximum
        with self._file.transaction(durable=False) as connection:
            now = time.time()
            rows.revive(self._file)
            connection.execute(rows.MAKE_READY, (queue, now))
            ready = connection.execute(rows.READY, (queue, limit)).fetchall()
            delayed = connection.execute(
                "SELECT due - ?, headers, body FROM messages"
                " WHERE queue=? AND due IS NOT NULL ORDER BY due, id LIMIT ?",
                (now, queue, limit if limit < 0 else limit - len(ready)),
            ).fetchall()
        waiting = [(0.0, *row[1:3]) for row in ready] + delayed
        return [
            Message(Queue(queue), json.loads(body), json.loads(headers), delay)
            for delay, headers, body in waiting
        ]

    def browses(self) -> bool:
        """Return True: messages are read, not taken."""
        return True

    def states(self, prefix: str = "") -> list[QueueState]:
        """Return the state of every queue that is not empty and begins so, by name."""
        with self._file.transaction(durable=False) as connection:
            rows.revive(self._file)
            connection.execute("UPDATE messages SET due=NULL WHERE due<=?", (time.time(),))
            found = connection.execute(rows.STATES).fetchall()
        return [state for row in found if (state := QueueState(*row)).name.startswith(prefix)]

    def close(self) -> None:
        """Close the file."""
        self._file.connection.close()


class SqliteConsumer:
    """One consumer of a queue: its claims are rows, its sign of life a locked file."""

    def __init__(self, file: QueueFile, queue: str, topics: Sequence[str]) -> None:
        self._file = file
        self._queue = queue
        self._topics = dumps(list(topics))
        self._places = itertools.count(1)
        with ExitStack() as undo:
            undo.callback(file.connection.close)
            with file.errors():
                self._sign = Sign(rows.signs(file))
            undo.callback(self._sign.close)
            self._register()
            undo.pop_all()

    def receive(self, timeout: float | None) -> Delivery | None:
        """Return the next broadcast or message, None if none comes in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._file.errors():
            while True:
                version = self._version()
                delivery = self._listen() or self._claim()
                if delivery is not None:
                    return delivery
                if deadline is not None and time.monotonic() >= deadline:
                    return None
                self._await_change(version, deadline)

    def commit(self, delivery: Delivery, results: Sequence[Message]) -> None:
        """Store the results and remove the message, in one transaction."""
        encoded = [rows.Row.of(message) for message in results]
        if delivery.broadcast and not encoded:
            return
        with self._file.transaction() as connection:
            if not delivery.broadcast:
                self._remove(delivery)
            rows.insert(connection, encoded)

    def send(self, messages: Sequence[Message]) -> None:
        """Store messages that follow from none, in one transaction."""
        encoded = [rows.Row.of(message) for message in messages]
        with self._file.transaction() as connection:
            rows.insert(connection, encoded)

    def give_back(self, delivery: Delivery) -> None:
        """Put the message back in its place."""
        if delivery.broadcast:
            self._heard.appendleft(delivery)
            return
        with self._file.transaction(durable=False) as connection:
            connection.execute(
                "UPDATE messages SET consumer=NULL WHERE id=? AND consumer=?",
                (delivery.tag, self._id),
            )

    def close(self) -> None:
        """Put back whatever is still in hand, and end."""
        try:
            with self._file.transaction(durable=False) as connection:
                connection.execute(rows.PUT_BACK, (self._id,))
                connection.execute("DELETE FROM consumers WHERE id=?", (self._id,))
        except (Unavailable, Misconfigured):
            self._sign.drop()  # the others see that, and put it back
        else:
            self._sign.close()
        finally:
            self._file.connection.close()

    def _register(self) -> None:
        with self._file.transaction(durable=False) as connection:
            rows.revive(self._file)
            sweep(rows.signs(self._file))
            registered = connection.execute(
                "INSERT INTO consumers (name, queue) VALUES (?, ?)", (self._sign.name, self._queue)
            )
            self._id = registered.lastrowid or 0
            # What was broadcast last on each subject first, then whatever is newer.
            self._heard = self._broadcasts(_LAST_BROADCASTS)
            (self._last_heard,) = connection.execute(
                "SELECT coalesce(max(id), 0) FROM broadcasts"
            ).fetchone()

    def _listen(self) -> Delivery | None:
        if not self._heard and self._topics != "[]":
            self._heard = self._broadcasts(_NEW_BROADCASTS, self._last_heard)
            if self._heard:
                self._last_heard = self._heard[-1].tag
        return self._heard.popleft() if self._heard else None

    def _broadcasts(self, query: str, *after: int) -> deque[Delivery]:
        found = self._file.connection.execute(query, (self._topics, *after)).fetchall()
        return deque(
            rows.delivery(Topic(topic), next(self._places), number, headers, body)
            for number, topic, headers, body in found
        )

    def _claim(self) -> Delivery | None:
        connection, now = self._file.connection, time.time()
        if not self._is_worth_a_claim(now):
            return None
        with self._file.transaction(durable=False):
            rows.revive(self._file, self._queue, self._id)
            connection.execute(rows.MAKE_READY, (self._queue, now))
            row = connection.execute(rows.READY, (self._queue, 1)).fetchone()
            if row is None:
                return None
            connection.execute("UPDATE messages SET consumer=? WHERE id=?", (self._id, row[0]))
        return rows.delivery(Queue(self._queue), next(self._places), *row)

    def _is_worth_a_claim(self, now: float) -> bool:
        """Tell whether there is something, by reading alone: many wait, one writes."""
        execute = self._file.connection.execute
        return bool(
            execute(rows.READY, (self._queue, 1)).fetchone()
            or execute(rows.HAS_DUE, (self._queue, now)).fetchone()
            or rows.dead(self._file, self._queue, self._id)
        )

    def _remove(self, delivery: Delivery) -> None:
        removed = self._file.connection.execute(
            "DELETE FROM messages WHERE id=? AND consumer=?", (delivery.tag, self._id)
        )
        if removed.rowcount != 1:
            raise Unavailable(
                f"embedded broker {self._file.path}: {delivery.place} is no longer ours"
            )

    def _version(self) -> int:
        (version,) = self._file.connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _await_change(self, version: int, deadline: float | None) -> None:
        """Wait until others have changed something, or it is time for a look anyway."""
        end = time.monotonic() + _LONG
        if deadline is not None:
            end = min(end, deadline)
        pause = _SHORT / 8
        while (left := end - time.monotonic()) > 0 and self._version() == version:
            time.sleep(min(pause, left))
            pause = min(2 * pause, _SHORT)
