"""What the driver and the commands ask of a pipe or a broker: the interfaces of this ring.

A new broker is a new module with these two classes; nothing else in the program knows
which broker it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dlstbx_cli.services.message import Message


class EndOfInput(Exception):
    """There is nothing more to read, now or ever: standard input has ended."""


class OutputClosed(Exception):
    """Nobody reads our standard output any more (``| head``): the run ends quietly."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message in hand: neither acknowledged nor given back yet.

    :param message: the message; where it could not be parsed, what could be saved of it.
    :param place: where it stood, for people: ``line 3``, ``message 17``.
    :param broadcast: it came by a topic, and is for everyone.
    :param raw: the line as it came, where it came by a pipe.
    :param fault: why it could not be parsed; such a message is never handled.
    :param tag: the link's own number for it.
    :param attempts: which delivery this is of a message whose consumers died with it in hand.
    """

    message: Message
    place: str
    broadcast: bool = False
    raw: bytes | None = None
    fault: str | None = None
    tag: int = 0
    attempts: int = 1


class Link(Protocol):
    """Source and sink of one run: a pipe, or one consumer of a broker.

    Every method raises Unavailable if the broker (or the file system behind standard
    input and output) is away.
    """

    def receive(self, timeout: float | None) -> Delivery | None:
        """Return the next message, or None if there is none now.

        :param timeout: how many seconds to wait for one at most; None: for ever. With 0,
            None means that nothing is there.

        A pipe returns None also after it has passed a line on, so that a caller can look
        up between two lines. Raises EndOfInput.
        """

    def commit(self, delivery: Delivery, results: Sequence[Message]) -> None:
        """Send the results and acknowledge the message: both or neither.

        What was sent may be confirmed later: if that fails, the next call of any method
        raises Unavailable, and the message comes again. After :meth:`close` or a
        :meth:`receive` that returned None for an empty queue, all is confirmed.

        Raises Rejected if a result is one that cannot be sent; nothing is done then.
        Raises OutputClosed.
        """

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages that follow from none; on return they are confirmed.

        Raises Rejected, OutputClosed.
        """

    def give_back(self, delivery: Delivery) -> None:
        """Put the message back unhandled, in its place (a pipe: pass the line on as it came)."""

    def close(self) -> None:
        """End the run; what was received ahead and not handed out goes back to its place."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """What is in one queue.

    :param ready: messages that a consumer would get now.
    :param in_hand: messages that a consumer has and has not acknowledged.
    :param delayed: messages that are not due yet.
    :param oldest: when the oldest of all these was sent, in seconds since the epoch.
    """

    name: str
    ready: int
    in_hand: int
    delayed: int
    oldest: float | None


class Broker(Protocol):
    """A connection to a broker. Every method raises Unavailable if the broker is away."""

    def check(self) -> None:
        """Return if the broker answers."""

    def send(self, messages: Sequence[Message]) -> None:
        """Send all messages or none; on return, the broker has stored them.

        Raises Rejected if one of them cannot be sent.
        """

    def consumer(self, queue: str, topics: Sequence[str] = ()) -> Link:
        """Return a new consumer of a queue that listens to topics as well.

        It gets the queue's messages in order, and every broadcast since its first receive,
        each topic's in order; one that has arrived goes before the next message. The last
        known broadcasts come first, where a broker keeps them.
        """

    def peek(self, queue: str, maximum: int | None = None) -> list[Message]:
        """Return the messages waiting in a queue, without taking them.

        First those that are due, in order, then the delayed ones with the seconds left.
        """

    def browses(self) -> bool:
        """Tell whether a look at messages keeps them from nobody, not even for a moment."""

    def states(self, prefix: str = "") -> list[QueueState]:
        """Return the state of every queue that is not empty, by name.

        :param prefix: of those only whose name begins so; no other is looked into.
        """

    def close(self) -> None:
        """Close the connection."""
