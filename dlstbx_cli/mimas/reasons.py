"""Why a plan is what it is: each rule, whether it holds, and which part of it decided.

Nothing is decided here a second time: the conditions are those of the rules, asked part by
part, and the tasks those that the rules make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.mimas.errors import RuleError
from dlstbx_cli.mimas.objects import Invocation, MimasScenario
from dlstbx_cli.mimas.registry import NamedHandler
from dlstbx_cli.mimas.rule import Family, Job, Recipe, Rule
from dlstbx_cli.mimas.specification import (
    AndSpecification,
    BaseSpecification,
    NamedSpecification,
    NotSpecification,
    OrSpecification,
)


@dataclass(frozen=True, slots=True)
class Decided:
    """A part of a condition that decided it.

    :param condition: its name, or its words.
    :param holds: whether it holds.
    :param saw: what it looked at: ``detectorclass is PILATUS``; empty if it cannot tell.
    """

    condition: str
    holds: bool
    saw: str

    def __str__(self) -> str:
        return f"{self.condition}: {self.saw}" if self.saw else self.condition


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that a rule can ask for, and whether it does.

    :param decided: what decided that, besides the rule's own condition; empty: nothing.
    :param task: what is asked for; None if it is not.
    :param origins: of a job's parameters, in their order: the names of their groups.
    """

    recipe: str
    holds: bool
    decided: tuple[Decided, ...]
    task: Invocation | None = None
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule, whether it holds for a scenario, and why.

    :param refused: why it refuses the scenario, if it does.
    """

    rule: str
    family: str
    holds: bool
    decided: tuple[Decided, ...] = ()
    asks: tuple[Ask, ...] = ()
    refused: str | None = None


def reasons(
    scenario: MimasScenario, handlers: Sequence[NamedHandler], zc: Any = None
) -> list[Reason]:
    """Return the reason of every rule of the handlers, in the order in which they are asked.

    A site's handler that is no family of rules can only say what it asks for, and by which
    condition it is called, if it was given one.
    """
    found: list[Reason] = []
    for handler in handlers:
        if isinstance(handler.handler, Family):
            found += [_of_rule(rule, handler.name, scenario) for rule in handler.handler.rules]
        else:
            found.append(_of_handler(handler, scenario, zc))
    return found


def deciding(specification: BaseSpecification, scenario: MimasScenario) -> Iterator[Decided]:
    """Yield the parts that make a condition hold or not.

    Of an "and" that fails this is its first part that fails, of an "or" that holds the
    first that does; else all of them. A condition with a name is one part.
    """
    holds = specification.is_satisfied_by(scenario)
    if isinstance(specification, NotSpecification):
        yield from deciding(specification.operands[0], scenario)
    elif isinstance(specification, AndSpecification | OrSpecification):
        one_is_enough = holds is isinstance(specification, OrSpecification)
        for part in specification.parts:
            if one_is_enough and part.is_satisfied_by(scenario) is not holds:
                continue
            yield from deciding(part, scenario)
            if one_is_enough:
                return
    else:
        yield Decided(specification.label, holds, _saw(specification, scenario))


def _saw(specification: BaseSpecification, scenario: MimasScenario) -> str:
    seen = specification.saw(scenario)
    if not seen and isinstance(specification, NamedSpecification):
        # A name for several conditions: what they looked at, each once.
        parts = [_saw(part, scenario) for part in specification.parts]
        return ", ".join(dict.fromkeys(filter(None, parts)))
    return seen


def _of_rule(rule: Rule, family: str, scenario: MimasScenario) -> Reason:
    try:
        holds = rule.when.is_satisfied_by(scenario)
        decided = tuple(deciding(rule.when, scenario))
        asks = tuple(_asked(ask, scenario) for ask in rule.asks) if holds else ()
    except Exception as error:  # a rule that refuses the scenario, or a site's that fails
        return Reason(rule.name, family, False, refused=str(RuleError(rule.name, error)))
    return Reason(rule.name, family, holds, decided, asks)


def _asked(ask: Recipe | Job, scenario: MimasScenario) -> Ask:
    decided = tuple(deciding(ask.when, scenario)) if ask.when else ()
    if ask.when is not None and not ask.when.is_satisfied_by(scenario):
        return Ask(ask.recipe, False, decided)
    origins: tuple[str, ...] = ()
    if isinstance(ask, Job):
        origins = tuple(
            group.name
            for group in ask.parameters
            if group.when is None or group.when.is_satisfied_by(scenario)
            for _ in group.make(scenario)
        )
    return Ask(ask.recipe, True, decided, ask.invocation(scenario), origins)


def _of_handler(handler: NamedHandler, scenario: MimasScenario, zc: Any) -> Reason:
    try:
        tasks = [task for _, task in handler.asked(scenario, zc)]
    except RuleError as error:
        return Reason(handler.name, handler.name, False, refused=str(error))
    condition = handler.condition
    decided = tuple(deciding(condition, scenario)) if condition else ()
    holds = condition.is_satisfied_by(scenario) if condition else bool(tasks)
    asks = tuple(Ask(task.recipe, True, (), task) for task in tasks)
    return Reason(handler.name, handler.name, holds, decided, asks)
