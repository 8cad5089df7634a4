"""Mimas as a service: a scenario's plan, as the messages that carry it out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlstbx_cli import mimas
from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.services.cloud import Cloud, Condition, explain_own
from dlstbx_cli.services.cloud_settings import CloudSettings
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


@dataclass(frozen=True, slots=True)
class Explanation:
    """A scenario, and how everything stands that its plan depends on.

    :param cloud: the conditions of the cloud offers.
    """

    scenario: mimas.MimasScenario
    cloud: Sequence[Condition]

    def records(self) -> list[dict[str, Any]]:
        """Return one object for each condition; ``explain`` says what it is a condition of."""
        of = {"dcid": self.scenario.DCID, "event": self.scenario.event.name}
        return [{"explain": "cloud", **of, **condition.record()} for condition in self.cloud]


class MimasService:
    """Turns messages on ``mimas`` into recipe invocations and job invocations.

    :param planner: the rules: a scenario in, its tasks out.
    :param lookup: a DCID in, the scenario parameters of its collection out; for
        requests that name only DCID and event. None: such requests are rejected.
    :param cloud: makes the cloud offers of scenarios that bring none along. None: nobody.
    """

    name = "mimas-plan"
    queue = "mimas"

    def __init__(
        self,
        planner: Planner,
        lookup: ScenarioLookup | None = None,
        cloud: Cloud | None = None,
    ) -> None:
        self._planner = planner
        self._lookup = lookup
        self._cloud = cloud or Cloud(CloudSettings(), lambda: 0.0)

    @property
    def topics(self) -> Sequence[str]:
        """The cluster statistics, if there can be cloud offers."""
        return self._cloud.topics

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
        """Take a cluster statistic. Raises Rejected if it is one, but malformed."""
        self._cloud.observe(message.body)

    def plan(self, message: Message) -> Plan:
        """Return the plan itself, for people. Raises Rejected, Unavailable."""
        return self._plan(self._read(message)[1])

    def explain(self, message: Message) -> Explanation:
        """Return what the plan depends on, for people. Raises Rejected, Unavailable."""
        parameters = self._read(message)[1]
        scenario = scenario_from(parameters)
        own = scenario.cloudbursting is not None
        return Explanation(
            scenario, explain_own(scenario) if own else self._cloud.explain(scenario)
        )

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
        scenario = self._with_offers(scenario_from(parameters))
        try:
            return Plan(scenario, self._planner(scenario))
        except ValueError as error:  # a rule that refuses the scenario, or fails, names itself
            raise Rejected(f"DCID {scenario.DCID}: {error}") from None

    def _with_offers(self, scenario: mimas.MimasScenario) -> mimas.MimasScenario:
        # Offers in the message itself decide: a scenario in a file is planned alike always.
        if scenario.cloudbursting is not None:
            return scenario
        offers = self._cloud.offers()
        return replace(scenario, cloudbursting=offers) if offers else scenario


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
