"""Mimas objects as they go over the wire."""

from __future__ import annotations

import dataclasses
from typing import Any

from dlstbx_cli.mimas.objects import (
    MimasISPyBJobInvocation,
    MimasISPyBParameter,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBTriggerVariable,
    MimasISPyBUnitCell,
    MimasRecipeInvocation,
)

_AS_THEY_ARE = (bool, int, float, str, type(None))
_AS_DICT = (
    MimasISPyBJobInvocation,
    MimasISPyBSweep,
    MimasISPyBParameter,
    MimasISPyBTriggerVariable,
)


def zocalo_message(obj: Any) -> Any:
    """Return *obj* in the form in which it is sent.

    A recipe invocation becomes a request to the dispatcher; a job invocation, a sweep, a
    parameter and a trigger variable a dict of all their fields; a unit cell a tuple of six;
    a space group its short symbol. Lists, tuples, texts, numbers, booleans and None stay
    what they are. Raises ValueError for anything else.
    """
    if isinstance(obj, _AS_THEY_ARE):
        return obj
    if isinstance(obj, _AS_DICT):
        return {key: zocalo_message(value) for key, value in _fields(obj)}
    if isinstance(obj, tuple):
        return tuple([zocalo_message(item) for item in obj])
    if isinstance(obj, list):
        return [zocalo_message(item) for item in obj]
    if isinstance(obj, MimasRecipeInvocation):
        return {"recipes": [obj.recipe], "parameters": {"ispyb_dcid": obj.DCID}}
    if isinstance(obj, MimasISPyBUnitCell):
        return tuple([value for _, value in _fields(obj)])
    if isinstance(obj, MimasISPyBSpaceGroup):
        return obj.string
    raise ValueError(f"a {type(obj).__name__} has no form to be sent in")


def _fields(obj: Any) -> list[tuple[str, Any]]:
    return [(field.name, getattr(obj, field.name)) for field in dataclasses.fields(obj)]
