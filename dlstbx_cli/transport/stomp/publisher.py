"""Sending: where a message goes, and how the broker's confirmation is waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from dlstbx_cli.services.errors import Rejected, Unavailable
from dlstbx_cli.services.message import DLQ, Destination, Message, Queue
from dlstbx_cli.transport.stomp import frames
from dlstbx_cli.transport.stomp.dialect import AS_IT_IS, OTHERWISE, Dialect
from dlstbx_cli.transport.stomp.session import BrokerError, Session, open_session
from dlstbx_cli.transport.stomp.settings import Settings

logger = logging.getLogger("dlstbx_cli")

#: Where messages wait that are not due yet, see ``delays``.
DELAYED = "dlstbx.delayed"
#: When such a message is due (seconds since the epoch), and for which queue.
DUE_HEADER, FOR_HEADER = "dlstbx-due", "dlstbx-for"
#: Messages that a subscription may have in hand at most: AMQP has 16 bits for them.
MOST = 60_000
#: Queues that are ours: we declare them, unless a site has done that already.
_OURS = (DLQ, DELAYED)


class Publisher:
    """Encodes messages and finds their destinations; one for each broker object.

    How a queue is called is found out at its first use, on a connection of its own: the
    broker closes the connection over which it refuses something, with all that is in hand.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._forms: dict[str, str] = {}
        self._doubted: set[str] = set()

    def encoded(self, message: Message) -> Encoded:
        """Return a message ready to be sent. Raises Rejected, ValueError, Unavailable."""
        message = _postponed(message)
        name = frames.check(message.destination)
        is_queue = isinstance(message.destination, Queue)
        if is_queue and self._told(name) == AS_IT_IS and self._settings.management:
            self._look_for(name)
        return Encoded(
            message.destination, name, frames.headers_of(message), frames.body_of(message)
        )

    def send(self, session: Session, encoded: Encoded, extra: dict[str, str]) -> bool:
        """Send a message over a session.

        :param extra: further headers: a receipt, a transaction.

        Returns False if it has been sent and confirmed already, over another connection:
        it was the first one to its queue.
        """
        destination = self.destination(encoded.destination, session.dialect)
        if destination is None:
            with closing(open_session(session.settings)) as other:
                self.introduce(encoded, other)
            return False
        headers = {**encoded.headers, **extra, "destination": destination}
        session.send("SEND", headers, encoded.body)
        return True

    def send_all(
        self,
        session: Session,
        encoded: Sequence[Encoded],
        aside: Callable[[Any], None] = lambda _: None,
    ) -> None:
        """Send messages, and return when the broker has confirmed them all.

        All or none on a broker with transactions.

        :param aside: takes the frames that come meanwhile.
        """
        name = session.receipt()
        together = {"transaction": name} if session.dialect.transactions else {}
        if together:
            session.send("BEGIN", together)
        awaited = set()
        for one in encoded:
            extra = together or {"receipt": session.receipt()}
            if self.send(session, one, extra) and not together:
                awaited.add(extra["receipt"])
        if together:
            session.send("COMMIT", {**together, "receipt": name})
            awaited.add(name)
        self._await(session, awaited, aside)

    def _await(self, session: Session, awaited: set[str], aside: Callable[[Any], None]) -> None:
        deadline = time.monotonic() + self._settings.timeout
        while awaited:
            frame = session.next(max(0.0, deadline - time.monotonic()))
            if frame is None:
                raise Unavailable(f"{self._settings.shown}: it does not confirm what was sent")
            if frame.cmd == "RECEIPT" and frame.headers.get("receipt-id") in awaited:
                awaited.discard(frame.headers["receipt-id"])
                deadline = time.monotonic() + self._settings.timeout
            else:
                aside(frame)

    def destination(self, destination: Destination, dialect: Dialect) -> str | None:
        """Return the destination's name on the broker; None if it must be found out."""
        name = destination.name
        if isinstance(destination, Queue):
            form = self._form(name, dialect)
        else:
            form = self._settings.topic_form
        return form.format(self._settings.named(name)) if form else None

    def form(self, queue: str, dialect: Dialect) -> str:
        """Return how a queue is called, or may be called: see :meth:`refused`."""
        return self._form(queue, dialect) or dialect.queue_forms[0]

    def look_form(self, queue: str, dialect: Dialect) -> str:
        """Return how a queue is called by one who only looks."""
        return self._told(queue) or dialect.look_form

    def learn(self, queue: str, form: str) -> None:
        """Remember how a queue is called."""
        self._forms[queue] = form

    def refused(self, queue: str, form: str, dialect: Dialect, error: BrokerError) -> bool:
        """Forget a name that the broker refuses; tell whether it now has another one.

        Raises Rejected if there is no such queue.
        """
        self._forms.pop(queue, None)
        first, *others = dialect.queue_forms
        if self._told(queue) or form != first or not others:
            return False
        if not any(text in str(error) for text in dialect.refusals):
            return False
        if OTHERWISE not in str(error):
            self._doubt(queue)
        self._forms[queue] = others[0]
        return True

    def _form(self, name: str, dialect: Dialect) -> str | None:
        if told := self._told(name):
            return told
        if len(dialect.queue_forms) == 1:
            return dialect.queue_forms[0]
        return self._forms.get(name)

    def _told(self, queue: str) -> str | None:
        """Return the form that the settings name; our own queues nobody else declares."""
        return None if queue.startswith(_OURS) else self._settings.queue_form

    def introduce(self, encoded: Encoded, session: Session) -> None:
        """Send the first message to a queue, by the first of the names that is accepted.

        :param session: nothing is in hand on it: a refusal costs it.
        """
        dialect, name = session.dialect, encoded.name
        form = dialect.queue_forms[0]
        try:
            self._try(encoded, form, session)
        except BrokerError as error:
            if "reserved prefix" in str(error):
                raise Rejected(str(error)) from None
            if not self.refused(name, form, dialect, error):
                raise
            with closing(open_session(session.settings)) as other:
                self._try(encoded, self._forms.pop(name), other)

    def _try(self, encoded: Encoded, form: str, session: Session) -> None:
        destination = form.format(self._settings.named(encoded.name))
        session.confirm("SEND", {**encoded.headers, "destination": destination}, encoded.body)
        self._forms[encoded.name] = form

    def _doubt(self, queue: str) -> None:
        """Make sure that a queue which we may not declare is there, as far as we can.

        RabbitMQ confirms, and throws away, what is sent to one that is not.
        """
        if self._settings.management:
            self._look_for(queue)
        elif queue not in self._doubted:
            logger.warning(
                "%s: we may not declare the queue %s, and use it as it is: "
                "if it is not there, what is sent to it is lost",
                self._settings.shown,
                queue,
                extra={"action": "doubt", "queue": queue},
            )
        self._doubted.add(queue)

    def _look_for(self, queue: str) -> None:
        if queue in self._doubted:
            return
        from dlstbx_cli.transport.stomp import management

        name = self._settings.named(queue)
        if not management.is_there(self._settings, name):
            raise Rejected(f"there is no queue {name} on {self._settings.shown}")
        self._doubted.add(queue)


class Encoded:
    """A message as it is sent."""

    __slots__ = ("body", "destination", "headers", "name")

    def __init__(
        self, destination: Destination, name: str, headers: dict[str, str], body: str
    ) -> None:
        self.destination = destination
        self.name = name
        self.headers = headers
        self.body = body


def _postponed(message: Message) -> Message:
    """Return what is sent of a message that is not due yet: a broadcast is never delayed."""
    if message.delay <= 0 or not isinstance(message.destination, Queue):
        return message
    frames.check(message.destination)
    due = {DUE_HEADER: f"{time.time() + message.delay:.3f}", FOR_HEADER: message.destination.name}
    return replace(message.with_headers(due), destination=Queue(DELAYED), delay=0.0)


def subscription(dialect: Dialect, name: str, window: int) -> dict[str, str]:
    """Return the headers of a SUBSCRIBE frame whose messages are acknowledged one by one."""
    headers = {"id": name, "ack": "client-individual"}
    if dialect.prefetch:
        headers[dialect.prefetch] = str(window)
    return headers
