"""What a log line says about a message, so that a collection can be followed through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlstbx_cli.services.message import Message

_DCID_NAMES = ("dcid", "ispyb_dcid", "DCID")
_NOTHING: Mapping[str, Any] = {}


def trace(message: Message) -> dict[str, object]:
    """Return ``recipe_id`` and ``dcid`` of a message, None where it does not say."""
    body = _mapping(message.body)
    return {"recipe_id": _recipe_id(body), "dcid": _dcid(body)}


def _recipe_id(body: Mapping[str, Any]) -> object:
    return _plain(
        _mapping(body.get("environment")).get("ID") or _mapping(body.get("parameters")).get("guid")
    )


def _dcid(body: Mapping[str, Any]) -> object:
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
    return value if isinstance(value, str | int) else None
