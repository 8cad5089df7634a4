"""Wrapped messages: a recipe travelling with its payload from step to step.

The format is that of the package ``workflows`` (``workflows.recipe.wrapper``):
``{"environment", "payload", "recipe", "recipe-path", "recipe-pointer"}``. In JSON the
step numbers are text, the pointer may be text or a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import WRAPPED_HEADER, Message, Queue, Topic

#: What stands before the name of a processing job's recipe in the name of its file.
JOB_PREFIX = "ispyb-"

_TRUE = (True, "True", "true", 1, "1")


def is_wrapped(message: Message) -> bool:
    """Tell whether a message carries a recipe.

    The header ``workflows-recipe`` says so; a RabbitMQ bridge drops a boolean header of an
    AMQP producer, so a body with a recipe and a pointer says so as well.
    """
    if message.headers.get(WRAPPED_HEADER) in _TRUE:
        return True
    body = message.body
    return isinstance(body, dict) and "recipe" in body and "recipe-pointer" in body


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A wrapped message, parsed: the recipe, where in it we are, and the payload."""

    environment: dict[str, Any]
    payload: Any
    recipe: dict[str, Any]
    path: list[Any]
    step: dict[str, Any]
    pointer: int

    @classmethod
    def parse(cls, message: Message) -> Wrapped:
        """Take a wrapped message apart. Raises Rejected, naming what is missing or odd."""
        body = message.body
        if not isinstance(body, dict):
            raise Rejected(f"a wrapped message must be an object, not {_kind(body)}")
        recipe = body.get("recipe")
        if not isinstance(recipe, dict):
            raise Rejected(f"wrapped message: the recipe must be an object, not {_kind(recipe)}")
        pointer = step_number(body.get("recipe-pointer"), "recipe-pointer")
        environment = body.get("environment", {})
        if not isinstance(environment, dict):
            raise Rejected("wrapped message: the environment must be an object")
        path = body.get("recipe-path", [])
        if not isinstance(path, list):
            raise Rejected("wrapped message: the recipe-path must be a list")
        step = find_step(recipe, pointer)
        return cls(environment, body.get("payload"), recipe, path, step, pointer)

    @property
    def parameters(self) -> dict[str, Any]:
        """The step's parameters. Raises Rejected if they are not an object."""
        parameters = self.step.get("parameters")
        if parameters is None:
            return {}
        if not isinstance(parameters, dict):
            raise Rejected(
                f"recipe step {self.pointer}: parameters must be an object, not {_kind(parameters)}"
            )
        return parameters

    def send(self, output: str, payload: Any, *, default: bool = False) -> list[Message]:
        """Return *payload* addressed to every step of an output.

        :param default: an output without names is this one.

        Raises Rejected if the step has no such output: Zocalo's own wrapper drops the
        message silently, which for a processing job is a loss.
        """
        numbers = self.step.get("output")
        if isinstance(numbers, dict):
            numbers = numbers.get(output)
        elif not default:
            numbers = None
        if numbers is None or numbers == [] or isinstance(numbers, dict):
            raise Rejected(f"recipe step {self.pointer} has no output {output!r}")
        path = [*self.path, self.pointer]
        links = numbers if isinstance(numbers, list) else [numbers]
        return [
            message
            for link in links
            for message in _addressed(
                self.recipe, step_number(link, "output"), path, self.environment, payload
            )
        ]


def start(recipe: dict[str, Any], environment: dict[str, Any]) -> list[Message]:
    """Return the messages that start a recipe: each start payload to its step.

    Raises Rejected where the start leads to no step, or a step to no queue or topic.
    """
    links = recipe.get("start")
    if not isinstance(links, list) or not links:
        raise Rejected("the recipe has no start")
    messages: list[Message] = []
    for link in links:
        if not isinstance(link, list | tuple) or len(link) != 2:
            raise Rejected("the recipe's start must be a list of [step, payload]")
        messages += _addressed(recipe, step_number(link[0], "start"), [], environment, link[1])
    return messages


def step_number(value: Any, where: str) -> int:
    """Return a step number that stands as a number or as text. Raises Rejected."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    raise Rejected(f"recipe: {where} must be the number of a step, not {value!r:.60}")


def find_step(recipe: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a step of a recipe whose keys are numbers or text. Raises Rejected."""
    step = recipe.get(str(number), recipe.get(number))  # type: ignore[call-overload]
    if not isinstance(step, dict):
        raise Rejected(f"recipe: there is no step {number}")
    return step


def _addressed(
    recipe: dict[str, Any], number: int, path: list[Any], environment: dict[str, Any], payload: Any
) -> Iterator[Message]:
    step = find_step(recipe, number)
    body = {
        "environment": environment,
        "payload": payload,
        "recipe": recipe,
        "recipe-path": path,
        "recipe-pointer": number,
    }
    delay = step.get("transport-delay", 0)
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay < 1e9:
        raise Rejected(f"recipe step {number}: transport-delay must be seconds, not {delay!r:.60}")
    found = False
    for key, kind in (("queue", Queue), ("topic", Topic)):
        name = step.get(key)
        if not name:
            continue
        if not isinstance(name, str):
            raise Rejected(f"recipe step {number}: {key} must be a name, not {name!r:.60}")
        found = True
        yield Message(kind(name), body, {WRAPPED_HEADER: "True"}, float(delay))
    if not found:
        raise Rejected(f"recipe step {number} has neither queue nor topic")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return names.get(type(value), "null" if value is None else "a number")
