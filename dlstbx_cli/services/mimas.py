"""Mimas as a service: a scenario's plan, as the messages that carry it out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dlstbx_cli import mimas
from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.mimas.errors import RuleError
from dlstbx_cli.mimas.overrides import Override, overridden
from dlstbx_cli.mimas.reasons import Reason
from dlstbx_cli.services.cloud import Cloud, explain_own
from dlstbx_cli.services.cloud_settings import CloudSettings
from dlstbx_cli.services.dispatcher import RecipeStore, RequestLookup
from dlstbx_cli.services.errors import Misconfigured, Rejected
from dlstbx_cli.services.explanation import Explanation, Plan, notes_of
from dlstbx_cli.services.filling import asked, fill
from dlstbx_cli.services.message import RULE_HEADER, Message, Queue
from dlstbx_cli.services.recipe import Wrapped, is_wrapped
from dlstbx_cli.services.scenario import scenario_from
from dlstbx_cli.services.trace import found

logger = logging.getLogger(__name__)

#: Step parameters that go along with every recipe of the plan (per-image triggers).
_PASSED_ALONG = ("filename", "message_index", "number_of_frames", "start_frame_index")

Planner = Callable[[mimas.MimasScenario], Sequence[PlannedTask]]
ScenarioLookup = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Overriding:
    """What may change a plan after the rules have made it.

    :param overrides: those of now; asked for each plan.
    :param clock: gives the time in seconds since the epoch.
    """

    overrides: Callable[[], Iterable[Override]]
    clock: Callable[[], float]


#: Takes down a message's plan: the message, the scenario's parameters, and why.
Recorder = Callable[[Message, Mapping[str, Any], Explanation], None]


class MimasService:
    """Turns messages on ``mimas`` into recipe invocations and job invocations.

    :param planner: the rules: a scenario in, its tasks out.
    :param lookup: a DCID in, the scenario parameters of its collection out; for
        requests that name only DCID and event. None: such requests are rejected.
    :param cloud: makes the cloud offers of scenarios that bring none along. None: nobody.
    :param overriding: what changes the rules' plans for a while. None: nothing.
    :param reasons: why the rules decide as they do: a scenario in, each rule's reason out.
    """

    name = "mimas-plan"
    queue = "mimas"

    def __init__(
        self,
        planner: Planner,
        lookup: ScenarioLookup | None = None,
        cloud: Cloud | None = None,
        overriding: Overriding | None = None,
        reasons: Callable[[mimas.MimasScenario], Sequence[Reason]] = lambda _: (),
    ) -> None:
        self._planner = planner
        self._lookup = lookup
        self._cloud = cloud or Cloud(CloudSettings(), lambda: 0.0)
        self._overriding = overriding
        self._reasons = reasons
        #: Whoever takes down what is planned; None: nobody.
        self.recorder: Recorder | None = None
        #: Says of each plan what overrides have made of it.
        self.teller: Callable[[Plan], None] = tell_overridden

    @property
    def topics(self) -> Sequence[str]:
        """The cluster statistics, if there can be cloud offers."""
        return self._cloud.topics

    def handle(self, message: Message) -> list[Message]:
        """Return the plan's messages, each noting its rule. Raises Rejected, Unavailable."""
        wrapped, parameters = self._read(message)
        plan = self._planned(message, parameters)
        along = {key: parameters[key] for key in _PASSED_ALONG if parameters.get(key) is not None}
        return [
            result.with_headers({RULE_HEADER: planned.rule}).with_notes(
                notes_of(planned, plan.scenario)
            )
            for planned in plan.tasks
            for result in _messages(planned.task, wrapped, along)
        ]

    def observe(self, message: Message) -> None:
        """Take a cluster statistic. Raises Rejected if it is one, but malformed."""
        self._cloud.observe(message.body)

    def plan(self, message: Message) -> Plan:
        """Return the plan itself, for people. Raises Rejected, Unavailable."""
        return self._planned(message, self._read(message)[1])

    def explain(self, message: Message) -> Explanation:
        """Return why the plan is what it is, for people. Raises Rejected, Unavailable."""
        parameters = self._read(message)[1]
        scenario = self._with_offers(scenario_from(parameters))
        return self._recorded(message, scenario, parameters)

    def _planned(self, message: Message, parameters: Mapping[str, Any]) -> Plan:
        scenario = self._with_offers(scenario_from(parameters))
        if self.recorder is None:
            plan = self._plan(scenario)
        else:  # what is written down is what is done, also while overrides change
            explanation = self._recorded(message, scenario, parameters)
            if explanation.refused is not None:
                raise Rejected(explanation.refused)
            plan = explanation.plan
        self.teller(plan)
        return plan

    def _recorded(
        self, message: Message, scenario: mimas.MimasScenario, parameters: Mapping[str, Any]
    ) -> Explanation:
        explanation = self._explain(scenario, parameters)
        if self.recorder is not None:
            offers = list(scenario.cloudbursting or ())
            self.recorder(message, {**parameters, "cloudbursting": offers}, explanation)
        return explanation

    def _explain(self, scenario: mimas.MimasScenario, parameters: Mapping[str, Any]) -> Explanation:
        own = parameters.get("cloudbursting") is not None
        cloud = explain_own(scenario) if own else self._cloud.explain(scenario)
        refused = None
        try:
            plan = self._plan(scenario)
        except Rejected as error:
            plan, refused = Plan(scenario, ()), str(error)
        return Explanation(plan, self._reasons(scenario), cloud, refused)

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

    def _plan(self, scenario: mimas.MimasScenario) -> Plan:
        try:
            tasks = self._planner(scenario)
        except ValueError as error:  # a rule that refuses the scenario, or fails, names itself
            if isinstance(error, RuleError):
                found(rule=error.name)
            raise Rejected(f"DCID {scenario.DCID}: {error}") from None
        if self._overriding is None:
            return Plan(scenario, tasks)
        now = self._overriding.clock()
        return Plan(scenario, *overridden(tasks, scenario, self._overriding.overrides(), now))

    def _with_offers(self, scenario: mimas.MimasScenario) -> mimas.MimasScenario:
        # Offers in the message itself decide: a scenario in a file is planned alike always.
        if scenario.cloudbursting is not None:
            return scenario
        offers = self._cloud.offers()
        return replace(scenario, cloudbursting=offers) if offers else scenario


class ManyLookup(RequestLookup, Protocol):
    """The port to ISPyB that can look up many collections at a time."""

    def several(
        self, requests: Sequence[Mapping[str, Any]], names: Collection[str]
    ) -> Sequence[Mapping[str, Any] | Exception]:
        """Return the parameters of each request, or the error that is for it alone.

        :param names: of the parameters that are wanted.

        Raises Unavailable.
        """


class RecipeScenarios:
    """The scenario parameters of a collection, as the recipe ``mimas`` has them filled in.

    So the preview and the message that travels through the queues cannot disagree.
    """

    def __init__(self, lookup: ManyLookup, recipes: RecipeStore) -> None:
        self._lookup = lookup
        self._recipes = recipes

    def __call__(self, dcid: Any) -> Mapping[str, Any]:
        """Return the parameters. Raises Rejected, Unavailable, Misconfigured (no such recipe)."""
        request = self._lookup(_request(dcid))
        return _filled(self._step_parameters(), request["parameters"])

    def several(self, dcids: Sequence[Any]) -> list[Mapping[str, Any] | Exception]:
        """Return the parameters of many collections, or the error that is for one alone.

        Raises Unavailable, Misconfigured.
        """
        step = self._step_parameters()
        try:
            wanted = asked(step)
        except Rejected as error:  # then no collection can be planned
            return [error] * len(dcids)
        found = self._lookup.several([_request(dcid) for dcid in dcids], wanted)
        return [_attempt(step, parameters) for parameters in found]

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


def _request(dcid: Any) -> Mapping[str, Any]:
    return {"recipes": ["mimas"], "parameters": {"ispyb_dcid": dcid}}


def _attempt(step: Any, parameters: Mapping[str, Any] | Exception) -> Mapping[str, Any] | Exception:
    if isinstance(parameters, Exception):
        return parameters
    try:
        return _filled(step, parameters)
    except Rejected as error:
        return error


def _filled(step: Any, looked_up: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = fill(step, looked_up)
    if not isinstance(parameters, dict):
        raise Misconfigured("the recipe mimas: the parameters of its step are not an object")
    return parameters


def tell_overridden(plan: Plan) -> None:
    """Say what overrides have changed: what is no longer in the plan, nobody sees there."""
    dcid = plan.scenario.DCID
    for planned in plan.dropped:
        extra = {"action": "override", "dcid": dcid, "rule": planned.rule}
        text = "DCID %d: %s is dropped by an override: %s"
        logger.warning(text, dcid, planned.task.recipe, planned.override, extra=extra)
    for planned in plan.tasks:
        if planned.override:
            extra = {"action": "override", "dcid": dcid, "rule": planned.rule}
            text = "DCID %d: %s is changed by an override: %s"
            logger.info(text, dcid, planned.task.recipe, planned.override, extra=extra)


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
