"""Messages as STOMP frames and back: bodies are JSON in ASCII, headers are text.

Headers that mean something to a broker or to STOMP itself never come from a message: they
travel, like texts that a STOMP header cannot hold, inside one header of our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Destination, Message, Queue
from dlstbx_cli.transport.envelope import check_name, dumps, loads

#: Carries, as JSON, the headers of a message that cannot travel as headers.
ODD_HEADER = "dlstbx-headers"

#: Headers of a MESSAGE frame that are the broker's, not the message's.
_TRANSPORT = frozenset(
    {
        *("ack", "browser", "content-length", "content-type", "correlation-id", "delivery-mode"),
        *("destination", "expiration", "expires", "id", "message-id", "original-destination"),
        *("persistent", "priority", "receipt", "receipt-id", "redelivered", "reply-to"),
        *("scheduledjobid", "selector", "subscription", "timestamp", "transaction"),
        *("transformation", "type"),
    }
)
_TRANSPORT_PREFIXES = ("x-", "amq", "jms")
#: What brokers give no meaning to in a name. ActiveMQ has lists (,), wild cards (* >) and
#: options (?) there, RabbitMQ parts (/) and escapes (%).
_NAME = re.compile(r"[^/,*>?%\"'\\\s]+")
#: What a STOMP 1.2 header can hold. Spaces around are lost; a NUL ends the frame; the
#: escapes of 1.2 are for values alone in stomp.py.
_PLAIN_NAME = re.compile(r"[\x21-\x39\x3b-\x5b\x5d-\x7e]+")
_PLAIN_VALUE = re.compile(r"(?=\S)[^\0\r\ud800-\udfff]{1,8000}(?<=\S)")


def headers_of(message: Message) -> dict[str, str]:
    """Return the headers of the SEND frame of a message, but the destination."""
    sent = {"persistent": "true"}
    odd = {}
    for name, value in message.headers.items():
        if _travels(name, value):
            sent[name] = value
        else:
            odd[name] = value
    if odd:
        sent[ODD_HEADER] = dumps(odd)
    return sent


def body_of(message: Message) -> str:
    """Return the body of the SEND frame. Raises ValueError if it is not JSON."""
    return dumps(message.body)


def check(destination: Destination) -> str:
    """Return the name of a destination. Raises Rejected if a broker would misread it."""
    kind = "queue" if isinstance(destination, Queue) else "topic"
    name = check_name(kind, destination.name)
    if not _NAME.fullmatch(name) or len(name) > 200:
        raise Rejected(f"the {kind} {name!r:.60} cannot be a name on a STOMP broker")
    return name


def message_of(frame: Any, destination: Destination) -> tuple[Message, str | None]:
    """Return the message of a MESSAGE frame, and why it could not be read, if so."""
    headers = {
        name: value for name, value in frame.headers.items() if not _is_transport(name.lower())
    }
    headers |= _odd(headers.pop(ODD_HEADER, None))
    try:
        text = _text(frame.body)
        return Message(destination, loads(text), headers), None
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
        and not _is_transport(name.lower())
        and name != ODD_HEADER
    )


def _is_transport(name: str) -> bool:
    return name in _TRANSPORT or name.startswith(_TRANSPORT_PREFIXES)


def _odd(text: str | None) -> dict[str, str]:
    """Return the headers that travelled as JSON; what somebody else wrote there is nothing."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}
