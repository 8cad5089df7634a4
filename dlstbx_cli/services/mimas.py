"""Mimas as a service: a scenario's plan, as the messages that carry it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli import mimas
from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.services.dispatcher import RecipeStore, RequestLookup
from dlstbx_cli.services.errors import Misconfigured, Rejected
from dlstbx_cli.services.filling import fill
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.recipe import Wrapped, is_wrapped
from dlstbx_cli.services.scenario import scenario_from

#: Step parameters that go along with every recipe of the plan (per-image triggers).
_PASSED_ALONG = ("filename", "message_index", "number_of_frames", "start_frame_index")

Planner = Callable[[mimas.MimasScenario], Sequence[PlannedTask]]
ScenarioLookup = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario and the tasks that the rules ask for, in order."""

    scenario: mimas.MimasScenario
    tasks: Sequence[PlannedTask]


class MimasService:
    """Turns messages on ``mimas`` into recipe invocations and job invocations.

    :param planner: the rules: a scenario in, its tasks out.
    :param lookup: a DCID in, the scenario parameters of its collection out; for
        requests that name only DCID and event. None: such requests are rejected.
    """

    name = "mimas-plan"
    queue = "mimas"
    topics = ()

    def __init__(self, planner: Planner, lookup: ScenarioLookup | None = None) -> None:
        self._planner = planner
        self._lookup = lookup

    def handle(self, message: Message) -> list[Message]:
        """Return the plan's messages, each noting its rule. Raises Rejected, Unavailable."""
        wrapped, parameters = self._read(message)
        plan = self._plan(parameters)
        along = {key: parameters[key] for key in _PASSED_ALONG if parameters.get(key) is not None}
        event = plan.scenario.event.name
        return [
            result.with_notes({"rule": planned.rule, "event": event})
            for planned in plan.tasks
            for result in _messages(planned.task, wrapped, along)
        ]

    def observe(self, message: Message) -> None:
        """Listen to no topic."""

    def plan(self, message: Message) -> Plan:
        """Return the plan itself, for people. Raises Rejected, Unavailable."""
        return self._plan(self._read(message)[1])

    def _read(self, message: Message) -> tuple[Wrapped | None, Mapping[str, Any]]:
        if is_wrapped(message):
            wrapped = Wrapped.parse(message)
            return wrapped, wrapped.parameters
        body = message.body
        if not isinstance(body, dict):
            raise Rejected("a scenario must be an object with dcid, event, dc_class, beamline ...")
        if "ispyb_dcid" not in body:
            return None, body
        if self._lookup is None:
            raise Rejected("a request for a look-up in ISPyB: only mimas-plan DCID makes these")
        return None, {**self._lookup(body["ispyb_dcid"]), "event": body.get("event")}

    def _plan(self, parameters: Mapping[str, Any]) -> Plan:
        scenario = scenario_from(parameters)
        try:
            return Plan(scenario, self._planner(scenario))
        except ValueError as error:  # a rule that refuses the scenario, or fails, names itself
            raise Rejected(f"DCID {scenario.DCID}: {error}") from None


class RecipeScenarios:
    """The scenario parameters of a collection, as the recipe ``mimas`` has them filled in.

    So the preview and the message that travels through the queues cannot disagree.
    """

    def __init__(self, lookup: RequestLookup, recipes: RecipeStore) -> None:
        self._lookup = lookup
        self._recipes = recipes

    def __call__(self, dcid: Any) -> Mapping[str, Any]:
        """Return the parameters. Raises Rejected, Unavailable, Misconfigured (no such recipe)."""
        request = self._lookup({"recipes": ["mimas"], "parameters": {"ispyb_dcid": dcid}})
        parameters = fill(self._step_parameters(), request["parameters"])
        if not isinstance(parameters, dict):
            raise Misconfigured("the recipe mimas: the parameters of its step are not an object")
        return parameters

    def _step_parameters(self) -> Any:
        try:
            recipe = json.loads(self._recipes("mimas"))
            steps = [step for step in recipe.values() if isinstance(step, dict)]
        except (Rejected, ValueError, AttributeError) as error:
            raise Misconfigured(f"the recipe mimas cannot be used: {error}") from None
        for step in steps:
            if step.get("queue") == MimasService.queue:
                return step.get("parameters", {})
        raise Misconfigured("the recipe mimas has no step on the queue mimas")


def _messages(
    task: mimas.Invocation, wrapped: Wrapped | None, along: Mapping[str, Any]
) -> Sequence[Message]:
    """Return a task's messages: through the recipe's outputs, or simple ones without one."""
    payload = mimas.zocalo_message(task)
    if isinstance(task, mimas.MimasRecipeInvocation):
        payload["parameters"].update(along)
        if wrapped:
            return wrapped.send("dispatcher", payload, default=True)
        return [Message(Queue("processing_recipe"), payload)]
    if wrapped:
        return wrapped.send("ispyb", payload)
    body = {"parameters": {"ispyb_command": "create_ispyb_job"}, "content": payload}
    return [Message(Queue("ispyb_connector"), body)]
