"""A STOMP broker: sending, looking, and its consumers.

What only a consumer or a look needs is imported there: ``dlstbx.go`` sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import DLQ, Message
from dlstbx_cli.transport.stomp.publisher import MOST, Encoded, Publisher
from dlstbx_cli.transport.stomp.session import Session, open_session
from dlstbx_cli.transport.stomp.settings import Settings

if TYPE_CHECKING:
    from dlstbx_cli.transport.link import Link, QueueState
    from dlstbx_cli.transport.stomp.looking import Looking


class StompBroker:
    """See :class:`dlstbx_cli.transport.link.Broker`. It connects when it is needed.

    :param scratch: a directory of this host for the notes on messages that came back.
    """

    def __init__(self, settings: Settings, scratch: Path | None = None) -> None:
        self._settings = settings
        self._publisher = Publisher(settings)
        self._scratch = scratch
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
        try:
            known = [one for one in encoded if not self._introduced(one)]
            if known:
                self._publisher.send_all(self._connected(), known)
        except Unavailable:
            if self._session is not None:
                self._session.drop()
                self._session = None
            raise

    def consumer(self, queue: str, topics: Sequence[str] = ()) -> Link:
        """Return a new consumer of a queue and topics, with a connection of its own."""
        from dlstbx_cli.transport.stomp.attempts import Attempts
        from dlstbx_cli.transport.stomp.consumer import StompConsumer

        settings = self._settings
        if queue.startswith(DLQ):
            # These are gone through as a whole, by one person, and go back in their order.
            settings = replace(settings, window=MOST)
        attempts = Attempts(self._scratch / "attempts" if self._scratch else None)
        return StompConsumer(settings, self._publisher, queue, topics, attempts)

    def peek(self, queue: str, maximum: int | None = None) -> list[Message]:
        """Return the messages waiting in a queue that no consumer has in hand."""
        return self._looking().peek(queue, maximum)

    def browses(self) -> bool:
        """Tell whether a look leaves messages where they are: on ActiveMQ it does."""
        return self._connected().dialect.browses

    def states(self, prefix: str = "") -> list[QueueState]:
        """Return the state of every queue that is not empty and begins so, by name."""
        from dlstbx_cli.transport.stomp.depths import states

        return states(self._settings, self._looking().count, prefix)

    def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _looking(self) -> Looking:
        from dlstbx_cli.transport.stomp.looking import Looking

        return Looking(self._settings, self._publisher)

    def _introduced(self, encoded: Encoded) -> bool:
        """Send a message if it is the first to its queue, and that queue's name is in doubt."""
        session = self._connected()
        if self._publisher.destination(encoded.destination, session.dialect) is not None:
            return False
        self._publisher.introduce(encoded, session)
        return True

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
