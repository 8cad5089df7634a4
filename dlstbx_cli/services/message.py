"""Messages and where they are addressed to: the values that every ring speaks in."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

#: The header that carries a message's identity through every stage and broker.
ID_HEADER = "dlstbx-id"
ERROR_HEADER = "dlstbx-error"
REJECTED_BY_HEADER = "dlstbx-rejected-by"
#: When a message became a dead letter: ISO 8601, in UTC.
REJECTED_AT_HEADER = "dlstbx-rejected-at"
#: How many times a message has been delivered that keeps killing its consumer.
ATTEMPT_HEADER = "dlstbx-attempt"
#: The message is the step of a recipe, and carries all of it: the workflows library's header.
WRAPPED_HEADER = "workflows-recipe"
#: What a held job is about, for whoever looks at the backlog.
RECIPE_HEADER, DCID_HEADER = "dlstbx-recipe", "dlstbx-dcid"
#: The rule that has asked for a recipe or a job, for the logs of whoever handles it.
RULE_HEADER = "dlstbx-rule"

#: Before the name of a queue: the queue of its dead letters.
DLQ = "dlq."

_NAMESPACE = uuid.UUID("5b1f7a52-6f0e-5d0a-9d5f-6d696d617321")


@dataclass(frozen=True, slots=True)
class Queue:
    """A destination that gives each message to one consumer; the name carries no namespace."""

    name: str


@dataclass(frozen=True, slots=True)
class Topic:
    """A destination that gives each message to everyone who listens."""

    name: str


Destination = Queue | Topic


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as it goes over a broker.

    :param destination: the queue or topic it is addressed to.
    :param body: any JSON value.
    :param headers: text by header name.
    :param delay: seconds before it may be delivered.
    :param notes: further keys of the line, for people and ``jq``; never sent.
    :param arrived: when it came into this process, ``time.monotonic()``; None: not known.
    """

    destination: Destination
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)
    arrived: float | None = field(default=None, compare=False)

    @property
    def identity(self) -> str:
        """The message's id: its header, or one that follows from content and recipe id."""
        given = self.headers.get(ID_HEADER)
        return given if given else _identity_of_content(self.body)

    def child(self, parent: str, place: int) -> Message:
        """Return this message with the id of result number *place* of the message *parent*.

        The id follows from both, so that handling the same message twice gives the
        same ids. A message that already has an id keeps it.
        """
        if ID_HEADER in self.headers:
            return self
        return self.with_headers({ID_HEADER: derived_id(parent, place)})

    def with_headers(self, headers: Mapping[str, str]) -> Message:
        """Return this message with *headers* added."""
        return replace(self, headers={**self.headers, **headers})

    def with_notes(self, notes: Mapping[str, Any]) -> Message:
        """Return this message with *notes* added."""
        return replace(self, notes={**self.notes, **notes})


def rule_of(message: Message) -> Mapping[str, str]:
    """Return the header that says which rule a message is owed to, if it has one."""
    rule = message.headers.get(RULE_HEADER)
    return {RULE_HEADER: rule} if rule else {}


def new_id() -> str:
    """Return the identity for a message that follows from no other one."""
    return str(uuid.uuid4())


def derived_id(parent: str, place: int | str) -> str:
    """Return the id that follows from a parent's id and a place among its results."""
    # A foreign id may hold lone surrogates (valid in JSON, not in UTF-8).
    name = f"{parent}/{place}".encode("utf-8", "backslashreplace")
    return str(uuid.uuid5(_NAMESPACE, name.decode("ascii", "backslashreplace")))


def _identity_of_content(body: Any) -> str:
    recipe_id: Any = None
    if isinstance(body, dict) and isinstance(body.get("environment"), dict):
        recipe_id = body["environment"].get("ID")
    return derived_id(json.dumps([recipe_id, body], sort_keys=True), "content")


def dead_letter(message: Message, queue: str, reason: str, rejected_by: str, now: float) -> Message:
    """Return *message* as a dead letter of *queue*: same body and headers, and the reason.

    :param reason: made one line; it goes into a header.
    :param now: the time, seconds since the epoch.
    """
    headers = {
        **message.headers,
        ID_HEADER: message.identity,
        ERROR_HEADER: " ".join(reason.split()),
        REJECTED_BY_HEADER: rejected_by,
        REJECTED_AT_HEADER: datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
    }
    return Message(Queue(f"{DLQ}{queue}"), message.body, headers, notes=message.notes)
