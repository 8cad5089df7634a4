"""What is known of the message in hand, so that a collection can be followed through the logs.

The driver says which message it has in hand. Whatever is logged meanwhile, by whomever, is
about that message: no call has to say so, and none can forget it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dlstbx_cli.services.message import DCID_HEADER, ID_HEADER, RECIPE_HEADER, RULE_HEADER, Message

#: What a log record can say of a message, by name.
FIELDS = ("dcid", "recipe", "recipe_id", "guid", "rule", "id")

_DCID_NAMES = ("dcid", "ispyb_dcid", "DCID")
#: Characters of a value: what comes from a queue may be of any length.
_MOST = 200
_NOTHING: Mapping[str, Any] = {}


class _InHand:
    """A message in hand, and what has been found out about it."""

    __slots__ = ("found", "message", "told")

    def __init__(self, message: Message | None, told: Mapping[str, object]) -> None:
        self.message = message
        self.told = told
        self.found: dict[str, object] = {}

    def known(self) -> dict[str, object]:
        """Return all that is known."""
        return {**(trace(self.message) if self.message else {}), **self.told, **self.found}


_in_hand: ContextVar[_InHand | None] = ContextVar("in_hand", default=None)
#: Those of all threads, the latest last.
_everywhere: list[_InHand] = []


@contextmanager
def about(message: Message | None, **told: object) -> Iterator[None]:
    """Make all that is logged meanwhile be about a message.

    :param told: what is known besides: where it comes from; of no message, the DCID.
    """
    one = _InHand(message, told)
    before = _in_hand.set(one)
    _everywhere.append(one)
    try:
        yield
    finally:
        _everywhere.remove(one)
        _in_hand.reset(before)


def found(**fields: object) -> None:
    """Add to what is known of the message in hand, until it is out of hand."""
    if (one := _in_hand.get()) is not None:
        one.found.update(fields)


def in_hand() -> dict[str, object]:
    """Return what is known of the message in hand: FIELDS, and what was told of it."""
    one = _in_hand.get()
    return one.known() if one is not None else {}


def in_any_hand() -> dict[str, object]:
    """Return the same of the message that any thread has in hand, the latest."""
    latest = _everywhere[-1:]
    return latest[0].known() if latest else {}


def trace(message: Message) -> dict[str, object]:
    """Return what a message says of itself, of FIELDS; what it does not say is left out."""
    body = _mapping(message.body)
    recipe_id = _recipe_id(body)
    said = {
        "dcid": _number(_dcid(body) or _plain(message.headers.get(DCID_HEADER))),
        "recipe": _recipe(body) or _plain(message.headers.get(RECIPE_HEADER)),
        "recipe_id": recipe_id,
        # The same, as requests and the records of mimas-plan call it.
        "guid": recipe_id,
        "rule": _plain(message.notes.get("rule") or message.headers.get(RULE_HEADER)),
        "id": _plain(message.headers.get(ID_HEADER)),
    }
    return {name: value for name, value in said.items() if value is not None}


def _recipe_id(body: Mapping[str, Any]) -> str | int | None:
    return _plain(
        _mapping(body.get("environment")).get("ID") or _mapping(body.get("parameters")).get("guid")
    )


def _recipe(body: Mapping[str, Any]) -> str | int | None:
    """Return the recipes that a request names, or the one of a job that it asks for."""
    inner = _mapping(body.get("payload", body.get("content", body)))
    named = inner.get("recipes", inner.get("recipe"))
    if isinstance(named, list):
        return _plain(", ".join(map(str, named)) or None)
    return _plain(named)


def _dcid(body: Mapping[str, Any]) -> str | int | None:
    for place in _places(body):
        for name in _DCID_NAMES:
            if (value := _plain(place.get(name))) is not None:
                return value
    return None


def _places(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return where a DCID may stand: plain, in parameters, in the step, in the payload."""
    payload = _mapping(body.get("payload"))
    step = _mapping(_mapping(body.get("recipe")).get(str(body.get("recipe-pointer"))))
    parameters = [_mapping(part.get("parameters")) for part in (body, payload, step)]
    return [body, payload, *parameters, _mapping(body.get("content"))]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOTHING


def _plain(value: Any) -> str | int | None:
    if isinstance(value, str):
        return value[:_MOST]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: str | int | None) -> str | int | None:
    """Return a DCID as a number, also one that a recipe's parameter has as text."""
    numeric = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    return int(value) if value is not None and numeric else value
