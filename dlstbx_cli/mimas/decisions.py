"""The decision table: of each rule its name, its condition in words, and what it asks for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.mimas.objects import MimasISPyBJobInvocation
from dlstbx_cli.mimas.registry import NamedHandler
from dlstbx_cli.mimas.rule import Family, Job, Parameters, Recipe, no_sweeps
from dlstbx_cli.mimas.settle import Combination, settle
from dlstbx_cli.mimas.space import Only, Space
from dlstbx_cli.mimas.specification import (
    AndSpecification,
    BaseSpecification,
    NamedSpecification,
)
from dlstbx_cli.mimas.walking import walk

_Part = Sequence[Combination]

#: When a job starts at once.
ALWAYS, NEVER, SOMETIMES = "always", "never", "sometimes"


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that a rule can ask for.

    :param kind: ``recipe`` or ``job``.
    :param when: what is to hold besides the rule's condition: of one line all, of several
        lines one; none: nothing.
    :param starts: a job at once: ``always``, ``never`` (it is held), or a condition; of
        plain code also ``sometimes``.
    :param parameters: the groups of a job's parameters by name, or their keys.
    :param sweeps: which are named, by the name of what chooses them; empty: none.
    """

    kind: str
    recipe: str
    when: tuple[tuple[BaseSpecification, ...], ...] = ()
    starts: str = ALWAYS
    display: str = ""
    parameters: tuple[str, ...] = ()
    sweeps: str = ""
    triggervariables: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The further conditions in words; empty: none."""
        return " or ".join(_words(parts) for parts in self.when)


@dataclass(frozen=True, slots=True)
class Decision:
    """A rule as a row of the table; of a handler that is plain code what is known of it.

    :param when: the condition in words.
    :param label: the same in the names that its parts were given.
    """

    rule: str
    set: str
    own: bool
    when: str
    label: str
    asks: tuple[Asked, ...]

    def record(self) -> dict[str, Any]:
        """Return the row as it is written for programs."""
        return {
            "rule": self.rule,
            "set": self.set,
            "own": self.own,
            "when": self.when,
            "label": self.label,
            "tasks": [_record(ask) for ask in self.asks],
        }

    def recipes(self) -> list[Asked]:
        """Return what is asked for with each recipe once, with the conditions of all.

        So a job that is created without symmetry and again with it counts once.
        """
        merged: dict[tuple[str, str, str], Asked] = {}
        for ask in self.asks:
            key = ask.kind, ask.recipe, ask.starts
            before = merged.get(key)
            merged[key] = ask if before is None else _merged(before, ask)
        return list(merged.values())


def decisions(
    handlers: Sequence[NamedHandler], only: Only | None = None, zc: Any = None
) -> list[Decision]:
    """Return the table of the rules that can hold in a part of the space, in their order.

    Of each rule it has what can be asked for there. What a handler asks for that is plain
    code is found by walking the space.
    """
    only = only or Only()
    # Without a filter every rule is shown, also one that can never hold.
    space = Space(handlers, only, zc)
    part = None if only.everything else list(space.combinations())
    return [
        decision
        for handler in handlers
        for decision in (
            _of_family(handler, handler.handler, part)
            if isinstance(handler.handler, Family)
            else _of_code(handler, only, zc)
        )
    ]


def _of_family(handler: NamedHandler, family: Family, part: _Part | None) -> Iterator[Decision]:
    for rule in family.rules:
        if not _possible(rule.when, part):
            continue
        asks = tuple(
            _asked(ask, part)
            for ask in rule.asks
            if _possible(rule.when if ask.when is None else rule.when & ask.when, part)
        )
        yield Decision(rule.name, handler.name, handler.own, str(rule.when), rule.when.label, asks)


def _possible(when: BaseSpecification, part: _Part | None) -> bool:
    return part is None or any(settle(when, combination) is not False for combination in part)


def _asked(ask: Recipe | Job, part: _Part | None) -> Asked:
    left = True if ask.when is None else _left(ask.when, part)
    when = () if isinstance(left, bool) else (_conjuncts(left),)
    if isinstance(ask, Recipe):
        return Asked("recipe", ask.recipe, when)
    auto = ask.auto if isinstance(ask.auto, bool) else _left(ask.auto, part)
    return Asked(
        "job",
        ask.recipe,
        when,
        str(auto) if isinstance(auto, BaseSpecification) else ALWAYS if auto else NEVER,
        ask.display,
        tuple(_name(group) for group in ask.parameters),
        "" if ask.sweeps is no_sweeps else getattr(ask.sweeps, "__name__", "some"),
        tuple(f"{variable.key}={variable.value}" for variable in ask.triggervariables),
    )


def _left(when: BaseSpecification, part: _Part | None) -> bool | BaseSpecification:
    """Return what is left of a condition to be decided in a part of the space."""
    if part is None:
        return when
    if len(part) == 1:
        return settle(when, part[0])
    left = tuple(
        each
        for each in _conjuncts(when)
        if any(settle(each, combination) is not True for combination in part)
    )
    return left[0] if len(left) == 1 else AndSpecification(left) if left else True


def _name(group: Parameters) -> str:
    return group.name if group.when is None else f"{group.name} if {group.when}"


def _of_code(handler: NamedHandler, only: Only, zc: Any) -> Iterator[Decision]:
    when = handler.condition
    met = walk(Space([handler], only, zc))
    tasks: dict[tuple[str, str], list[Any]] = {}
    for one in met.tasks.values():
        if one.task is not None:
            tasks.setdefault((type(one.task).__name__, one.task.recipe), []).append(one.task)
    asks = tuple(_of_tasks(several) for several in tasks.values())
    if not asks and not only.everything:
        return
    words = str(when) if when else _said(handler)
    label = when.label if when else words
    yield Decision(handler.name, handler.name, handler.own, words, label, asks)


def _of_tasks(tasks: Sequence[Any]) -> Asked:
    """Return what tasks of one kind and recipe have been asked for."""
    task = tasks[0]
    if not isinstance(task, MimasISPyBJobInvocation):
        return Asked("recipe", task.recipe)
    at_once = {one.autostart for one in tasks}
    variables = {f"{each.key}={each.value}": 0 for one in tasks for each in one.triggervariables}
    return Asked(
        "job",
        task.recipe,
        starts=SOMETIMES if len(at_once) > 1 else ALWAYS if task.autostart else NEVER,
        display=task.displayname,
        parameters=tuple({each.key: 0 for one in tasks for each in one.parameters}),
        sweeps="some" if any(one.sweeps for one in tasks) else "",
        triggervariables=tuple(variables),
    )


def _said(handler: NamedHandler) -> str:
    """Return what a handler that is plain code says of itself."""
    text = inspect.getdoc(handler.handler) if hasattr(handler.handler, "__code__") else None
    return f"code: {text.splitlines()[0]}" if text else "code that says nothing of itself"


def _record(ask: Asked) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": ask.kind, "recipe": ask.recipe, "when": ask.words or None}
    if ask.kind == "job":
        record |= {
            "starts": ask.starts,
            "display": ask.display,
            "parameters": list(ask.parameters),
            "sweeps": ask.sweeps or None,
            "triggervariables": list(ask.triggervariables),
        }
    return record


def _conjuncts(when: BaseSpecification) -> tuple[BaseSpecification, ...]:
    if isinstance(when, NamedSpecification):
        return _conjuncts(when.specification)
    return when.parts if isinstance(when, AndSpecification) else (when,)


def _merged(first: Asked, second: Asked) -> Asked:
    """Return something that is asked for under either of two conditions."""
    if not first.when or not second.when:
        when: tuple[tuple[BaseSpecification, ...], ...] = ()
    else:
        # "a, or a and b" is "a".
        every = {frozenset(map(str, parts)): parts for parts in (*first.when, *second.when)}
        when = tuple(parts for one, parts in every.items() if not any(o < one for o in every))
    return Asked(first.kind, first.recipe, when, first.starts, first.display)


def _words(parts: tuple[BaseSpecification, ...]) -> str:
    return str(parts[0] if len(parts) == 1 else AndSpecification(parts))
