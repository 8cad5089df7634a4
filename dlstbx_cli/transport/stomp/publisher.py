"""Sending: where a message goes, and how the broker's confirmation is waited for."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

from dlstbx_cli.services.message import Destination, Message, Queue
from dlstbx_cli.transport.stomp import frames
from dlstbx_cli.transport.stomp.dialect import QUEUE_FORM, Dialect
from dlstbx_cli.transport.stomp.session import BrokerError, Session, open_session
from dlstbx_cli.transport.stomp.settings import Settings

#: Where messages wait that are not due yet, see ``delays``.
DELAYED = "dlstbx.delayed"
#: When such a message is due (seconds since the epoch), and for which queue.
DUE_HEADER, FOR_HEADER = "dlstbx-due", "dlstbx-for"
#: Queues that are ours alone: nobody else declares them, so we do.
_OURS = ("dlq.", DELAYED)


class Publisher:
    """Encodes messages and finds their destinations; one for each broker object.

    How a queue is called is found out at its first use, on a connection of its own: the
    broker closes the connection over which it refuses something, with all that is in hand.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._forms: dict[str, str] = {}

    def encoded(self, message: Message) -> Encoded:
        """Return a message ready to be sent. Raises Rejected, ValueError."""
        message = _postponed(message)
        name = frames.check(message.destination)
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
            self._discover(encoded, session.dialect)
            return False
        headers = {**encoded.headers, **extra, "destination": destination}
        session.send("SEND", headers, encoded.body)
        return True

    def destination(self, destination: Destination, dialect: Dialect) -> str | None:
        """Return the destination's name on the broker; None if it must be found out."""
        name = destination.name
        if isinstance(destination, Queue):
            form = self._form(name, dialect)
        else:
            form = self._settings.topic_form
        return form.format(self._settings.named(name)) if form else None

    def forms(self, queue: str, dialect: Dialect) -> tuple[str, ...]:
        """Return how a queue may be called, in the order in which it is to be tried."""
        form = self._form(queue, dialect)
        return (form,) if form else dialect.queue_forms

    def learn(self, queue: str, form: str | None) -> None:
        """Remember how a queue is called; None: that must be found out again."""
        if form:
            self._forms[queue] = form
        else:
            self._forms.pop(queue, None)

    def _form(self, name: str, dialect: Dialect) -> str | None:
        if name.startswith(_OURS):
            return QUEUE_FORM
        if self._settings.queue_form:
            return self._settings.queue_form
        if len(dialect.queue_forms) == 1:
            return dialect.queue_forms[0]
        return self._forms.get(name)

    def _discover(self, encoded: Encoded, dialect: Dialect) -> None:
        """Send the first message to a queue, by the first of the names that is accepted."""
        *others, last = dialect.queue_forms
        for form in others:
            try:
                self._try(encoded, form)
            except BrokerError:
                continue
            return
        self._try(encoded, last)

    def _try(self, encoded: Encoded, form: str) -> None:
        destination = form.format(self._settings.named(encoded.name))
        with closing(open_session(self._settings)) as session:
            session.confirm("SEND", {**encoded.headers, "destination": destination}, encoded.body)
        self._forms[encoded.name] = form


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
