"""Filling the parameters of a request into a recipe.

Source: ``workflows.recipe.Recipe.apply_parameters``, whose results a test holds this
module to. It is written anew because recipes arrive in messages too: there, the
standard's ``str.format`` walks attributes (``{x.__class__}``), and ends with a traceback
where braces are not a field. Here both are refused with a reason.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlstbx_cli.services.errors import Rejected

_FIELD = re.compile(r"(?P<name>[^.\[\]{}]+)(?P<keys>(?:\[[^\[\]{}]+\])*)")
_KEY = re.compile(r"\[([^\[\]]+)\]")
_OBJECT = re.compile(r"\{\$REPLACE:(?P<field>[^{}]*)\}")
#: A width or precision of five digits is a slip of the pen, or an attack on our memory.
_HUGE = re.compile(r"\d{5,}")


def fill(recipe: Any, parameters: Mapping[str, Any]) -> Any:
    """Return the recipe with every ``{name}`` and ``{$REPLACE:name}`` replaced.

    ``{name}`` and ``{name[key]}`` are Python format fields; a name that is not among the
    parameters stays as it is. A text that is exactly ``{$REPLACE:name}`` or
    ``{$REPLACE:name[key]}`` becomes the object itself, None if there is none.

    Raises Rejected for braces that are not a field, attributes, and keys that are not there.
    """
    formatter = _Formatter(parameters)
    return _fill(recipe, formatter)


def asked(recipe: Any) -> frozenset[str]:
    """Return the names of the parameters that a recipe asks for. Raises Rejected as ``fill``."""
    parameters = _Asked()
    fill(recipe, parameters)
    return frozenset(parameters.names)


def _fill(item: Any, formatter: _Formatter) -> Any:
    if isinstance(item, str):
        return formatter.text(item) if "{" in item or "}" in item else item
    if isinstance(item, dict):
        return {_fill(key, formatter): _fill(value, formatter) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_fill(value, formatter) for value in item]
    return item


class _Asked(Mapping[str, Any]):
    """Parameters that note what is asked for: each is there, and has every key and form."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return _Anything()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class _Anything:
    def __getitem__(self, key: str | int) -> Any:
        return self

    def __format__(self, form: str) -> str:
        return ""


class _Unknown:
    """Stands for a name that is not among the parameters: printed as it was written."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __repr__(self) -> str:
        return "{" + self.field + "}"


class _Formatter(string.Formatter):
    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters

    def text(self, item: str) -> Any:
        """Return a text with its fields filled in, or the object that it stands for."""
        if item.startswith("{$REPLACE"):
            match = _OBJECT.fullmatch(item)
            if not match:
                raise Rejected(f"recipe: {item!r:.80} must be exactly {{$REPLACE:name}}")
            return self._object(match["field"])
        try:
            return self.vformat(item, (), {})
        except (ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
            raise Rejected(f"recipe: cannot fill in {item!r:.80}: {error}") from None

    def _object(self, field: str) -> Any:
        name, keys = _split(field)
        try:
            return _walk(self.parameters[name], keys)
        except (LookupError, TypeError):
            return None

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, str]:
        """Look a field up among the parameters. Raises Rejected, LookupError, TypeError."""
        del args, kwargs
        name, keys = _split(field_name)
        if name not in self.parameters:
            return _Unknown(field_name), name
        return _walk(self.parameters[name], keys), name

    def format_field(self, value: Any, format_spec: str) -> str:
        """Format one value. Raises ValueError or TypeError for a specification unfit for it."""
        if _HUGE.search(format_spec):
            raise ValueError(f"{format_spec!r:.20} is too wide")
        return format(value, format_spec)


def _split(field: str) -> tuple[str, list[str]]:
    match = _FIELD.fullmatch(field)
    if not match or field.isdigit():
        raise Rejected(f"recipe: {{{field:.80}}} is not a field: {{name}} or {{name[key]}}")
    return match["name"], _KEY.findall(match["keys"])


def _walk(value: Any, keys: list[str]) -> Any:
    for key in keys:
        index: str | int = int(key) if key.isascii() and key.isdigit() else key
        # JSON knows only text as a key; look-up parameters may have numbers.
        value = value[key] if isinstance(value, dict) and key in value else value[index]
    return value
