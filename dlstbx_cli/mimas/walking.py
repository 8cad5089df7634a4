"""A walk through the space of scenarios: which rules hold, and what comes of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlstbx_cli.mimas.errors import RuleError
from dlstbx_cli.mimas.objects import Invocation, MimasISPyBJobInvocation, MimasScenario
from dlstbx_cli.mimas.registry import NamedHandler
from dlstbx_cli.mimas.rule import Family, Job, Recipe, Rule
from dlstbx_cli.mimas.settle import Combination, settle
from dlstbx_cli.mimas.space import Space
from dlstbx_cli.mimas.specification import BaseSpecification


@dataclass(slots=True)
class Met:
    """Something that was met on the walk.

    :param rules: the rules that it is about, in the order in which they are asked.
    :param scenario: the first in which it was met.
    :param same: of a repeated task: whether it is the identical one.
    :param scenarios: in how many.
    """

    rules: tuple[str, ...]
    scenario: MimasScenario
    task: Invocation | None = None
    error: Exception | None = None
    same: bool = True
    scenarios: int = 0


@dataclass(slots=True)
class Walk:
    """What was met on a walk.

    :param tasks: each task that a rule asks for; those of one recipe with other
        parameters are others.
    :param repeated: tasks that are asked for again in the same scenario.
    :param failures: rules that fail, or ask for what makes no sense. One that refuses a
        scenario by a ValueError does not fail.
    :param busy: the combinations in which a rule asks for something.
    :param never: rules, and what rules can ask for, whose condition is never met: the
        handler, the rule, and the place of what is never asked for (None: the rule).
    """

    scenarios: int = 0
    tasks: dict[Hashable, Met] = field(default_factory=dict)
    repeated: dict[Hashable, Met] = field(default_factory=dict)
    failures: dict[Hashable, Met] = field(default_factory=dict)
    busy: set[Combination] = field(default_factory=set)
    never: list[Pending] = field(default_factory=list)


@dataclass(eq=False, slots=True)  # each is only equal to itself: rules cannot be hashed
class Pending:
    """A rule, or something that it can ask for, whose condition has not been met so far.

    :param possible: whether it could be met, had plain code in it come out otherwise.
    """

    handler: NamedHandler
    rule: Rule
    ask: Recipe | Job | None
    possible: bool = False

    @property
    def when(self) -> BaseSpecification:
        """The condition that is to be met."""
        further = self.ask.when if self.ask else None
        return self.rule.when if further is None else self.rule.when & further


def walk(space: Space) -> Walk:
    """Return what is met in the scenarios of a space."""
    met = Walk()
    pending = _all_pending(space.handlers)
    for combination, scenarios in space.walk():
        pending, open_here = _settled(pending, combination)
        for scenario in scenarios:
            met.scenarios += 1
            for one, condition in list(open_here.items()):
                if _holds(condition, scenario):
                    del open_here[one]
                    pending.remove(one)
            if _ask(met, space.handlers, scenario, space.zc):
                met.busy.add(combination)
    met.never = pending
    return met


def key_of(task: Invocation) -> Hashable:
    """Return what makes two tasks of a scenario the same work, whatever they are called."""
    if isinstance(task, MimasISPyBJobInvocation):
        variables = tuple(task.triggervariables)
        return task.recipe, tuple(task.parameters), tuple(task.sweeps), variables
    return task.recipe


def _all_pending(handlers: Sequence[NamedHandler]) -> list[Pending]:
    return [
        Pending(handler, rule, ask)
        for handler in handlers
        if isinstance(handler.handler, Family)
        for rule in handler.handler.rules
        for ask in (None, *rule.asks)
    ]


def _settled(
    pending: Sequence[Pending], combination: Combination
) -> tuple[list[Pending], dict[Pending, BaseSpecification]]:
    """Return what is pending after a combination alone, and what its scenarios decide."""
    left: list[Pending] = []
    open_here: dict[Pending, BaseSpecification] = {}
    for one in pending:
        outcome = settle(one.when, combination)
        if outcome is True:
            continue
        if isinstance(outcome, BaseSpecification):
            one.possible = True
            open_here[one] = outcome
        left.append(one)
    return left, open_here


def _holds(condition: BaseSpecification, scenario: MimasScenario) -> bool:
    try:
        return condition.is_satisfied_by(scenario)
    except Exception:  # a site's own that fails: met again, and told, where the rules are asked
        return False


def _ask(met: Walk, handlers: Sequence[NamedHandler], scenario: MimasScenario, zc: Any) -> bool:
    """Ask all handlers, and tell whether anything is to be done."""
    first: dict[Hashable, tuple[str, Invocation]] = {}
    for handler in handlers:
        try:
            for rule, task in handler.asked(scenario, zc):
                _take(met, scenario, rule, task, first)
        except RuleError as error:
            kind = type(error.cause)
            # On purpose, and in the words of the rule: that is what a ValueError is for.
            if kind is not ValueError:
                _meet(met.failures, (error.name, kind), (error.name,), scenario, error=error)
    return bool(first)


def _take(
    met: Walk,
    scenario: MimasScenario,
    rule: str,
    task: Invocation,
    first: dict[Hashable, tuple[str, Invocation]],
) -> None:
    key = key_of(task)
    labels = [getattr(task, name, "") for name in ("autostart", "displayname", "comment")]
    name = (rule, type(task), key, *labels)
    _meet(met.tasks, name, (rule,), scenario, task)
    before = first.setdefault(key, (rule, task))
    if before[1] is not task:
        rules, same = (before[0], rule), before[1] == task
        _meet(met.repeated, (rules, task.recipe, same), rules, scenario, task, same=same)


def _meet(
    found: dict[Hashable, Met],
    key: Hashable,
    rules: tuple[str, ...],
    scenario: MimasScenario,
    task: Invocation | None = None,
    error: Exception | None = None,
    same: bool = True,
) -> None:
    one = found.get(key)
    if one is None:
        one = found[key] = Met(rules, scenario, task, error, same)
    one.scenarios += 1
