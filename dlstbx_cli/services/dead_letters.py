"""Dead letters as work: what they say, which of them are meant, and how they go back.

A dead letter is the original message in the queue ``dlq.QUEUE``, with headers that say why,
by whom and when. Going back it keeps its identity: whatever had been done for it already
is not done twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dlstbx_cli.services.message import (
    ATTEMPT_HEADER,
    DLQ,
    ERROR_HEADER,
    REJECTED_AT_HEADER,
    REJECTED_BY_HEADER,
    Message,
    Queue,
)

_ADDED = (ERROR_HEADER, REJECTED_BY_HEADER, REJECTED_AT_HEADER, ATTEMPT_HEADER)
#: Where a request's deadline stands: set when it was first looked at, and over by now.
_DEADLINE = "dispatcher_expiration"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, read.

    :param rejected_at: seconds since the epoch; None where nothing says so.
    :param attempts: how many times it was delivered before it was given up.
    """

    message: Message
    queue: str
    reason: str
    rejected_by: str | None
    rejected_at: float | None
    attempts: int

    @classmethod
    def of(cls, message: Message, queue: str) -> DeadLetter:
        """Read a message that lies in the queue *queue*."""
        headers = message.headers
        attempts = headers.get(ATTEMPT_HEADER, "1")
        return cls(
            message,
            queue,
            headers.get(ERROR_HEADER, "no reason given"),
            headers.get(REJECTED_BY_HEADER),
            _time(headers.get(REJECTED_AT_HEADER)),
            int(attempts) if attempts.isascii() and attempts.isdigit() else 1,
        )

    def age(self, now: float | None = None) -> float | None:
        """Return how long ago it was rejected, in seconds."""
        if self.rejected_at is None:
            return None
        return max(0.0, (time.time() if now is None else now) - self.rejected_at)

    def revived(self) -> Message:
        """Return the message as it goes back to where it came from, its deadline renewed."""
        headers = {
            name: value for name, value in self.message.headers.items() if name not in _ADDED
        }
        return Message(
            Queue(self.queue.removeprefix(DLQ)), _without_deadline(self.message.body), headers
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant.

    :param ids: identities, or beginnings of them.
    :param reason: a part of the reason, letter case ignored.
    :param everything: all of them; the other two are then left out of account.
    """

    ids: tuple[str, ...] = ()
    reason: str | None = None
    everything: bool = False

    def takes(self, letter: DeadLetter) -> bool:
        """Tell whether a letter is meant: one of the ids, and with that reason."""
        if self.everything:
            return True
        identity = letter.message.identity
        if self.ids and not identity.startswith(self.ids):
            return False
        return self.reason is None or self.reason.lower() in letter.reason.lower()


def _without_deadline(body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    if isinstance(body.get("payload"), dict):
        return {**body, "payload": _without_deadline(body["payload"])}
    parameters = body.get("parameters")
    if not isinstance(parameters, Mapping) or _DEADLINE not in parameters:
        return body
    kept = {key: value for key, value in parameters.items() if key != _DEADLINE}
    return {**body, "parameters": kept}


def _time(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
