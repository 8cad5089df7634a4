"""Whether a Mimas object makes sense: checked once, before anything is done with it."""

from __future__ import annotations

import functools
import math
from typing import Any

from dlstbx_cli.mimas import cloud
from dlstbx_cli.mimas.objects import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBAnomalousScatterer,
    MimasISPyBJobInvocation,
    MimasISPyBParameter,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBTriggerVariable,
    MimasISPyBUnitCell,
    MimasRecipeInvocation,
    MimasScenario,
)

_OPTIONAL_TEXTS = ("beamline", "visit", "runstatus", "preferred_processing")
_OPTIONAL_OBJECTS: dict[str, type] = {
    "spacegroup": MimasISPyBSpaceGroup,
    "unitcell": MimasISPyBUnitCell,
    "detectorclass": MimasDetectorClass,
    "anomalous_scatterer": MimasISPyBAnomalousScatterer,
}


def validate(obj: Any, expectedtype: type | tuple[type, ...] | None = None) -> None:
    """Return if *obj* is a valid Mimas object, and of the type expected if one is given.

    Raises ValueError, naming the object and the field, for anything else.
    """
    if expectedtype is not None and not isinstance(obj, expectedtype):
        raise ValueError(f"{_shown(obj)} is not {_type_names(expectedtype)}")
    _check(obj)


@functools.singledispatch
def _check(obj: Any) -> None:
    raise ValueError(f"{_shown(obj)} is not a Mimas object")


@_check.register(MimasEvent)
@_check.register(MimasDCClass)
@_check.register(MimasDetectorClass)
def _(obj: Any) -> None:
    """Accept any member: an enumeration has no others."""


@_check.register
def _(obj: MimasScenario) -> None:
    _require_int(obj, "DCID")
    _nested(obj, "dcclass", obj.dcclass, MimasDCClass)
    _nested(obj, "event", obj.event, MimasEvent)
    for field in _OPTIONAL_TEXTS:
        _require(obj, field, _is_text_or_none, "text or None")
    _require_all(obj, "getsweepslistfromsamedcg", MimasISPyBSweep)
    for field, kind in _OPTIONAL_OBJECTS.items():
        value = getattr(obj, field)
        if value is not None:
            _nested(obj, field, value, kind)
    _require(obj, "cloudbursting", _are_offers, "None or a list of cloud offers")


@_check.register
def _(obj: MimasISPyBSweep) -> None:
    for field in ("DCID", "start", "end"):
        _require_int(obj, field)
    _require(obj, "DCID", lambda dcid: dcid > 0, "positive")
    _require(obj, "start", lambda start: start >= 0, "0 or more")
    _require(obj, "end", lambda end: end >= obj.start, "at least the start")


@_check.register
def _(obj: MimasISPyBUnitCell) -> None:
    for field in ("a", "b", "c"):
        # Compared with infinity, not tested by isfinite: that overflows on huge integers.
        _require(obj, field, lambda v: _is_number(v) and 0 < v < math.inf, "a length above 0")
    for field in ("alpha", "beta", "gamma"):
        _require(obj, field, lambda v: _is_number(v) and 0 < v < 180, "between 0 and 180")


@_check.register
def _(obj: MimasISPyBSpaceGroup) -> None:
    _require(obj, "symbol", _is_text, "text")
    _require(obj, "symbol", _is_space_group, "a space group that gemmi knows")


@_check.register
def _(obj: MimasISPyBAnomalousScatterer) -> None:
    _require(obj, "symbol", _is_element, "the one or two letters of an element")


@_check.register
def _(obj: MimasRecipeInvocation) -> None:
    _require_int(obj, "DCID")
    _require(obj, "recipe", _is_filled_text, "a text that is not empty")


@_check.register
def _(obj: MimasISPyBJobInvocation) -> None:
    _require_int(obj, "DCID")
    _require(obj, "autostart", lambda value: value is True or value is False, "True or False")
    _require(obj, "recipe", _is_filled_text, "a text that is not empty")
    for field in ("source", "comment", "displayname"):
        _require(obj, field, _is_text, "text")
    _require_all(obj, "parameters", MimasISPyBParameter)
    _require_all(obj, "sweeps", MimasISPyBSweep)
    _require_all(obj, "triggervariables", MimasISPyBTriggerVariable)


@_check.register(MimasISPyBParameter)
@_check.register(MimasISPyBTriggerVariable)
def _(obj: MimasISPyBParameter | MimasISPyBTriggerVariable) -> None:
    _require(obj, "key", _is_filled_text, "a text that is not empty")
    _require(obj, "value", _is_text, "text")


def _require(obj: Any, field: str, holds: Any, what: str) -> None:
    value = getattr(obj, field)
    if not holds(value):
        raise ValueError(f"{type(obj).__name__}: {field} must be {what}, not {_shown(value)}")


def _require_int(obj: Any, field: str) -> None:
    # bool is a subclass of int, and True is no DCID.
    _require(obj, field, lambda value: type(value) is int, "an int")


def _require_all(obj: Any, field: str, kind: type) -> None:
    _require(obj, field, lambda value: isinstance(value, list | tuple), "a list or a tuple")
    for place, item in enumerate(getattr(obj, field)):
        _nested(obj, f"{field}[{place}]", item, kind)


def _nested(obj: Any, field: str, value: Any, kind: type) -> None:
    try:
        validate(value, expectedtype=kind)
    except ValueError as error:
        raise ValueError(f"{type(obj).__name__}: {field}: {error}") from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_filled_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_space_group(symbol: str) -> bool:
    try:
        return bool(MimasISPyBSpaceGroup(symbol).string)
    except (ValueError, TypeError):  # TypeError: text that is no UTF-8 (lone surrogates)
        return False


def _is_element(symbol: Any) -> bool:
    # Gemmi looks at the first two characters only ("nope" is nobelium there).
    if not (isinstance(symbol, str) and symbol.isascii() and symbol.isalpha() and len(symbol) < 3):
        return False
    import gemmi

    return gemmi.Element(symbol).atomic_number != 0


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _are_offers(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list | tuple) and all(
        _are_texts(cloud.offer_field(offer, field)) for offer in value for field in cloud.FIELDS
    )


def _type_names(expected: type | tuple[type, ...]) -> str:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    return "a " + " or a ".join(kind.__name__ for kind in kinds)


def _shown(value: Any) -> str:
    """Return a value as it is shown in an error: short, and whatever its repr may do."""
    try:
        text = repr(value)
    except Exception:  # somebody else's repr, or an int of 5000 digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:117]}..."
