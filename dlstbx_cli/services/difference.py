"""Two plans compared: which tasks have come, gone and changed, and how many of what.

Values in, values out. A task is known by its collection, its event and what is asked for;
in which order tasks stand does not matter, how often one stands does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: More pairs of one collection's tasks for one recipe than anybody can mean: they are
#: paired in order, not each with each.
_MOST = 10_000

#: Return a task's fields in the form in which it keeps them: canonical JSON.
content = json.JSONEncoder(sort_keys=True).encode


class Place(NamedTuple):
    """What was planned for: an event of a data collection; no event: the line names none."""

    dcid: int
    event: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a plan.

    :param kind: ``job`` or ``recipe``.
    :param content: what is asked for, a flat object in canonical JSON (compact, as there
        may be a million of them).
    :param rule: the rule that asks for it, if known: no part of what is compared.
    :param beamline: if known.
    :param partly: not all of its content is known.
    """

    place: Place
    kind: str
    recipe: str
    content: str
    rule: str | None = None
    beamline: str | None = field(default=None, compare=False)
    partly: bool = False

    @classmethod
    def of(
        cls, place: Place, kind: str, recipe: str, fields: Mapping[str, Any], **more: Any
    ) -> Task:
        """Return the task with these fields."""
        return cls(place, kind, recipe, content(fields), **more)

    @property
    def fields(self) -> dict[str, Any]:
        """What is asked for: ``autostart``, ``parameters.NAME``, ``sweeps`` and so on."""
        fields: dict[str, Any] = json.loads(self.content)
        return fields


@dataclass(frozen=True, slots=True)
class Planned:
    """A collection and event that a plan is about, even if no task follows from it."""

    place: Place
    beamline: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; a side without it is None, the values are JSON texts."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """A task that is in one plan only, or in both but different.

    :param kind: ``added``, ``gone`` or ``changed``.
    :param alone: its whole collection and event is in one of the plans only.
    """

    kind: str
    old: Task | None
    new: Task | None
    beamline: str | None
    changes: tuple[Change, ...] = ()
    alone: bool = False

    @property
    def task(self) -> Task:
        """The task as it is now, or as it was."""
        task = self.new or self.old
        if task is None:
            raise ValueError("a case is about a task")
        return task


@dataclass(frozen=True, slots=True)
class Lone:
    """A collection and event that is in one of the plans only.

    :param side: ``old`` or ``new``: where it is.
    :param tasks: how many tasks it has there.
    """

    place: Place
    side: str
    beamline: str | None
    tasks: int


@dataclass(slots=True)
class Sum:
    """How many tasks are the same, and how many are not."""

    same: int = 0
    changed: int = 0
    added: int = 0
    gone: int = 0

    @property
    def differs(self) -> bool:
        """Whether anything is not the same."""
        return bool(self.changed or self.added or self.gone)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks count; an empty set: all of them.

    :param beamlines: in lower case; they are those of the plans in any letter case.

    A task whose rule has changed counts if either of the two is wanted.
    """

    rules: frozenset[str] = frozenset()
    beamlines: frozenset[str] = frozenset()
    recipes: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()

    def place(self, place: Place, beamline: str | None) -> bool:
        """Tell whether tasks of a collection and event can count."""
        return (not self.events or place.event in self.events) and (
            not self.beamlines or (beamline or "").lower() in self.beamlines
        )

    def tasks(self, *tasks: Task | None) -> bool:
        """Tell whether a task, or one of two that are a pair, counts."""
        return any(
            (not self.rules or one.rule in self.rules)
            and (not self.recipes or one.recipe in self.recipes)
            for one in tasks
            if one is not None
        )


#: What sums are made by.
BY = ("rule", "beamline", "recipe")


@dataclass(slots=True)
class Difference:
    """What differs between two plans.

    :param by: the sums of each name, by what the name is of: ``rule``, ``beamline``,
        ``recipe``. A task whose rule has changed is under the new one.
    :param places: how many collections and events are in both plans.
    """

    total: Sum = field(default_factory=Sum)
    by: dict[str, dict[str | None, Sum]] = field(
        default_factory=lambda: {dimension: {} for dimension in BY}
    )
    places: int = 0
    lone: list[Lone] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether both plans ask for the same, for the same collections."""
        return not self.cases and not self.lone


def difference(
    old: Iterable[Task | Planned], new: Iterable[Task | Planned], wanted: Wanted | None = None
) -> Difference:
    """Return what differs between two plans.

    Tasks of one collection, event, kind and recipe are paired: first those that are the
    same, then those that have most fields in common. What is left has come or gone. The
    result, its order included, does not depend on the order of the tasks.
    """
    compared: dict[Place, _Compared] = {}
    for side, tasks in enumerate((old, new)):
        for one in tasks:
            found = compared.get(one.place)
            if found is None:
                found = compared[one.place] = _Compared()
            found.add(one, side)
    making = _Making(wanted or Wanted(), Difference())
    for place in sorted(compared, key=lambda place: (place.dcid, place.event or "")):
        making.add(place, compared[place])
    return making.result


def changes(old: Task, new: Task) -> tuple[Change, ...]:
    """Return the fields in which two tasks differ; none if one is known in part only."""
    if old.partly or new.partly:
        return ()
    before, after = _texts(old), _texts(new)
    return tuple(
        Change(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


class _Compared:
    """What two plans have for one collection and event."""

    __slots__ = ("beamline", "sides", "tasks")

    def __init__(self) -> None:
        self.beamline: str | None = None
        self.sides = [False, False]
        #: How often each task is in the old plan and in the new one.
        self.tasks: dict[Task, list[int]] = {}

    def add(self, one: Task | Planned, side: int) -> None:
        self.sides[side] = True
        self.beamline = self.beamline or one.beamline
        if isinstance(one, Task):
            self.tasks.setdefault(one, [0, 0])[side] += 1


@dataclass(frozen=True, slots=True)
class _Making:
    """A difference in the making."""

    wanted: Wanted
    result: Difference

    def add(self, place: Place, compared: _Compared) -> None:
        if not self.wanted.place(place, compared.beamline):
            return
        alone = not all(compared.sides)
        counted = 0
        left: dict[tuple[str, str], tuple[list[Task], list[Task]]] = {}
        for task, (before, after) in compared.tasks.items():
            if same := min(before, after):
                counted += self._count("same", compared.beamline, same, task)
            for side, number in enumerate((before - same, after - same)):
                if number:
                    group = left.setdefault((task.recipe, task.kind), ([], []))
                    group[side].extend([task] * number)
        for _, (before_tasks, after_tasks) in sorted(left.items()):
            for pair in _paired(before_tasks, after_tasks):
                counted += self._case(*pair, compared.beamline, alone)
        if not alone:
            self.result.places += 1 if counted or not compared.tasks else 0
        elif counted:
            side_name = "old" if compared.sides[0] else "new"
            self.result.lone.append(Lone(place, side_name, compared.beamline, counted))

    def _case(self, old: Task | None, new: Task | None, beamline: str | None, alone: bool) -> int:
        found: tuple[Change, ...] = ()
        if old is None or new is None:
            kind = "added" if old is None else "gone"
        else:
            found = changes(old, new)
            kind = "changed" if found else "same"
        counted = self._count(kind, beamline, 1, new or old, old)
        if counted and kind != "same":
            self.result.cases.append(Case(kind, old, new, beamline, found, alone))
        return counted

    def _count(
        self,
        kind: str,
        beamline: str | None,
        number: int,
        task: Task | None,
        old: Task | None = None,
    ) -> int:
        if task is None or not self.wanted.tasks(task, old):
            return 0
        by = self.result.by
        for dimension, name in zip(BY, (task.rule, beamline, task.recipe), strict=True):
            sum_ = by[dimension].get(name)
            if sum_ is None:
                sum_ = by[dimension][name] = Sum()
            setattr(sum_, kind, getattr(sum_, kind) + number)
        total = self.result.total
        setattr(total, kind, getattr(total, kind) + number)
        return number


def _paired(old: list[Task], new: list[Task]) -> Iterator[tuple[Task | None, Task | None]]:
    """Yield pairs of tasks of one recipe, best first, then what is left without a partner."""
    alike: dict[str, tuple[list[Task], list[Task]]] = {}
    for side, tasks in enumerate((old, new)):
        for task in sorted(tasks, key=_order):
            alike.setdefault(task.content, ([], []))[side].append(task)
    left: tuple[list[Task], list[Task]] = ([], [])
    for _, (before, after) in sorted(alike.items()):
        # They differ at most by their rule.
        yield from zip(before, after, strict=False)
        left[0].extend(before[len(after) :])
        left[1].extend(after[len(before) :])
    taken: tuple[set[int], set[int]] = (set(), set())
    for one, other in _best(*left):
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            yield left[0][one], left[1][other]
    yield from ((task, None) for place, task in enumerate(left[0]) if place not in taken[0])
    yield from ((None, task) for place, task in enumerate(left[1]) if place not in taken[1])


def _best(old: list[Task], new: list[Task]) -> list[tuple[int, int]]:
    """Return which can be paired, those with most in common first.

    Which is first depends on the two tasks alone and not on which of them is the old one:
    so the difference the other way round is its mirror image.
    """
    if len(old) == len(new) == 1 or len(old) * len(new) > _MOST:
        return [(place, place) for place in range(min(len(old), len(new)))]
    texts = [[_texts(task) for task in tasks] for tasks in (old, new)]

    def rank(pair: tuple[int, int]) -> Any:
        before, after = texts[0][pair[0]], texts[1][pair[1]]
        common = sum(after.get(name) == text for name, text in before.items())
        one, other = old[pair[0]], new[pair[1]]
        others = len(before) + len(after) - 2 * common
        return -common, others, one.rule != other.rule, sorted((_order(one), _order(other)))

    return sorted(((i, j) for i in range(len(old)) for j in range(len(new))), key=rank)


def _order(task: Task) -> tuple[str, str]:
    return task.content, task.rule or ""


def _texts(task: Task) -> dict[str, str]:
    """Return a task's fields as JSON texts: so 1, 1.0, "1" and true are not the same."""
    return {name: content(value) for name, value in task.fields.items()}
