"""What the driver asks of a stage: the one interface between ring 2 and the transport."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from dlstbx_cli.services.message import Message


class Service(Protocol):
    """One stage of the chain.

    Attributes: ``name`` is the command's name, as it stands in ``dlstbx-rejected-by``;
    ``queue`` the queue it takes its messages from; ``topics`` the topics it listens to.
    """

    @property
    def name(self) -> str:
        """The command's name."""

    @property
    def queue(self) -> str:
        """The queue whose messages the service takes."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics the service listens to."""

    def handle(self, message: Message) -> Sequence[Message]:
        """Return the messages that follow from *message*.

        Raises Rejected, Unavailable, NotReady or NoRoom, and nothing else.
        """

    def observe(self, message: Message) -> None:
        """Take note of a broadcast. Raises Rejected if it makes no sense."""


@dataclass(frozen=True, slots=True)
class Departure:
    """Something that a service sends of its own accord.

    :param origin: the message that it comes from: the dead letter, if it cannot be sent.
    :param messages: what is sent, with its identities.
    :param fault: why it cannot even be made; None: it can.
    """

    origin: Message
    messages: Sequence[Message]
    fault: str | None = None


@runtime_checkable
class Initiative(Protocol):
    """What a service has that also sends of its own accord, at a time of its choosing.

    Every method raises Unavailable.
    """

    def due(self) -> Sequence[Departure]:
        """Return what is to be sent now; asked again and again."""

    def sending(self) -> AbstractContextManager[None]:
        """Surround the sending of what is due: what it rests on is kept up meanwhile."""

    def sent(self) -> None:
        """Take note that all of it has been sent, or become a dead letter, and is confirmed."""

    def expects(self) -> bool:
        """Tell whether a run that ends when the queue is empty should still wait."""
