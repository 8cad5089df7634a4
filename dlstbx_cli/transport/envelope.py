"""The envelope: one line of JSON, one message (``man 7 dlstbx-message``).

Reading is strict, because a line that is misread is a message lost; what cannot be read
is saved as far as possible, for the dead letter. Lines are written in ASCII, so that even
lone surrogates (valid in JSON, not in UTF-8) survive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.json_text import MAX_DEPTH, dumps, loads
from dlstbx_cli.services.message import Destination, Message, Queue, Topic

#: Seconds; thirty years. More is a mistake.
MAX_DELAY = 1e9

__all__ = ["MAX_DEPTH", "dumps", "from_record", "load", "loads", "parse", "render", "salvage"]

_KINDS: dict[str, type[Destination]] = {"queue": Queue, "topic": Topic}
_KEYS = frozenset({*_KINDS, "message", "headers", "delay"})


def parse(line: bytes) -> Message:
    """Return the message that a line holds. Raises Rejected with a one-line reason."""
    return from_record(load(line))


def render(message: Message) -> bytes:
    """Return a message as one line, with its newline.

    Raises what ``json.dumps`` raises for a body that is not JSON.
    """
    kind = "queue" if isinstance(message.destination, Queue) else "topic"
    record: dict[str, Any] = {kind: message.destination.name, "message": message.body}
    if message.headers:
        record["headers"] = dict(message.headers)
    if message.delay:
        record["delay"] = message.delay
    if message.notes:
        record.update(_notes(message.notes))
    return dumps(record).encode("ascii") + b"\n"


def salvage(line: bytes, queue: str) -> Message:
    r"""Return what can be saved of an unparsable line, as a message to *queue*.

    The body is the line's ``message``, with the headers that are usable, if the line is
    a JSON object that has one; else the raw text, bytes that are not UTF-8 as ``\xff``.
    """
    try:
        record = load(line)
    except Rejected:
        record = None
    if not isinstance(record, dict) or "message" not in record:
        return Message(Queue(queue), line.rstrip(b"\r\n").decode("utf-8", "backslashreplace"))
    given = record.get("headers")
    pairs = given.items() if isinstance(given, dict) else ()
    headers = {name: text for name, value in pairs if name and (text := _as_text(value))}
    return Message(Queue(queue), record["message"], headers, notes=_notes(record))


def load(line: bytes) -> Any:
    """Return the JSON value of a line. Raises Rejected.

    The encoding is UTF-8 and nothing else (``json.loads`` of bytes guesses UTF-16 and
    UTF-32 from NULs).
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected(f"not JSON: not UTF-8 at byte {error.start + 1}") from None
    return loads(text)


def from_record(record: Any) -> Message:
    """Return the message that a line's JSON value describes. Raises Rejected."""
    if not isinstance(record, dict):
        raise Rejected("a line must be a JSON object")
    destination = _destination(record)
    if "message" not in record:
        raise Rejected("the key 'message' is missing")
    message = Message(destination, record["message"])
    if len(record) == 2:
        return message
    headers = _headers(record["headers"]) if "headers" in record else message.headers
    delay = _delay(record["delay"]) if "delay" in record else 0.0
    return Message(destination, record["message"], headers, delay, _notes(record))


def check_name(kind: str, name: object) -> str:
    """Return the name of a queue or topic. Raises Rejected if it cannot be one."""
    if not isinstance(name, str) or not name:
        raise Rejected(f"the {kind} must be a name, not {name!r:.60}")
    if not name.isprintable():
        raise Rejected(f"the {kind} must be a printable name, not {name!r:.60}")
    return name


def _destination(record: dict[str, Any]) -> Destination:
    given = [kind for kind in _KINDS if kind in record]
    if len(given) != 1:
        raise Rejected("both queue and topic" if given else "neither queue nor topic")
    (kind,) = given
    return _KINDS[kind](check_name(kind, record[kind]))


def _headers(given: Any) -> dict[str, str]:
    """Return headers as text: numbers and booleans as Python writes them, null left out.

    ``True`` and ``1`` are what Zocalo's own producers send as text.
    """
    if not isinstance(given, dict):
        raise Rejected("the headers must be an object")
    headers = {}
    for name, value in given.items():
        text = _as_text(value)
        if not name or (text is None and value is not None):
            raise Rejected(f"the header {name!r:.60} must be a text")
        if text is not None:
            headers[name] = text
    return headers


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else None


def _delay(given: Any) -> float:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not 0 <= given <= MAX_DELAY:
        raise Rejected(f"the delay must be seconds, not {given!r:.60}")
    return float(given)


def _notes(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _KEYS}
