"""Why a plan is what it is, as it is shown to people and written down for later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlstbx_cli import mimas
from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.mimas.reasons import Ask, Decided, Reason
from dlstbx_cli.services.cloud import Condition
from dlstbx_cli.services.planned import OF_JOB


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario and the tasks that follow from it, in order.

    :param dropped: the tasks that the rules ask for, and an override has taken away.
    """

    scenario: mimas.MimasScenario
    tasks: Sequence[PlannedTask]
    dropped: Sequence[PlannedTask] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan, and how everything stands that it depends on.

    :param reasons: of every rule, whether it holds and why.
    :param cloud: the conditions of the cloud offers.
    :param refused: why there is no plan at all; None: there is one.
    """

    plan: Plan
    reasons: Sequence[Reason]
    cloud: Sequence[Condition]
    refused: str | None = None

    @property
    def scenario(self) -> mimas.MimasScenario:
        """What was planned for."""
        return self.plan.scenario

    def origins(self, planned: PlannedTask) -> tuple[str, ...]:
        """Return the origins of a job's parameters, in their order, as far as they are known."""
        for reason in self.reasons:
            if reason.rule == planned.rule:
                for ask in reason.asks:
                    if ask.task is not None and _alike(ask.task, planned.task):
                        return ask.origins
        return ()

    def records(self) -> list[dict[str, Any]]:
        """Return one object for each rule, task and condition; ``explain`` says which it is."""
        scenario = self.scenario
        of = {
            "dcid": scenario.DCID,
            "event": scenario.event.name,
            "beamline": scenario.beamline,
        }
        whole = self.record()
        return [
            {"explain": kind, **of, **record}
            for kind, name in (("rule", "reasons"), ("task", "tasks"), ("task", "dropped"))
            for record in whole[name]
        ] + [{"explain": "cloud", **of, **record} for record in whole["cloud"]]

    def record(self) -> dict[str, Any]:
        """Return all of it as one object."""
        return {
            "reasons": [_of_reason(reason) for reason in self.reasons],
            "tasks": [self._of_task(one, dropped=False) for one in self.plan.tasks],
            "dropped": [self._of_task(one, dropped=True) for one in self.plan.dropped],
            "cloud": [condition.record() for condition in self.cloud],
            "refused": self.refused,
        }

    def _of_task(self, planned: PlannedTask, *, dropped: bool) -> dict[str, Any]:
        task = planned.task
        record: dict[str, Any] = {
            "rule": planned.rule,
            "also": list(planned.also),
            "recipe": task.recipe,
            "kind": kind_of(task),
            "override": planned.override or None,
            "dropped": dropped,
        }
        if isinstance(task, mimas.MimasISPyBJobInvocation):
            origins = self.origins(planned)
            record["parameters"] = [
                {
                    "key": parameter.key,
                    "value": parameter.value,
                    "origin": origins[place] if place < len(origins) else None,
                }
                for place, parameter in enumerate(task.parameters)
            ]
            whole = mimas.zocalo_message(task)
            record |= {key: whole[key] for key in OF_JOB}
        return record


def kind_of(task: mimas.Invocation) -> str:
    """Return what becomes of a task: ``run`` a recipe, ``start`` a job or ``hold`` it."""
    if isinstance(task, mimas.MimasRecipeInvocation):
        return "run"
    return "start" if task.autostart else "hold"


def notes_of(planned: PlannedTask, scenario: mimas.MimasScenario) -> Mapping[str, Any]:
    """Return what a message of the plan notes about where it comes from."""
    notes = {
        "rule": planned.rule,
        "event": scenario.event.name,
        "beamline": scenario.beamline,
    }
    return {**notes, "override": planned.override} if planned.override else notes


def _alike(first: mimas.Invocation, second: mimas.Invocation) -> bool:
    """Tell whether two tasks are the same, but for what an override can have changed."""
    if isinstance(first, mimas.MimasISPyBJobInvocation) and isinstance(
        second, mimas.MimasISPyBJobInvocation
    ):
        first = replace(first, autostart=second.autostart)
    return first == second


def _of_reason(reason: Reason) -> dict[str, Any]:
    return {
        "rule": reason.rule,
        "family": reason.family,
        "holds": reason.holds,
        "decided": [_of_decided(one) for one in reason.decided],
        "asks": [_of_ask(ask) for ask in reason.asks],
        "refused": reason.refused,
    }


def _of_ask(ask: Ask) -> dict[str, Any]:
    return {
        "recipe": ask.recipe,
        "holds": ask.holds,
        "decided": [_of_decided(one) for one in ask.decided],
    }


def _of_decided(decided: Decided) -> dict[str, Any]:
    return {"condition": decided.condition, "holds": decided.holds, "saw": decided.saw or None}
