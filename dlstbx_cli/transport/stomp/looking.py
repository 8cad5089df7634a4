"""Looking into the queues of a STOMP broker without taking anything."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.stomp import delays, frames
from dlstbx_cli.transport.stomp.publisher import DELAYED, MOST, Publisher, subscription
from dlstbx_cli.transport.stomp.session import BrokerError, open_session
from dlstbx_cli.transport.stomp.settings import Settings


class Looking:
    """Looks at messages; each time by a connection of its own.

    On a broker that cannot browse they are received and given back: for that moment nobody
    else gets them.
    """

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self._settings = settings
        self._publisher = publisher

    def count(self, queue: str) -> int:
        """Return how many messages there are to see in a queue."""
        return len(self._look(queue, None))

    def peek(self, queue: str, maximum: int | None = None) -> list[Message]:
        """Return the messages waiting in a queue: those due in order, then the delayed."""
        ready = self._look(queue, maximum)
        if maximum is not None and len(ready) >= maximum:
            return ready[:maximum]
        now = time.time()
        later = [
            (delays.due_at(message), message)
            for message in self._look(DELAYED, None)
            if delays.target(message) == queue
        ]
        delayed = [
            Message(Queue(queue), kept.body, kept.headers, max(0.001, due - now))
            for due, message in sorted(later, key=lambda pair: pair[0])
            if (kept := delays.restored(message))
        ]
        return (ready + delayed)[:maximum]

    def _look(self, queue: str, maximum: int | None) -> list[Message]:
        """Return the messages in a queue, in their order, by a connection of its own."""
        name = self._settings.named(frames.check(Queue(queue)))
        with closing(open_session(self._settings)) as session:
            form = self._publisher.look_form(queue, session.dialect)
            # Without that, ActiveMQ would show 500 messages and stop.
            headers = subscription(session.dialect, "look", MOST)
            headers["destination"] = form.format(name)
            if session.dialect.browses:
                headers["browser"] = "true"
            try:
                # Messages may come before the receipt.
                found = session.confirm("SUBSCRIBE", headers)
            except BrokerError as error:
                if "NOT_FOUND" in str(error):
                    return []
                raise
            last = time.monotonic()
            while maximum is None or len(found) < maximum + 1:
                if found and _is_end(found[-1]):
                    break
                if (frame := session.next(0.05)) is not None:
                    found.append(frame)
                    last = time.monotonic()
                elif time.monotonic() - last > self._settings.idle:
                    break
        messages = [frames.message_of(frame, Queue(queue))[0] for frame in found if _is_one(frame)]
        return messages if maximum is None else messages[:maximum]


def _is_end(frame: Any) -> bool:
    """Tell whether a frame is the one after the last message that ActiveMQ shows."""
    return bool(frame.headers.get("browser") == "end")


def _is_one(frame: Any) -> bool:
    return frame.cmd == "MESSAGE" and not _is_end(frame)
