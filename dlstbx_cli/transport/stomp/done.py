"""Which messages a consumer has ended lately, so that a repeat of one does nothing again.

On a broker without transactions a stage that is killed between sending its results and its
acknowledgement sends them all again, under the same identities. The stage after it would
do all that follows a second time; instead it acknowledges what it has ended already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from dlstbx_cli.services.message import ID_HEADER, Message

logger = logging.getLogger("dlstbx_cli")

#: Identities that are remembered: those of the last minutes, a few megabytes.
_REMEMBERED = 20_000


class Done:
    """The identities of messages that have been acknowledged, the oldest forgotten first."""

    def __init__(self) -> None:
        self._identities: dict[str, None] = {}

    def repeated(self, message: Message) -> bool:
        """Tell whether a message repeats one that has ended, and log it if so.

        One without an identity of its own is known by its content alone, and the same
        request may be made twice: it is no repeat.
        """
        identity = message.headers.get(ID_HEADER)
        if identity not in self._identities:
            return False
        extra = {"action": "repeat", "queue": message.destination.name}
        logger.warning("message %s comes again, it has ended already", identity, extra=extra)
        return True

    def add(self, identity: str, results: Iterable[str | None]) -> None:
        """Remember a message that has ended.

        :param results: the identities of its results. A message that is among them has not
            ended: it was postponed, or is a dead letter that may be sent back.
        """
        if identity in results:
            return
        self._identities[identity] = None
        if len(self._identities) > _REMEMBERED:
            del self._identities[next(iter(self._identities))]
