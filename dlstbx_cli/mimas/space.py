"""The space of scenarios: those that the rules can tell apart, one of each kind.

For each beamline, event, class and detector, the further fields of a scenario take the
values that the conditions still open there tell apart, and one value for anything else.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from dlstbx_cli.mimas import opaque
from dlstbx_cli.mimas.objects import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBAnomalousScatterer,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBUnitCell,
    MimasScenario,
)
from dlstbx_cli.mimas.registry import NamedHandler
from dlstbx_cli.mimas.rule import Family, Job, Rule
from dlstbx_cli.mimas.settle import SETTLED, Combination, settle
from dlstbx_cli.mimas.specification import (
    BaseSpecification,
    BeamlineSpecification,
    NamedSpecification,
    NotSpecification,
)

#: The data collection of all scenarios, and another one of its group.
DCID, OTHER = 1, 2
_OWN, _ANOTHER = MimasISPyBSweep(DCID, 1, 100), MimasISPyBSweep(OTHER, 1, 100)
#: Values that rules look at without a condition: the parameters of jobs are made of them.
_ALWAYS: Mapping[str, tuple[Any, ...]] = {
    "spacegroup": (None, MimasISPyBSpaceGroup("P212121")),
    "unitcell": (None, MimasISPyBUnitCell(78.1, 78.2, 37.3, 90.0, 90.0, 90.0)),
    "anomalous_scatterer": (None, MimasISPyBAnomalousScatterer("Se")),
    "getsweepslistfromsamedcg": ((_OWN,), (_OWN, _ANOTHER)),
}
#: Texts, as they come together, that plain code is tried with.
_TRIED = 240
#: Scenarios walked at most, unless the pairs alone are more: ten thousand take about a second.
_MOST = 60_000
_DETECTORS: tuple[MimasDetectorClass | None, ...] = (*MimasDetectorClass, None)


@dataclass(frozen=True)
class Only:
    """A part of the space; None: everything.

    :param detectors: several, since None is a detector that is not known.
    """

    beamline: str | None = None
    event: MimasEvent | None = None
    dcclass: MimasDCClass | None = None
    detectors: Sequence[MimasDetectorClass | None] = _DETECTORS

    @property
    def everything(self) -> bool:
        """Whether it is the whole space."""
        return self == Only()


def leaves(specification: BaseSpecification) -> Iterator[BaseSpecification]:
    """Yield the conditions that a condition is made of in the end."""
    return (leaf for leaf, _ in signed(specification))


def signed(
    specification: BaseSpecification, positive: bool = True
) -> Iterator[tuple[BaseSpecification, bool]]:
    """Yield the same, each with whether the whole wants it to hold."""
    if isinstance(specification, NamedSpecification):
        yield from signed(specification.specification, positive)
    elif isinstance(specification, NotSpecification):
        yield from signed(specification.operands[0], not positive)
    elif specification.parts:
        for part in specification.parts:
            yield from signed(part, positive)
    else:
        yield specification, positive


def conditions(rule: Rule) -> Iterator[BaseSpecification]:
    """Yield the further conditions of a rule: each decides about something where it holds."""
    for ask in rule.asks:
        if ask.when is not None:
            yield ask.when
        if isinstance(ask, Job):
            if not isinstance(ask.auto, bool):
                yield ask.auto
            yield from (group.when for group in ask.parameters if group.when is not None)


class _Condition(NamedTuple):
    """A condition, and those that matter where it holds.

    :param code: whether what it stands before is plain code, which may decide the rest.
    """

    when: BaseSpecification
    further: tuple[BaseSpecification, ...]
    code: bool = False

    def all(self) -> tuple[BaseSpecification, ...]:
        return (self.when, *self.further)

    def open_in(
        self, combination: Combination, kinds: tuple[type[BaseSpecification], ...] = SETTLED
    ) -> Iterator[BaseSpecification | bool]:
        """Yield what each comes to in a combination: True, or what is to be decided."""
        when = settle(self.when, combination, kinds)
        if when is False:
            return
        yield when
        for each in self.further:
            outcome = settle(each, combination, kinds)
            if outcome is not False:
                yield outcome


class Space:
    """The scenarios that a set of handlers can tell apart, or a part of them.

    :param zc: Zocalo's configuration, handed to handlers that are plain code; or None.
    """

    def __init__(
        self, handlers: Iterable[NamedHandler], only: Only | None = None, zc: Any = None
    ) -> None:
        self.handlers = tuple(handlers)
        self.zc = zc
        self._only = only or Only()
        self._conditions: list[_Condition] = []
        for handler in self.handlers:
            self._learn(handler)
        every = [each for condition in self._conditions for each in condition.all()]
        self._plain = {
            id(leaf): leaf for each in every for leaf in leaves(each) if opaque.is_plain(leaf)
        }
        #: The beamlines that the conditions name.
        self.named_beamlines = tuple(
            sorted(
                {
                    value
                    for each in every
                    for field, value in each.tells_apart(None)
                    if field == "beamline" and value is not None
                }
            )
        )
        self._too_large = False

    @property
    def thinned(self) -> bool:
        """Whether it is too large to be walked whole; told after the walk."""
        looks = [*self._of_handlers, *self._of_conditions.values()]
        return self._too_large or not all(each.complete for each in looks)

    @cached_property
    def beamlines(self) -> tuple[str, ...]:
        """The beamlines that anything names, plain code included."""
        looks = [*self._of_handlers, *self._of_conditions.values()]
        found = [name for each in looks for name in each.values("beamline")]
        return tuple(sorted({*self.named_beamlines, *found}))

    @cached_property
    def elsewhere(self) -> str:
        """A beamline that nothing names."""
        return _other(self.beamlines)

    def combinations(self) -> Iterator[Combination]:
        """Yield each beamline, event, class and detector."""
        only = self._only
        yield from itertools.starmap(
            Combination,
            itertools.product(
                (only.beamline,) if only.beamline else (*self.beamlines, self.elsewhere),
                (only.event,) if only.event else MimasEvent,
                (only.dcclass,) if only.dcclass else MimasDCClass,
                only.detectors,
            ),
        )

    def walk(self) -> Iterator[tuple[Combination, Iterator[MimasScenario]]]:
        """Yield each combination with its scenarios."""
        fields = [(combination, self._fields(combination)) for combination in self.combinations()]
        largest = _largest([(_whole(values), _pairs(values)) for _, values in fields])
        for combination, values in fields:
            self._too_large = self._too_large or _whole(values) > largest
            whole = _whole(values) <= largest
            yield (
                combination,
                itertools.chain(
                    _scenarios(combination, values, whole), self._for_code(combination)
                ),
            )

    def conditions_at(self, beamline: str) -> Iterator[tuple[bool, list[BaseSpecification | bool]]]:
        """Yield of each rule that can hold at a beamline what its conditions come to there.

        That is whether it is plain code, and of its own condition and then of those that
        matter where it holds: True, or what the rest of the scenario is to decide.
        """
        there = Combination(beamline, MimasEvent.END, MimasDCClass.UNDEFINED, None)
        for condition in self._conditions:
            outcomes = list(condition.open_in(there, (BeamlineSpecification,)))
            if outcomes:
                yield condition.code, outcomes

    def _learn(self, handler: NamedHandler) -> None:
        if isinstance(handler.handler, Family):
            for rule in handler.handler.rules:
                # The same condition stands in many of a rule's jobs.
                further = {id(each): each for each in conditions(rule)}
                self._conditions.append(_Condition(rule.when, tuple(further.values())))
            return
        if handler.condition is not None:
            self._conditions.append(_Condition(handler.condition, (), code=True))

    @cached_property
    def _of_handlers(self) -> list[opaque.Looks]:
        """What the handlers look at that are plain code."""
        plain = [each.handler for each in self.handlers if not isinstance(each.handler, Family)]
        starts = [{"beamline": name} for name in self.named_beamlines]
        most = len(starts) + max(_TRIED // max(len(plain), 1), 40)
        models = opaque.every_kind(_models(None))
        return [
            opaque.explored(partial(code, zc=self.zc), code, models, starts, most) for code in plain
        ]

    @cached_property
    def _of_conditions(self) -> dict[int, opaque.Looks]:
        """What the conditions look at that are plain code, by their identities."""
        most = max(_TRIED // max(len(self._plain), 1), 40)
        models = opaque.every_kind(_models(None))
        return {
            key: opaque.explored(leaf.is_satisfied_by, leaf, models, (), most)
            for key, leaf in self._plain.items()
        }

    def _fields(self, combination: Combination) -> dict[str, list[Any]]:
        """Return the values of each further field in a combination; the usual one first."""
        told: dict[str, list[Any]] = {}
        can_hold = False
        for condition in self._conditions:
            for each in condition.open_in(combination):
                can_hold = can_hold or not condition.code
                if isinstance(each, BaseSpecification):
                    for field, value in self._told(each, combination.beamline):
                        told.setdefault(field, []).append(value)
        usual = _usual(_other(told.get("visit", ())))
        if not can_hold and not told:
            return usual
        always = {**usual, **{field: [*values] for field, values in _ALWAYS.items()}}
        return {
            field: _distinct([*values, *told.get(field, ())]) for field, values in always.items()
        }

    def _told(
        self, condition: BaseSpecification, beamline: str | None
    ) -> Iterator[tuple[str, Any]]:
        yield from condition.tells_apart(beamline)
        for leaf in leaves(condition):
            looks = self._of_conditions.get(id(leaf))
            if looks is not None:
                for field in opaque.FIELDS[1:]:
                    yield from ((field, value) for value in looks.values(field))

    def _for_code(self, combination: Combination) -> Iterator[MimasScenario]:
        """Yield what plain code of a handler is tried with."""
        name = None if combination.beamline == self.elsewhere else combination.beamline
        for looks in self._of_handlers:
            for texts in looks.texts:
                if texts.get("beamline") == name or self._only.beamline:
                    for model in _models(combination.beamline):
                        yield replace(model, **{**texts, **combination._asdict()})


def _usual(visit: str) -> dict[str, list[Any]]:
    """Return the value that each further field has unless it is told apart."""
    return {
        "visit": [visit],
        "preferred_processing": [None],
        "runstatus": ["DataCollection Successful"],
        "cloudbursting": [None],
        **{field: [*values[:1]] for field, values in _ALWAYS.items()},
    }


def _models(beamline: str | None) -> list[MimasScenario]:
    """Return a scenario in which little is known, and one in which everything is."""
    known = {field: values[-1] for field, values in _ALWAYS.items()}
    offer = {"beamlines": (beamline,), "visit_pattern": ("",)}
    point = Combination(beamline, MimasEvent.END, MimasDCClass.ROTATION, None)
    (little,) = _scenarios(point, _usual(_other(())), True)
    return [little, replace(little, cloudbursting=(offer,), **known)]


def _other(texts: Iterable[str]) -> str:
    """Return a text that is none of the given ones, and starts with none."""
    known = tuple(text for text in texts if text)
    names = ("other", *(f"{letter}{letter}0-0" for letter in string.ascii_lowercase), "~")
    return next(name for name in names if name == "~" or not name.startswith(known))


def _distinct(values: Iterable[Any]) -> list[Any]:
    # Some of the values, offers of the cloud, cannot be hashed.
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    return distinct


def _whole(fields: Mapping[str, Sequence[Any]]) -> int:
    return math.prod(len(values) for values in fields.values())


def _pairs(fields: Mapping[str, Sequence[Any]]) -> int:
    others = [len(values) - 1 for values in fields.values()]
    return 1 + sum(others) + sum(a * b for a, b in itertools.combinations(others, 2))


def _largest(sizes: Sequence[tuple[int, int]]) -> int:
    """Return up to which size combinations are walked whole; of larger ones all pairs are."""
    for largest in sorted({whole for whole, _ in sizes}, reverse=True):
        if sum(whole if whole <= largest else pairs for whole, pairs in sizes) <= _MOST:
            return largest
    return 0


def _scenarios(
    combination: Combination, fields: Mapping[str, Sequence[Any]], whole: bool
) -> Iterator[MimasScenario]:
    for values in itertools.product(*fields.values()) if whole else _in_pairs(fields):
        yield MimasScenario(
            DCID=DCID,
            dcclass=combination.dcclass,
            event=combination.event,
            beamline=combination.beamline,
            detectorclass=combination.detectorclass,
            **dict(zip(fields, values, strict=True)),
        )


def _in_pairs(fields: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield the values so that every two of two fields come together once."""
    usual = tuple(values[0] for values in fields.values())
    yield usual
    for place, values in enumerate(fields.values()):
        for value in values[1:]:
            one = (*usual[:place], value, *usual[place + 1 :])
            yield one
            for later, more in itertools.islice(enumerate(fields.values()), place + 1, None):
                for another in more[1:]:
                    yield (*one[:later], another, *one[later + 1 :])
