"""A STOMP broker: sending, looking, and its consumers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.link import QueueState
from dlstbx_cli.transport.stomp import delays, frames
from dlstbx_cli.transport.stomp.attempts import Attempts
from dlstbx_cli.transport.stomp.consumer import StompConsumer
from dlstbx_cli.transport.stomp.publisher import DELAYED, Encoded, Publisher
from dlstbx_cli.transport.stomp.session import Session, open_session
from dlstbx_cli.transport.stomp.settings import Settings


class StompBroker:
    """See :class:`dlstbx_cli.transport.link.Broker`. It connects when it is needed.

    :param scratch: a directory of this host for the notes on messages that came back.
    """

    def __init__(self, settings: Settings, scratch: Path | None = None) -> None:
        self._settings = settings
        self._publisher = Publisher(settings)
        self._attempts = Attempts(scratch / "attempts" if scratch else None)
        self._session: Session | None = None

    def check(self) -> None:
        """Raise Unavailable unless the broker answers."""
        self._connected()

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages, and return when the broker has confirmed them all.

        All or none on a broker with transactions; on others a loss of the connection may
        leave some of them sent, and sending again then repeats these, under the same identity.
        """
        encoded = [self._publisher.encoded(message) for message in messages]
        if not encoded:
            return
        session = self._connected()
        try:
            self._send(session, encoded)
        except Unavailable:
            session.drop()
            self._session = None
            raise

    def consumer(self, queue: str, topics: Sequence[str] = ()) -> StompConsumer:
        """Return a new consumer of a queue and topics, with a connection of its own."""
        return StompConsumer(self._settings, self._publisher, queue, topics, self._attempts)

    def peek(self, queue: str, maximum: int | None = None) -> list[Message]:
        """Return the messages waiting in a queue that no consumer has in hand.

        On a broker that cannot browse they are received and given back: for that moment
        nobody else gets them.
        """
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

    def states(self) -> list[QueueState]:
        """Return the state of every queue that is not empty, by name."""
        from dlstbx_cli.transport.stomp.depths import states

        return states(self._settings, lambda queue: len(self._look(queue, None)))

    def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _connected(self) -> Session:
        if self._session is not None:
            try:
                # A connection that has been idle may be gone: nothing is lost by a look.
                while self._session.next(0) is not None:
                    pass
            except Unavailable:
                self._session = None
        if self._session is None:
            self._session = open_session(self._settings)
        return self._session

    def _send(self, session: Session, encoded: Sequence[Encoded]) -> None:
        if session.dialect.transactions and len(encoded) > 1:
            transaction = {"transaction": session.receipt()}
            session.send("BEGIN", transaction)
            for one in encoded:
                self._publisher.send(session, one, transaction)
            session.confirm("COMMIT", transaction)
            return
        awaited = set()
        for one in encoded:
            receipt = session.receipt()
            if self._publisher.send(session, one, {"receipt": receipt}):
                awaited.add(receipt)
        deadline = time.monotonic() + self._settings.timeout
        while awaited:
            frame = session.next(max(0.0, deadline - time.monotonic()))
            if frame is None:
                raise Unavailable(f"{self._settings.shown}: it does not confirm what was sent")
            awaited.discard(frame.headers.get("receipt-id", ""))

    def _look(self, queue: str, maximum: int | None) -> list[Message]:
        """Return the messages in a queue, in their order, by a connection of its own."""
        with closing(open_session(self._settings)) as session:
            headers = {"id": "look", "ack": "client-individual"}
            if session.dialect.browses:
                headers["browser"] = "true"
            forms = self._publisher.forms(queue, session.dialect)
            destination = forms[0].format(self._settings.named(queue))
            # Messages may come before the receipt.
            found = session.confirm("SUBSCRIBE", {**headers, "destination": destination})
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
