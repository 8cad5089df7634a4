"""The dispatcher: a request is looked up in ISPyB, its recipe filled in and started.

Source: Zocalo's service ``Dispatcher`` and its filters; where that one dies or drops a
request silently, this one rejects it with the reason.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dlstbx_cli.services.errors import NotReady, Rejected
from dlstbx_cli.services.filling import fill
from dlstbx_cli.services.message import ID_HEADER, Message, Queue, derived_id
from dlstbx_cli.services.recipe import Wrapped, is_wrapped, start
from dlstbx_cli.services.trace import found

#: How long a request waits for its collection's run status, and how often it is looked at, s.
RUN_STATUS_TIMEOUT = 120.0
RUN_STATUS_INTERVAL = 2.0

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_UNSET = (None, False, 0, "", "0", "false", "False")


class RequestLookup(Protocol):
    """The port to ISPyB: what is known about the collection of a request."""

    def __call__(self, request: Mapping[str, Any], arrived: float | None = None) -> dict[str, Any]:
        """Return the request with everything looked up in its parameters.

        :param arrived: when it came to us, ``time.monotonic()``: what was read since then,
            for another request, is as good as read now. None: all is read now.

        Raises Rejected (an unknown id), Unavailable.
        """

    def run_status(self, dcid: Any) -> str | None:
        """Return DataCollection.runStatus. Raises Rejected (unknown DCID), Unavailable."""


class RecipeStore(Protocol):
    """The port to the recipes by name."""

    def __call__(self, name: str) -> str:
        """Return a recipe's JSON text. Raises Rejected (there is none), Unavailable."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A request as it came, and what was made of it.

    :param request: with everything looked up in its parameters.
    :param recipe: merged and filled in.
    """

    guid: str
    headers: Mapping[str, str]
    body: Any
    request: Mapping[str, Any]
    recipe: Mapping[str, Any]


class Dispatcher:
    """Turns requests on ``processing_recipe`` into the start of their recipe.

    :param now: the time in seconds since the epoch.
    :param logbook: told of every request that is dispatched, before its results are sent.
    """

    name = "recipe-dispatch"
    queue = "processing_recipe"
    topics = ()

    def __init__(
        self,
        lookup: RequestLookup,
        recipes: RecipeStore,
        now: Callable[[], float],
        logbook: Callable[[Dispatched], None] | None = None,
    ) -> None:
        self._lookup = lookup
        self._recipes = recipes
        self._now = now
        self._logbook = logbook

    def handle(self, message: Message) -> list[Message]:
        """Return the messages that start the recipe of a request.

        Raises Rejected, NotReady (the collection has no run status yet), Unavailable.
        """
        request = _parse(message)
        parameters = request["parameters"]
        guid = _guid(parameters, message)
        found(recipe_id=guid, guid=guid)
        request["parameters"] = {**parameters, "guid": guid}
        waits = parameters.get("ispyb_wait_for_runstatus") not in _UNSET
        if waits and (diverted := self._wait_for_run_status(message, request)) is not None:
            return [diverted]
        # What was read before there was a run status is not what has been waited for.
        request = self._lookup(request, None if waits else message.arrived)
        recipe = fill(self._recipe(request), request["parameters"])
        # A message from elsewhere without an identity, sent twice on purpose, is two
        # requests: what follows from it takes its identity from the recipe id instead.
        parent = message.identity if ID_HEADER in message.headers else guid
        started = start(recipe, {"ID": guid})
        if self._logbook:
            self._logbook(Dispatched(guid, message.headers, message.body, request, recipe))
        return [result.child(parent, place) for place, result in enumerate(started)]

    def observe(self, message: Message) -> None:
        """Listen to no topic."""

    def _wait_for_run_status(self, message: Message, request: dict[str, Any]) -> Message | None:
        parameters = request["parameters"]
        dcid = parameters.get("ispyb_dcid")
        if dcid in _UNSET or self._lookup.run_status(dcid) is not None:
            return None
        deadline = _number(parameters, "dispatcher_expiration", None)
        timeout = _number(parameters, "dispatcher_timeout", RUN_STATUS_TIMEOUT)
        if deadline is None:
            deadline = self._now() + (timeout or 0.0)
            parameters = {**parameters, "dispatcher_expiration": deadline}
        if self._now() < deadline:
            again = _with_request(message, {**request, "parameters": parameters})
            raise NotReady(again, RUN_STATUS_INTERVAL)
        error_queue = parameters.get("dispatcher_error_queue")
        if error_queue in _UNSET:
            raise Rejected(f"DCID {dcid} still has no run status after {timeout:g} s")
        if not isinstance(error_queue, str) or not _NAME.fullmatch(error_queue):
            raise Rejected(f"dispatcher_error_queue is not the name of a queue: {error_queue!r}")
        return Message(Queue(error_queue), message.body, message.headers)

    def _recipe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the custom recipe and the named ones, merged into one."""
        from workflows.recipe import Recipe

        merged = Recipe()
        custom = request.get("custom_recipe")
        if custom:
            merged = merged.merge(validated(json.dumps(custom), "custom recipe"))
        for name in request.get("recipes") or []:
            merged = merged.merge(recipe_named(name, self._recipes))
        if not merged.recipe:
            raise Rejected("the request names no recipe: neither recipes nor custom_recipe")
        return json_form(merged.recipe)


def recipe_named(name: Any, recipes: RecipeStore) -> Any:
    """Return a recipe of a store, parsed and validated. Raises Rejected, Unavailable."""
    return validated(recipes(_recipe_name(name)), f"recipe {name}")


def json_form(recipe: dict[Any, Any]) -> dict[str, Any]:
    """Return a recipe as it looks in JSON: step numbers as text, start links as lists."""
    form: dict[str, Any] = {str(key): value for key, value in recipe.items()}
    if "start" in form:
        form["start"] = [list(link) for link in form["start"]]
    return form


def validated(text: str, what: str) -> Any:
    """Return a recipe parsed and validated by the standard. Raises Rejected, saying what."""
    import workflows
    from workflows.recipe import Recipe

    try:
        recipe = Recipe(text)
        recipe.validate()
    except (workflows.Error, ValueError, TypeError, AttributeError, LookupError) as error:
        # The library checks the graph, and trips over what is not even a recipe's shape.
        raise Rejected(f"{what} is not valid: {error}") from None
    return recipe


def _parse(message: Message) -> dict[str, Any]:
    body = Wrapped.parse(message).payload if is_wrapped(message) else message.body
    if not isinstance(body, dict):
        raise Rejected("a request must be an object with recipes and parameters")
    for key, kind in (("parameters", dict), ("recipes", list), ("custom_recipe", dict)):
        if body.get(key) is not None and not isinstance(body[key], kind):
            raise Rejected(f"request: {key} must be a{'n object' if kind is dict else ' list'}")
    return {**body, "parameters": body.get("parameters") or {}}


def _with_request(message: Message, request: dict[str, Any]) -> Message:
    if not is_wrapped(message):
        return replace(message, body=request)
    return replace(message, body={**message.body, "payload": request})


def _guid(parameters: Mapping[str, Any], message: Message) -> str:
    guid = parameters.get("guid")
    if guid in (None, ""):
        # Handled again after a crash, a message of ours gives the same recipe id.
        own = message.headers.get(ID_HEADER)
        return derived_id(own, "guid") if own else str(uuid.uuid4())
    if not isinstance(guid, str):
        raise Rejected(f"request: guid must be a text, not {guid!r:.60}")
    return guid


def _recipe_name(name: Any) -> str:
    # The name becomes a file name: nothing in it may lead out of the directory.
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Rejected(
            f"{name!r:.80} is not the name of a recipe: letters, digits, dot, underscore, hyphen"
        )
    return name


def _number(parameters: Mapping[str, Any], key: str, default: float | None) -> float | None:
    value = parameters.get(key)
    if value in (None, ""):
        return default
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0 <= number < 1e12:
        raise Rejected(f"request: {key} must be a number of seconds, not {value!r:.60}")
    return number
