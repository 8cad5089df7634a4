"""What plain code looks at: a site's handler, or a condition that says nothing of itself.

It is called with texts that take down what they are compared with. Each such text is then
tried in its turn, so that code which asks ``scenario.beamline == "p99"``, and then
``scenario.visit.startswith("cm")``, is met with a visit of that kind at P99.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any, SupportsIndex

from dlstbx_cli.mimas.objects import MimasDCClass, MimasDetectorClass, MimasEvent, MimasScenario
from dlstbx_cli.mimas.specification import BaseSpecification

#: The fields that hold texts; in what is found, those that hold another one are left out.
FIELDS = ("beamline", "visit", "preferred_processing", "runstatus")
_OTHER = "other"
#: Texts that are tried where code looks them up in a set or a dictionary: shorter ones only.
_LONGEST = 20
#: How many calls deep code is searched for these: from a handler to its own helpers.
_DEPTH = 4

Texts = Mapping[str, str]
Code = Callable[[MimasScenario], Any]


@dataclass(frozen=True, slots=True)
class Looks:
    """What was found of plain code.

    :param texts: values of fields that it tells apart, as they come together.
    :param complete: whether all of them were tried.
    """

    texts: Sequence[Texts]
    complete: bool = True

    def values(self, field: str) -> list[str]:
        """Return the values of a field, each once."""
        return list(dict.fromkeys(one[field] for one in self.texts if field in one))


def is_plain(specification: BaseSpecification) -> bool:
    """Tell whether a condition is plain code, which cannot say what it tells apart.

    That is one whose class tests in a way of its own, and tells nothing about it.
    """
    kind = type(specification)
    told = min(_place(kind, "tells_apart"), _place(kind, "values"))
    return _place(kind, "is_satisfied_by") < told


def explored(
    code: Code, source: Any, models: Sequence[MimasScenario], starts: Iterable[Texts], most: int
) -> Looks:
    """Return what code looks at.

    :param code: is called with a scenario; what it returns or raises does not matter.
    :param source: the function or the condition whose constants are tried, if need be.
    :param models: scenarios that all texts are tried in.
    :param starts: texts to begin with.
    :param most: texts, as they come together, that are tried at most.
    """
    seen: dict[tuple[tuple[str, str], ...], Texts] = {}
    waiting = deque[Texts]([{}, *starts])
    constants: tuple[str, ...] | None = None
    while waiting and len(seen) < most:
        texts = waiting.popleft()
        key = tuple(sorted(texts.items()))
        if key in seen:
            continue
        seen[key] = texts
        for field, text in _compared(code, models, texts):
            if text is None and constants is None:
                constants = tuple(_constants(source))
            for value in (constants or ()) if text is None else (text,):
                # One value of a field is followed at a time, but for one that is narrower.
                if field not in texts or texts[field] in value:
                    waiting.append({**texts, field: value})
    return Looks(list(seen.values()), not waiting)


def every_kind(models: Iterable[MimasScenario]) -> list[MimasScenario]:
    """Return models of each event, class and detector."""
    kinds = itertools.product(MimasEvent, MimasDCClass, (*MimasDetectorClass, None))
    return [
        replace(model, event=event, dcclass=dcclass, detectorclass=detector)
        for (event, dcclass, detector), model in itertools.product(kinds, models)
    ]


def _compared(
    code: Code, models: Sequence[MimasScenario], texts: Texts
) -> dict[tuple[str, str | None], None]:
    """Return what each field was compared with; None: it was looked up by its hash."""
    met: dict[tuple[str, str | None], None] = {}

    def probe(field: str) -> _Probe:
        return _Probe(texts.get(field, _OTHER), lambda text: met.setdefault((field, text)))

    probes: dict[str, Any] = {field: probe(field) for field in FIELDS}
    for model in models:
        with suppress(Exception):  # code that fails is told of where the rules are asked
            code(replace(model, **probes))
    return {
        (field, text): None
        for field, text in met
        if text is None or text not in ("", texts.get(field))
    }


class _Probe(str):
    """A text that tells what it is compared with."""

    _tell: Callable[[str | None], Any]

    def __new__(cls, text: str, tell: Callable[[str | None], Any]) -> _Probe:
        probe = super().__new__(cls, text)
        probe._tell = tell
        return probe

    def __eq__(self, other: object) -> bool:
        self._told(other)
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        self._told(other)
        return str.__ne__(self, other)

    def __hash__(self) -> int:
        self._tell(None)
        return str.__hash__(self)

    def __contains__(self, key: object) -> bool:
        self._told(key)
        return isinstance(key, str) and str.__contains__(self, key)

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        return _Probe(str.__getitem__(self, key), self._tell)

    def startswith(self, prefix: str | tuple[str, ...], *place: Any) -> bool:
        self._told(prefix)
        return str.startswith(self, prefix, *place)

    def endswith(self, suffix: str | tuple[str, ...], *place: Any) -> bool:
        self._told(suffix)
        return str.endswith(self, suffix, *place)

    def lower(self) -> str:
        return _Probe(str.lower(self), self._tell)

    def upper(self) -> str:
        return _Probe(str.upper(self), self._tell)

    def strip(self, chars: str | None = None) -> str:
        return _Probe(str.strip(self, chars), self._tell)

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return [_Probe(part, self._tell) for part in str.split(self, sep, maxsplit)]

    def _told(self, other: object) -> None:
        for text in other if isinstance(other, tuple) else (other,):
            if isinstance(text, str):
                self._tell(str.__str__(text))


def _place(kind: type, name: str) -> int:
    """Return how far from a class an attribute of it is defined, by the order of its bases."""
    for place, base in enumerate(kind.__mro__):
        if name in base.__dict__:
            # What BaseSpecification says of all conditions is not about this one.
            return place if base is not BaseSpecification else len(kind.__mro__)
    return len(kind.__mro__)


def _constants(source: Any) -> Iterator[str]:
    """Yield the short texts that stand in code, or that a condition was made with."""
    found: dict[str, None] = {}
    if isinstance(source, BaseSpecification):
        _take(vars(source) if hasattr(source, "__dict__") else {}, found)
        source = type(source).is_satisfied_by
    _take_code(source, _DEPTH, set(), found)
    yield from found


def _take(value: Any, found: dict[str, None]) -> None:
    if isinstance(value, str):
        if value and len(value) <= _LONGEST and not any(sign.isspace() for sign in value):
            found[value] = None
    elif isinstance(value, tuple | list | set | frozenset):
        for item in sorted(value, key=repr):
            _take(item, found)
    elif isinstance(value, Mapping):
        _take([*value], found)


def _take_code(source: Any, depth: int, seen: set[int], found: dict[str, None]) -> None:
    if depth < 0 or id(source) in seen:
        return
    seen.add(id(source))
    for function in _functions(source):
        code = getattr(function, "__code__", None)
        if not isinstance(code, CodeType):
            continue
        names, constants = _of_code(code)
        _take(constants, found)
        module = getattr(function, "__globals__", {})
        cells = [_content(cell) for cell in getattr(function, "__closure__", None) or ()]
        for used in (*(module.get(name) for name in names), *cells):
            if not callable(used):
                _take(used, found)
            elif getattr(used, "__module__", None) == module.get("__name__"):
                # Only a site's own code is followed: not ours, and no library's.
                _take_code(used, depth - 1, seen, found)


def _of_code(code: CodeType) -> tuple[list[str], list[Any]]:
    names, constants = list(code.co_names), list[Any]()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _of_code(constant)
            names += inner[0]
            constants += inner[1]
        else:
            constants.append(constant)
    return names, constants


def _functions(source: Any) -> Iterator[Any]:
    """Yield a function and what decorators have wrapped; of other callables their method."""
    while source is not None:
        source = getattr(source, "func", source)  # a functools.partial
        yield source if hasattr(source, "__code__") else type(source).__call__
        source = getattr(source, "__wrapped__", None)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None
