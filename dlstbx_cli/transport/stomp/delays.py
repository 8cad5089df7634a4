"""Messages that are not due yet: they wait in a queue of ours on the broker.

RabbitMQ ignores delays, and ActiveMQ knows them only where its scheduler is switched on.
So a delayed message is sent to the queue ``dlstbx.delayed``, with the time when it is due
and the queue that it is for; every consumer of ours, of whatever queue, takes part in
holding such messages, unacknowledged, and sends each on when its time has come. They are as
safe as any message of the broker: a consumer that dies leaves them to the next.
"""

from __future__ import annotations

import heapq
import math
import time
from dataclasses import replace

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue, dead_letter
from dlstbx_cli.transport.stomp import frames
from dlstbx_cli.transport.stomp.publisher import DELAYED, DUE_HEADER, FOR_HEADER

#: Delayed messages that one consumer holds at most; and for how many seconds each: then it
#: goes to the end of the queue, so that nothing stays unacknowledged for long.
WINDOW, LONGEST = 500, 120.0
#: Seconds until a consumer whose hand is full lets go of those that wait longest.
_CROWDED = 5.0


class Waiting:
    """The delayed messages in one consumer's hand: (when to act, number, message)."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Message]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, number: int, message: Message) -> None:
        """Take a message from the queue ``dlstbx.delayed`` into the hand."""
        now = time.time()
        longest = _CROWDED if len(self._heap) >= WINDOW - 1 else LONGEST
        when = min(due_at(message), now + longest)
        heapq.heappush(self._heap, (when, number, message))

    def next_at(self) -> float:
        """Return when the next one is to be looked at, in seconds since the epoch."""
        return self._heap[0][0] if self._heap else math.inf

    def due(self) -> tuple[int, Message] | None:
        """Take out the next message to act on, as it is to be sent now; None if none is."""
        if self.next_at() > time.time():
            return None
        _, number, message = heapq.heappop(self._heap)
        return number, sent_on(message)

    def clear(self) -> None:
        """Forget them: the connection is lost, or ends."""
        self._heap.clear()


def due_at(message: Message) -> float:
    """Return when a delayed message is due; one that does not say so is due now."""
    try:
        due = float(message.headers.get(DUE_HEADER, "0"))
    except ValueError:
        return 0.0
    return due if math.isfinite(due) else 0.0


def target(message: Message) -> str | None:
    """Return the queue that a delayed message is for; None if that makes no sense."""
    name = message.headers.get(FOR_HEADER, "")
    try:
        return frames.check(Queue(name))
    except Rejected:
        return None


def sent_on(message: Message) -> Message:
    """Return a delayed message on its way: to its queue, or back if it is not due yet."""
    name = target(message)
    if name is None:
        reason = f"the header {FOR_HEADER} names no queue"
        return dead_letter(message, DELAYED, reason, "dlstbx", time.time())
    if due_at(message) > time.time():
        return replace(message, destination=Queue(DELAYED))
    return replace(restored(message), destination=Queue(name))


def restored(message: Message) -> Message:
    """Return a delayed message as it was sent, without what the delay added."""
    kept = {k: v for k, v in message.headers.items() if k not in (DUE_HEADER, FOR_HEADER)}
    return replace(message, headers=kept)
