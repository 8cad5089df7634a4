"""Looking through the dead letters of a broker, and taking some of them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from dlstbx_cli.services.dead_letters import DeadLetter
from dlstbx_cli.services.message import DLQ, Message
from dlstbx_cli.transport.link import Broker, Delivery
from dlstbx_cli.transport.stop import Stop


def queues(broker: Broker, given: str | None) -> list[str]:
    """Return the names of the queues with dead letters.

    :param given: look at this one alone; ``mimas`` and ``dlq.mimas`` are the same.
    """
    if given:
        return [given if given.startswith(DLQ) else DLQ + given]
    return [state.name for state in broker.states(DLQ)]


def look(broker: Broker, given: str | None) -> Iterator[DeadLetter]:
    """Yield all dead letters, in order, and leave them where they are."""
    for queue in queues(broker, given):
        for message in broker.peek(queue):
            yield DeadLetter.of(message, queue)


def take(
    broker: Broker,
    given: str | None,
    wanted: Callable[[DeadLetter], bool],
    act: Callable[[DeadLetter], Sequence[Message]],
    stop: Stop,
) -> Iterator[DeadLetter]:
    """Take the wanted letters out, in one transaction each with what *act* returns for it.

    Those that are not wanted keep their place. Each queue is gone through once: what
    becomes a dead letter meanwhile is left for the next time.
    """
    for queue in queues(broker, given):
        left = len(broker.peek(queue))
        kept: list[Delivery] = []
        with closing(broker.consumer(queue)) as link:
            while left and not stop.requested and (delivery := link.receive(0)) is not None:
                left -= 1
                letter = DeadLetter.of(delivery.message, queue)
                if wanted(letter):
                    link.commit(delivery, act(letter))
                    yield letter
                else:
                    kept.append(delivery)
            for delivery in kept:
                link.give_back(delivery)
