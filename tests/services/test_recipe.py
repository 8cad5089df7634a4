from __future__ import annotations

from typing import Any

import pytest

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.services.recipe import Wrapped, is_wrapped, start

RECIPE: dict[str, Any] = {
    "1": {"queue": "mimas", "output": {"dispatcher": 2, "both": [2, "3"], "nothing": []}},
    "2": {"queue": "processing_recipe", "transport-delay": 2.5, "output": 3},
    "3": {"topic": "news", "queue": "both"},
    "4": {"queue": "end"},
    "start": [[1, []]],
}


def wrapped(pointer: Any = 1, recipe: Any = RECIPE, **more: Any) -> Message:
    body = {"recipe": recipe, "recipe-pointer": pointer, "payload": {"a": 1}, **more}
    return Message(Queue("mimas"), body, {"workflows-recipe": "True"})


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"workflows-recipe": "True"}, {}, True),
        ({"workflows-recipe": "true"}, {}, True),
        ({"workflows-recipe": "1"}, {}, True),
        ({"workflows-recipe": "False"}, {}, False),
        ({}, {"recipe": {}, "recipe-pointer": 1}, True),
        ({}, {"recipe": {}}, False),
        ({}, "text", False),
    ],
)
def test_a_wrapped_message_is_known(headers: dict[str, str], body: Any, expected: bool) -> None:
    assert is_wrapped(Message(Queue("q"), body, headers)) is expected


def test_sending_follows_the_standard() -> None:
    parsed = Wrapped.parse(wrapped(environment={"ID": "guid"}, **{"recipe-path": [7]}))
    first, second, third = parsed.send("both", {"new": True})
    assert [first.destination, second.destination, third.destination] == [
        Queue("processing_recipe"),
        Queue("both"),
        Topic("news"),
    ]
    assert first.delay == 2.5
    assert first.headers == {"workflows-recipe": "True"}
    assert first.body == {
        "environment": {"ID": "guid"},
        "payload": {"new": True},
        "recipe": RECIPE,
        "recipe-path": [7, 1],
        "recipe-pointer": 2,
    }


def test_an_output_without_names_is_the_default_one() -> None:
    parsed = Wrapped.parse(wrapped("2"))
    assert [sent.body["recipe-pointer"] for sent in parsed.send("x", 1, default=True)] == [3, 3]
    with pytest.raises(Rejected, match="no output 'x'"):
        parsed.send("x", 1)


@pytest.mark.parametrize("output", ["nothing", "trigger"])
def test_a_missing_output_is_an_error_not_silence(output: str) -> None:
    with pytest.raises(Rejected, match=f"recipe step 1 has no output '{output}'"):
        Wrapped.parse(wrapped()).send(output, {})


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(Queue("q"), [], {"workflows-recipe": "True"}), "must be an object"),
        (wrapped(recipe=None), "the recipe must be an object, not null"),
        (wrapped(recipe=[1]), "the recipe must be an object, not a list"),
        (wrapped(None), "recipe-pointer must be the number of a step"),
        (wrapped(True), "recipe-pointer"),
        (wrapped("one"), "recipe-pointer"),
        (wrapped("٣"), "recipe-pointer"),
        (wrapped(9), "there is no step 9"),
        (wrapped(recipe={"1": "text"}), "there is no step 1"),
        (wrapped(environment=3), "environment"),
        (wrapped(**{"recipe-path": "x"}), "recipe-path"),
    ],
)
def test_broken_wrappings_name_what_is_wrong(message: Message, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        Wrapped.parse(message)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ({}, "no start"),
        ({"start": []}, "no start"),
        ({"start": [[1]]}, "start must be a list"),
        ({"start": [["x", 1]]}, "start must be the number"),
        ({"start": [[1, 1]]}, "no step 1"),
        ({"start": [[1, 1]], "1": {}}, "neither queue nor topic"),
        ({"start": [[1, 1]], "1": {"queue": 5}}, "queue must be a name"),
        ({"start": [[1, 1]], "1": {"queue": "q", "transport-delay": "x"}}, "transport-delay"),
        ({"start": [[1, 1]], "1": {"queue": "q", "transport-delay": True}}, "transport-delay"),
    ],
)
def test_a_start_that_leads_nowhere_is_refused(recipe: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        start(recipe, {})


def test_starting_sends_each_payload_with_an_empty_path() -> None:
    recipe = {"start": [[1, "a"], ["1", "b"]], "1": {"queue": "q"}}
    sent = start(recipe, {"ID": "guid"})
    assert [(one.body["payload"], one.body["recipe-path"]) for one in sent] == [
        ("a", []),
        ("b", []),
    ]


@pytest.mark.parametrize("parameters", [[], "text", 3])
def test_parameters_are_an_object(parameters: Any) -> None:
    step = {"queue": "q", "parameters": parameters}
    with pytest.raises(Rejected, match="parameters must be an object"):
        Wrapped.parse(wrapped(recipe={"1": step})).parameters  # noqa: B018
