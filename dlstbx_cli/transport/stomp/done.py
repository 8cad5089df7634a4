"""Which messages a consumer has ended lately, so that a repeat of one does nothing again.

On a broker without transactions a stage that is killed between sending its results and its
acknowledgement sends them all again, under the same identities. The stage after it would
do all that follows a second time; instead it acknowledges what it has ended already.

That holds beyond a lost connection: a broker that was killed gives messages again whose
acknowledgement it had not written down yet. Only the first seconds of a queue count for
nothing then. RabbitMQ writes what it knows of its queues to a file up to two seconds after
it has confirmed messages to them, and loses a queue declared since then together with them
(seen with 3.10.8 on Erlang 25: Mnesia dumps its log through a cache of two seconds). What
was sent to such a queue is sent again rather than taken for ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from dlstbx_cli.services.message import ID_HEADER, Message, Queue
from dlstbx_cli.services.trace import about

if TYPE_CHECKING:
    from dlstbx_cli.transport.stomp.publisher import Encoded

logger = logging.getLogger("dlstbx_cli")

#: Identities that are remembered: those of the last minutes, a few megabytes.
_REMEMBERED = 20_000
#: Seconds after which a queue is on the broker's disk, whatever happens to the broker.
_SETTLED = 3.0


class Result(NamedTuple):
    """What followed from a message.

    :param identity: None: a broadcast has none.
    :param queue: where it went; empty: to a topic.
    """

    identity: str | None
    queue: str

    @classmethod
    def of(cls, sent: Encoded) -> Result:
        """Return it as it has been sent."""
        queue = sent.name if isinstance(sent.destination, Queue) else ""
        return cls(sent.headers.get(ID_HEADER), queue)


class Done:
    """The identities of messages that have been acknowledged, the oldest forgotten first."""

    def __init__(self) -> None:
        #: Identity -> whether it survives the loss of the connection.
        self._identities: dict[str, bool] = {}
        #: Queue -> when the broker first confirmed a message to it, on this connection.
        self._used_since: dict[str, float] = {}

    def repeated(self, message: Message) -> bool:
        """Tell whether a message repeats one that has ended, and log it if so.

        One without an identity of its own is known by its content alone, and the same
        request may be made twice: it is no repeat.
        """
        identity = message.headers.get(ID_HEADER)
        if identity not in self._identities:
            return False
        extra = {"action": "repeat", "queue": message.destination.name}
        with about(message):
            logger.warning("message %s comes again, it has ended already", identity, extra=extra)
        return True

    def add(self, identity: str, results: Iterable[Result]) -> None:
        """Remember a message that has ended: the broker has confirmed its results.

        A message that is among its results has not ended: it was postponed, or is a dead
        letter that may be sent back.
        """
        results = list(results)
        now = time.monotonic()
        used = [self._used_since.setdefault(one.queue, now) for one in results if one.queue]
        if any(one.identity == identity for one in results):
            return
        self._identities[identity] = all(now - since >= _SETTLED for since in used)
        if len(self._identities) > _REMEMBERED:
            del self._identities[next(iter(self._identities))]

    def disconnected(self) -> None:
        """Forget what the broker, if it has died, may have lost the results of."""
        self._used_since.clear()
        self._identities = {name: True for name, lasts in self._identities.items() if lasts}
