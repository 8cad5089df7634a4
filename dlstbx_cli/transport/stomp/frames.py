"""Messages as STOMP frames and back: bodies are JSON in ASCII, headers are text.

Headers that mean something to a broker or to STOMP itself never come from a message: they
travel, like texts that a STOMP header cannot hold, inside headers of our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Destination, Message, Queue
from dlstbx_cli.transport.envelope import check_name, dumps, loads

#: Carries, as JSON, the headers of a message that cannot travel as headers. What is too
#: long for one goes on in ``dlstbx-headers-1`` and so on.
ODD_HEADER = "dlstbx-headers"
_ODD_PART = re.compile(rf"{ODD_HEADER}(?:-[1-9][0-9]*)?")

#: Headers of a MESSAGE frame that are the broker's, not the message's; and those of a SEND
#: frame that would make RabbitMQ declare another queue, or name another user.
_TRANSPORT = frozenset(
    {
        *("ack", "app-id", "auto-delete", "browser", "cluster-id", "content-encoding"),
        *("content-length", "content-type", "correlation-id", "delivery-mode", "destination"),
        *("durable", "exclusive", "expiration", "expires", "id", "message-id"),
        *("original-destination", "persistent", "priority", "receipt", "receipt-id"),
        *("redelivered", "reply-to", "scheduledjobid", "selector", "subscription", "timestamp"),
        *("transaction", "transformation", "type", "user-id"),
    }
)
_TRANSPORT_PREFIXES = ("x-", "activemq", "amq", "jms")
#: What brokers give no meaning to in a name. ActiveMQ has lists (,), wild cards (* >) and
#: options (?) there, RabbitMQ parts (/) and escapes (%).
_NAME = re.compile(r"[^/,*>?%\"'\\\s]+")
#: What a STOMP 1.2 header can hold. Spaces around are lost; a NUL ends the frame; the
#: escapes of 1.2 are for values alone in stomp.py.
_PLAIN_NAME = re.compile(r"[\x21-\x39\x3b-\x5b\x5d-\x7e]{1,200}")
_PLAIN_VALUE = re.compile(r"(?=\S)[^\0\r\ud800-\udfff]{1,8000}(?<=\S)")
#: ActiveMQ closes the connection over a header of more than 10 kB, or over 1000 of them.
_LONGEST, _MOST = 8000, 500
#: Characters of JSON for each header: as many bytes if none has to be escaped, else twice.
_PART = _LONGEST // 2
#: Bytes of a name without the namespace: with it, AMQP allows 255.
_LONGEST_NAME = 200


def headers_of(message: Message) -> dict[str, str]:
    """Return the headers of the SEND frame of a message, but the destination."""
    sent = {"persistent": "true"}
    odd = {}
    for name, value in message.headers.items():
        if len(sent) < _MOST and _travels(name, value):
            sent[name] = value
        else:
            odd[name] = value
    if odd:
        # A space at the end of a part would be lost: there are none.
        text = json.dumps(odd, separators=(",", ":")).replace(" ", "\\u0020")
        for number, start in enumerate(range(0, len(text), _PART)):
            sent[_odd_name(number)] = text[start : start + _PART]
    return sent


def body_of(message: Message) -> str:
    """Return the body of the SEND frame. Raises ValueError if it is not JSON."""
    return dumps(message.body)


def check(destination: Destination) -> str:
    """Return the name of a destination. Raises Rejected if a broker would misread it."""
    kind = "queue" if isinstance(destination, Queue) else "topic"
    name = check_name(kind, destination.name)
    if not _NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME:
        raise Rejected(f"the {kind} {name!r:.60} cannot be a name on a STOMP broker")
    return name


def message_of(frame: Any, destination: Destination) -> tuple[Message, str | None]:
    """Return the message of a MESSAGE frame, and why it could not be read, if so."""
    headers = {
        name: value for name, value in frame.headers.items() if not _is_transport(name.lower())
    }
    parts = {name: headers.pop(name) for name in list(headers) if _ODD_PART.fullmatch(name)}
    headers |= _odd(parts)
    try:
        text = _text(frame.body)
        arrived = getattr(frame, "arrived", None)
        return Message(destination, loads(text), headers, arrived=arrived), None
    except Rejected as error:
        shown = bytes(frame.body or b"").decode("utf-8", "backslashreplace")
        return Message(destination, shown, headers), str(error)


def is_redelivered(headers: Mapping[str, str]) -> bool:
    """Tell whether a consumer has had this message before (RabbitMQ says false as well)."""
    return headers.get("redelivered", "").lower() == "true"


def _text(body: Any) -> str:
    if isinstance(body, str):
        return body
    try:
        return bytes(body or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected(f"not JSON: not UTF-8 at byte {error.start + 1}") from None


def _travels(name: str, value: str) -> bool:
    return bool(
        _PLAIN_NAME.fullmatch(name)
        and _PLAIN_VALUE.fullmatch(value)
        and len(value.encode()) + sum(map(value.count, ":\\\n")) <= _LONGEST
        and not _is_transport(name.lower())
        and not _ODD_PART.fullmatch(name)
    )


def _is_transport(name: str) -> bool:
    return name in _TRANSPORT or name.startswith(_TRANSPORT_PREFIXES)


def _odd_name(number: int) -> str:
    return f"{ODD_HEADER}-{number}" if number else ODD_HEADER


def _odd(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that travelled as JSON; what somebody else wrote there is nothing."""
    text = "".join(parts.get(_odd_name(number), "") for number in range(len(parts)))
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}
