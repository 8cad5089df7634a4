"""What can be learned of a condition or a handler that is plain code: what its code names.

A site's handler may be any function, and its own conditions may look at anything. The
fields of a scenario that such code names, and the texts that stand in it, are what it is
tried with: one that asks ``scenario.beamline == "p99"`` is tried with ``p99``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from dlstbx_cli.mimas.specification import BaseSpecification

#: Longer texts, or with a blank in them, are no beamlines, visits or pipelines.
_LONGEST = 20
#: How many calls deep code is followed: from a handler to its own helpers.
_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Named:
    """What code names.

    :param names: of attributes and variables; fields of the scenario are among them.
    :param texts: short ones, in the order in which they stand there.
    """

    names: frozenset[str]
    texts: tuple[str, ...]


def is_plain(specification: BaseSpecification) -> bool:
    """Tell whether a condition is plain code, which cannot say what it tells apart.

    That is one whose class tests in a way of its own, and tells nothing about it.
    """
    kind = type(specification)
    places = {name: _place(kind, name) for name in ("is_satisfied_by", "tells_apart", "values")}
    told = min(places["tells_apart"], places["values"])
    return places["is_satisfied_by"] < told


def of_condition(specification: BaseSpecification) -> Named:
    """Return what the code of a condition names, and the texts that it was made with."""
    texts = _Texts()
    texts.take_code(type(specification).is_satisfied_by, _DEPTH)
    for value in getattr(specification, "__dict__", {}).values():
        texts.take(value)
    return texts.named()


def of_handler(handler: Callable[..., Any]) -> Named:
    """Return what the code of a handler names, that of its own helpers included."""
    texts = _Texts()
    texts.take_code(handler, _DEPTH)
    return texts.named()


def _place(kind: type, name: str) -> int:
    """Return how far from a class an attribute of it is defined, by the order of its bases."""
    for place, base in enumerate(kind.__mro__):
        if name in base.__dict__:
            # What BaseSpecification says of all conditions is not about this one.
            return place if base is not BaseSpecification else len(kind.__mro__)
    return len(kind.__mro__)


class _Texts:
    """The texts and names of code, each once."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._texts: dict[str, None] = {}
        self._seen: set[int] = set()

    def named(self) -> Named:
        return Named(frozenset(self._names), tuple(self._texts))

    def take(self, value: Any) -> None:
        if isinstance(value, str):
            if value and len(value) <= _LONGEST and not any(sign.isspace() for sign in value):
                self._texts[value] = None
        elif isinstance(value, tuple | list | set | frozenset):
            for item in sorted(value, key=repr):
                self.take(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.take(key)
                self.take(item)

    def take_code(self, function: Any, depth: int) -> None:
        if depth < 0 or id(function) in self._seen:
            return
        self._seen.add(id(function))
        for inner in _functions(function):
            code = getattr(inner, "__code__", None)
            if code is None:
                continue
            self._take_constants(code)
            module = getattr(inner, "__globals__", {})
            cells = [_content(cell) for cell in getattr(inner, "__closure__", None) or ()]
            for used in (*(module.get(name) for name in _all_names(code)), *cells):
                if callable(used):
                    # Only a site's own code is followed: not ours, and no library's.
                    if getattr(used, "__module__", None) == module.get("__name__"):
                        self.take_code(used, depth - 1)
                else:
                    self.take(used)

    def _take_constants(self, code: CodeType) -> None:
        self._names.update(code.co_names)
        # The first constant of a function is its docstring, or None.
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._take_constants(constant)
            else:
                self.take(constant)


def _functions(function: Any) -> Iterator[Any]:
    """Yield a function and what decorators have wrapped; of other callables their methods."""
    while function is not None:
        function = getattr(function, "func", function)  # a functools.partial
        if isinstance(function, type):
            yield from (one for one in vars(function).values() if hasattr(one, "__code__"))
        elif hasattr(function, "__code__"):
            yield function
        else:
            yield type(function).__call__
        function = getattr(function, "__wrapped__", None)


def _all_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_names(constant)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None
