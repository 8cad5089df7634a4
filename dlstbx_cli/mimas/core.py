"""The plan: what all the rules together ask for, each task once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.mimas.objects import Invocation, MimasScenario
from dlstbx_cli.mimas.registry import NamedHandler, default_handlers


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task of a plan.

    :param rule: the rule that asked for it first (of a site's plain handler: its name).
    :param also: further rules that asked for the identical task.
    :param override: by which override it is as it is, in words; empty: by none.
    """

    task: Invocation
    rule: str
    also: tuple[str, ...] = ()
    override: str = ""


def plan(
    scenario: MimasScenario, zc: Any = None, handlers: Sequence[NamedHandler] | None = None
) -> list[PlannedTask]:
    """Return the tasks that follow from a scenario, in the order of the rules.

    :param zc: Zocalo's configuration, handed to the handlers; or None.
    :param handlers: those of ``load_handlers``; None: all that are installed.

    An empty plan is a normal answer. Raises RuleError if a rule refuses the scenario or
    fails on it, HandlerError if the installed handlers cannot be loaded.
    """
    merged = _Plan()
    for handler in default_handlers() if handlers is None else handlers:
        merged.add(handler.asked(scenario, zc))
    return merged.tasks


def run(scenario: MimasScenario, zc: Any = None) -> list[Invocation]:
    """Return the tasks that follow from a scenario, as ``plan`` does, without their rules."""
    return [planned.task for planned in plan(scenario, zc)]


class _Plan:
    """A plan in the making."""

    def __init__(self) -> None:
        self.tasks: list[PlannedTask] = []
        self._places: dict[str, list[int]] = {}

    def add(self, asked: Iterable[tuple[str, Invocation]]) -> None:
        for rule, task in asked:
            # Only tasks of the same recipe are compared: a task with lists cannot be hashed.
            places = self._places.setdefault(task.recipe, [])
            for place in places:
                if self.tasks[place].task == task:
                    self._ask_again(place, rule)
                    break
            else:
                places.append(len(self.tasks))
                self.tasks.append(PlannedTask(task, rule))

    def _ask_again(self, place: int, rule: str) -> None:
        first = self.tasks[place]
        if rule != first.rule and rule not in first.also:
            self.tasks[place] = PlannedTask(first.task, first.rule, (*first.also, rule))
