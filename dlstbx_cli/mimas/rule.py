"""Rules as values: a condition, and the recipes and jobs that it asks for.

A rule is written as a table row, and stays readable::

    Rule(
        "i99-end",
        when=is_i99 & is_end,
        recipes=["archive-nexus", Recipe("processing-rlv-eiger", when=is_eiger)],
        jobs=[Job("autoprocessing-xia2-dials-eiger", display="xia2 dials", parameters=[SYM])],
    )

What makes it fast is kept out of sight: for each combination of beamline, event, class and
detector a family of rules works out once what may be asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlstbx_cli.mimas.errors import RuleError
from dlstbx_cli.mimas.objects import (
    Invocation,
    MimasISPyBJobInvocation,
    MimasISPyBParameter,
    MimasISPyBSweep,
    MimasISPyBTriggerVariable,
    MimasRecipeInvocation,
    MimasScenario,
)
from dlstbx_cli.mimas.settle import Combination, settle
from dlstbx_cli.mimas.specification import BaseSpecification

#: How many combinations a family remembers; a beamline has 96, and names may be anything.
_REMEMBERED = 4096

Sweeps = Callable[[MimasScenario], Sequence[MimasISPyBSweep]]


def no_sweeps(scenario: MimasScenario) -> tuple[()]:  # noqa: ARG001  one of several choices
    """Name no sweep: the job is about the whole data collection."""
    return ()


def all_sweeps(scenario: MimasScenario) -> tuple[MimasISPyBSweep, ...]:
    """Name every sweep of the group."""
    return tuple(scenario.getsweepslistfromsamedcg)


@dataclass(frozen=True)
class Parameters:
    """A named group of job parameters.

    :param make: gives the parameters, in order, for a scenario.
    :param when: where they are given at all; None: everywhere.
    """

    name: str
    make: Callable[[MimasScenario], tuple[MimasISPyBParameter, ...]]
    when: BaseSpecification | None = None

    @classmethod
    def fixed(cls, name: str, values: dict[str, str]) -> Parameters:
        """Return a group that is the same for every scenario."""
        parameters = tuple(MimasISPyBParameter(key, value) for key, value in values.items())
        return cls(name, lambda _scenario: parameters)

    def only(self, when: BaseSpecification) -> Parameters:
        """Return the group, given only where a condition holds."""
        return replace(self, when=_both(when, self.when))

    def settled(self, combination: Combination) -> Parameters | None:
        """Return the group as it is for every scenario of a combination, if it is given."""
        when = True if self.when is None else settle(self.when, combination)
        return None if when is False else replace(self, when=_open(when))


@dataclass(frozen=True)
class Recipe:
    """A recipe to be run now.

    :param when: where it is asked for, besides the rule's condition.
    """

    recipe: str
    when: BaseSpecification | None = None

    def settled(self, combination: Combination) -> Recipe:  # noqa: ARG002  nothing is open
        """Return the recipe as it is for every scenario of a combination."""
        return self

    def invocation(self, scenario: MimasScenario) -> Invocation:
        """Return what is asked for."""
        return MimasRecipeInvocation(scenario.DCID, self.recipe)


@dataclass(frozen=True)
class Job:
    """A processing job to be created.

    :param display: the name that users see.
    :param auto: whether it starts at once: always, never (held), or where a condition holds.
    :param parameters: groups, in order.
    :param triggervariables: for the message that starts it.
    :param when: where it is asked for, besides the rule's condition.
    """

    recipe: str
    display: str
    auto: bool | BaseSpecification = True
    parameters: Sequence[Parameters] = ()
    sweeps: Sweeps = no_sweeps
    triggervariables: tuple[MimasISPyBTriggerVariable, ...] = ()
    when: BaseSpecification | None = None

    def only(self, when: BaseSpecification) -> Job:
        """Return the job, asked for only where a condition holds."""
        return replace(self, when=_both(when, self.when))

    def without(self, group: Parameters) -> Job:
        """Return the job without a group of parameters."""
        return replace(self, parameters=[other for other in self.parameters if other != group])

    def settled(self, combination: Combination) -> Job:
        """Return the job as it is for every scenario of a combination."""
        auto = self.auto if isinstance(self.auto, bool) else settle(self.auto, combination)
        groups = [group.settled(combination) for group in self.parameters]
        return replace(self, auto=auto, parameters=[group for group in groups if group])

    def invocation(self, scenario: MimasScenario) -> Invocation:
        """Return what is asked for. Raises ValueError if the scenario does not allow it."""
        parameters: tuple[MimasISPyBParameter, ...] = ()
        for group in self.parameters:
            if group.when is None or group.when.is_satisfied_by(scenario):
                parameters += group.make(scenario)
        auto = self.auto
        return MimasISPyBJobInvocation(
            scenario.DCID,
            auto if isinstance(auto, bool) else auto.is_satisfied_by(scenario),
            self.recipe,
            "automatic",
            "",
            self.display,
            parameters,
            self.sweeps(scenario),
            self.triggervariables,
        )


@dataclass(frozen=True)
class Rule:
    """A named condition, and what is asked for where it holds: recipes first, then jobs."""

    name: str
    when: BaseSpecification
    recipes: Sequence[str | Recipe] = ()
    jobs: Sequence[Job] = ()

    @property
    def asks(self) -> list[Recipe | Job]:
        """All that the rule may ask for, in order."""
        recipes = [Recipe(ask) if isinstance(ask, str) else ask for ask in self.recipes]
        return [*recipes, *self.jobs]

    def __str__(self) -> str:
        return f"{self.name}: {self.when}"


@dataclass(frozen=True)
class _Step:
    """Something a rule asks for in one combination, and what is still to be decided."""

    rule: str
    when: BaseSpecification | None
    make: Callable[[MimasScenario], Invocation]


class Family:
    """The rules of a family of beamlines: a handler for ``zocalo.mimas.handlers``."""

    def __init__(self, name: str, rules: Sequence[Rule]) -> None:
        names = [rule.name for rule in rules]
        if len(set(names)) < len(names):
            raise ValueError(f"family {name}: two rules of the same name")
        self.name = name
        self.rules = tuple(rules)
        self._steps = functools.lru_cache(maxsize=_REMEMBERED)(self._settle)

    def __call__(
        self,
        scenario: MimasScenario,
        zc: Any = None,  # noqa: ARG002  every handler is offered Zocalo's configuration
    ) -> list[Invocation]:
        """Return what the rules ask for. Raises RuleError if one refuses the scenario."""
        return [task for _, task in self.asked(scenario)]

    def asked(self, scenario: MimasScenario) -> Iterator[tuple[str, Invocation]]:
        """Give what each rule asks for, with the rule's name, in the order of the rules.

        Raises RuleError, naming the rule, if one refuses the scenario.
        """
        for step in self._steps(
            scenario.beamline, scenario.event, scenario.dcclass, scenario.detectorclass
        ):
            try:
                if not (step.when is None or step.when.is_satisfied_by(scenario)):
                    continue
                task = step.make(scenario)
            except Exception as cause:
                raise RuleError(step.rule, cause) from cause
            yield step.rule, task

    def _settle(self, *combination: Any) -> tuple[_Step, ...]:
        return tuple(_steps(self.rules, Combination(*combination)))


def _steps(rules: Sequence[Rule], combination: Combination) -> Iterator[_Step]:
    for rule in rules:
        if settle(rule.when, combination) is False:
            continue
        for ask in rule.asks:
            when = settle(_both(rule.when, ask.when), combination)
            if when is not False:
                yield _Step(rule.name, _open(when), ask.settled(combination).invocation)


def _open(settled: bool | BaseSpecification) -> BaseSpecification | None:
    """Return what is still to be decided of a condition that is not settled as False."""
    return None if isinstance(settled, bool) else settled


def _both(first: BaseSpecification, second: BaseSpecification | None) -> BaseSpecification:
    return first if second is None else first & second
