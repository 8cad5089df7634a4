"""Conditions on scenarios: an algebra of specifications.

A specification holds for a scenario or not. ``a & b``, ``a | b`` and ``~a`` combine any of
them, ``str()`` puts a condition in words, and ``label`` in the names its parts were given.
``tells_apart`` says which values of a scenario matter to it. A site writes its own by
deriving from BaseSpecification with nothing but ``is_satisfied_by``.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dlstbx_cli.mimas.objects import (
    Invocation,
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasScenario,
)


class BaseSpecification(ABC):
    """A condition on a scenario."""

    @abstractmethod
    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the condition holds for a scenario."""

    def __and__(self, other: BaseSpecification) -> BaseSpecification:
        return AndSpecification((self, other))

    def __or__(self, other: BaseSpecification) -> BaseSpecification:
        return OrSpecification((self, other))

    def __invert__(self) -> BaseSpecification:
        return NotSpecification((self,))

    def __str__(self) -> str:
        plain = type(self).__repr__ is object.__repr__
        return type(self).__name__ if plain else repr(self)

    @property
    def label(self) -> str:
        """The condition in the names that its parts were given: ``is_mx & ~is_serial``."""
        return str(self)

    @property
    def parts(self) -> tuple[BaseSpecification, ...]:
        """The conditions that this one is made of, if any."""
        return ()

    def saw(self, candidate: MimasScenario) -> str:  # noqa: ARG002  a default that knows nothing
        """Return in a few words what the condition looked at; empty if it cannot tell."""
        return ""

    def tells_apart(self, beamline: str | None) -> Iterator[tuple[str, Any]]:
        """Yield each field of a scenario and a value that is not like any other to it.

        :param beamline: of the scenarios that are meant.

        For all values that are not yielded the condition comes out the same. One that is
        made of others yields theirs, any other that says nothing here nothing.
        """
        for part in self.parts:
            yield from part.tells_apart(beamline)


class FieldSpecification(BaseSpecification):
    """A condition on one field of the scenario.

    What derives from it says by ``values`` which values of the field matter.
    """

    field: ClassVar[str]

    @property
    def values(self) -> Iterable[Any]:
        """The values of the field that are not like any other."""
        return ()

    def tells_apart(self, beamline: str | None) -> Iterator[tuple[str, Any]]:  # noqa: ARG002
        """Yield the field with each of the values."""
        for value in self.values:
            yield self.field, value

    def saw(self, candidate: MimasScenario) -> str:
        """Return the field and what it holds."""
        value = getattr(candidate, self.field)
        return f"{self.field} is {getattr(value, 'name', value)}"


@dataclass(frozen=True)
class BeamlineSpecification(FieldSpecification):
    """The scenario is of this beamline, or of one of several."""

    beamline: str | None = None
    beamlines: Iterable[str] | None = None
    field: ClassVar[str] = "beamline"

    def __post_init__(self) -> None:
        object.__setattr__(self, "beamlines", _texts(self.beamlines))

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the scenario's beamline is one of those named."""
        beamline = candidate.beamline
        return beamline is not None and (beamline == self.beamline or beamline in self._several)

    @property
    def values(self) -> tuple[str, ...]:
        """The beamlines named."""
        return tuple(sorted({*self._one, *self._several}))

    def __str__(self) -> str:
        return _one_of("beamline is", self.values)

    @property
    def _one(self) -> tuple[str, ...]:
        return () if self.beamline is None else (self.beamline,)

    @property
    def _several(self) -> tuple[str, ...]:
        return _texts(self.beamlines)


@dataclass(frozen=True)
class EventSpecification(FieldSpecification):
    """The scenario is about this event."""

    event: MimasEvent
    field: ClassVar[str] = "event"

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the scenario's event is the one named."""
        return candidate.event is self.event

    @property
    def values(self) -> tuple[MimasEvent, ...]:
        """The event named."""
        return (self.event,)

    def __str__(self) -> str:
        return f"event is {self.event.name}"


@dataclass(frozen=True)
class DCClassSpecification(FieldSpecification):
    """The data collection is of this class."""

    dcclass: MimasDCClass
    field: ClassVar[str] = "dcclass"

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the scenario's class is the one named."""
        return candidate.dcclass is self.dcclass

    @property
    def values(self) -> tuple[MimasDCClass, ...]:
        """The class named."""
        return (self.dcclass,)

    def __str__(self) -> str:
        return f"class is {self.dcclass.name}"


@dataclass(frozen=True)
class DetectorClassSpecification(FieldSpecification):
    """The detector is of this class; an unknown detector is of none."""

    detectorclass: MimasDetectorClass
    field: ClassVar[str] = "detectorclass"

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the scenario's detector is of the class named."""
        return candidate.detectorclass is self.detectorclass

    @property
    def values(self) -> tuple[MimasDetectorClass, ...]:
        """The class named."""
        return (self.detectorclass,)

    def __str__(self) -> str:
        return f"detector is {self.detectorclass.name}"


@dataclass(frozen=True)
class VisitSpecification(FieldSpecification):
    """The visit starts with one of these prefixes; a missing visit starts with none."""

    visits: Iterable[str]
    field: ClassVar[str] = "visit"

    def __post_init__(self) -> None:
        object.__setattr__(self, "visits", _texts(self.visits))

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the scenario's visit starts with one of the prefixes."""
        return candidate.visit is not None and candidate.visit.startswith(tuple(self.visits))

    @property
    def values(self) -> tuple[str, ...]:
        """The prefixes; each stands for all visits that start with it."""
        return tuple(sorted(self.visits))

    def __str__(self) -> str:
        return _one_of("visit starts with", self.values)


@dataclass(frozen=True)
class AndSpecification(BaseSpecification):
    """All of the operands hold."""

    operands: tuple[BaseSpecification, ...]

    @property
    def parts(self) -> tuple[BaseSpecification, ...]:
        """The operands; those of an operand of the same kind in its place."""
        return _flat(AndSpecification, self.operands)

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether every operand holds; the first that does not ends it."""
        return all(operand.is_satisfied_by(candidate) for operand in self.operands)

    def __str__(self) -> str:
        return " and ".join(_words(part) for part in self.parts)

    @property
    def label(self) -> str:
        """The parts' names with ``&`` between them."""
        return " & ".join(_label(part) for part in self.parts)


@dataclass(frozen=True)
class OrSpecification(BaseSpecification):
    """At least one of the operands holds."""

    operands: tuple[BaseSpecification, ...]

    @property
    def parts(self) -> tuple[BaseSpecification, ...]:
        """The operands; those of an operand of the same kind in its place."""
        return _flat(OrSpecification, self.operands)

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether an operand holds; the first that does ends it."""
        return any(operand.is_satisfied_by(candidate) for operand in self.operands)

    def __str__(self) -> str:
        return " or ".join(_words(part) for part in self.parts)

    @property
    def label(self) -> str:
        """The parts' names with ``|`` between them."""
        return " | ".join(_label(part) for part in self.parts)


@dataclass(frozen=True)
class NotSpecification(BaseSpecification):
    """The operand does not hold."""

    operands: tuple[BaseSpecification]

    @property
    def parts(self) -> tuple[BaseSpecification, ...]:
        """The one operand."""
        return self.operands

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the operand does not hold."""
        return not self.operands[0].is_satisfied_by(candidate)

    def __str__(self) -> str:
        return f"not ({self.operands[0]})"

    @property
    def label(self) -> str:
        """The operand's name with ``~`` before it."""
        return f"~{_label(self.operands[0])}"


@dataclass(frozen=True)
class NamedSpecification(BaseSpecification):
    """A condition that was given a name: it is the same condition, and its label the name."""

    name: str
    specification: BaseSpecification

    @property
    def parts(self) -> tuple[BaseSpecification, ...]:
        """The parts of the condition behind the name."""
        return self.specification.parts

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the condition behind the name holds."""
        return self.specification.is_satisfied_by(candidate)

    def __str__(self) -> str:
        return str(self.specification)

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    def saw(self, candidate: MimasScenario) -> str:
        """Return what the condition behind the name looked at."""
        return self.specification.saw(candidate)

    def tells_apart(self, beamline: str | None) -> Iterator[tuple[str, Any]]:
        """Yield what the condition behind the name tells apart."""
        return self.specification.tells_apart(beamline)


def match_specification(
    specification: BaseSpecification,
) -> Callable[[Callable[..., Sequence[Invocation]]], Callable[..., Sequence[Invocation]]]:
    """Decorate a site's handler: it is called only where the specification holds.

    Elsewhere the answer is an empty list. What it returns has the condition as its attribute
    ``specification``.
    """

    def decorator(handler: Callable[..., Sequence[Invocation]]) -> Any:
        @functools.wraps(handler)
        def matched(scenario: MimasScenario, *args: Any, **kwargs: Any) -> Sequence[Invocation]:
            if not specification.is_satisfied_by(scenario):
                return []
            return handler(scenario, *args, **kwargs)

        decorated: Any = matched
        decorated.specification = specification  # for whoever lists the rules
        return decorated

    return decorator


def _texts(given: Iterable[str] | None) -> tuple[str, ...]:
    # A single text is one name, not the letters that it is made of.
    return (given,) if isinstance(given, str) else tuple(given or ())


def _one_of(words: str, values: Sequence[str]) -> str:
    return f"{words} {values[0]}" if len(values) == 1 else f"{words} one of {', '.join(values)}"


def _flat(
    kind: type[AndSpecification | OrSpecification], operands: tuple[BaseSpecification, ...]
) -> tuple[BaseSpecification, ...]:
    flat: tuple[BaseSpecification, ...] = ()
    for operand in operands:
        flat += operand.parts if type(operand) is kind else (operand,)
    return flat


def _words(part: BaseSpecification) -> str:
    return f"({part})" if len(part.parts) > 1 else str(part)


def _label(part: BaseSpecification) -> str:
    named = isinstance(part, NamedSpecification)
    return part.label if named or len(part.parts) < 2 else f"({part.label})"
