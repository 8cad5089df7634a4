from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dlstbx_cli.services.dispatcher import Dispatcher
from dlstbx_cli.services.errors import NotReady, Rejected
from dlstbx_cli.services.message import Message, Queue

NOW = 1_700_000_000.0
RECIPES = {
    "one": {"1": {"queue": "first", "parameters": {"dcid": "{ispyb_dcid}"}}, "start": [[1, []]]},
    "two": {
        "1": {"queue": "second", "output": 2, "parameters": {"visit": "{ispyb_visit}"}},
        "2": {"queue": "third"},
        "start": [[1, {"x": "{guid}"}]],
    },
    "cyclic": {"1": {"queue": "q", "output": 1}, "start": [[1, []]]},
    "attributes": {"1": {"queue": "q{guid.__class__}"}, "start": [[1, []]]},
    "nowhere": {"1": {"service": "x"}, "start": [[1, []]]},
}


class Database:
    """An ISPyB that knows one collection, and whose run status a test sets."""

    status: str | None = None
    #: What it was told of the last request: when that came.
    arrived: float | None = None

    def __call__(self, request: Mapping[str, Any], arrived: float | None = None) -> dict[str, Any]:
        self.arrived = arrived
        parameters = request["parameters"]
        if "ispyb_process" in parameters:
            return {**request, "recipes": ["one"], "parameters": {**parameters, "ispyb_dcid": 7}}
        if parameters.get("ispyb_dcid") == 404:
            raise Rejected("DCID 404 is not in ISPyB")
        return {**request, "parameters": {**parameters, "ispyb_visit": "cm14451-1"}}

    def run_status(self, dcid: Any) -> str | None:
        return self.status


def recipe_text(name: str) -> str:
    if name not in RECIPES:
        raise Rejected(f"there is no recipe {name!r}")
    return "{" if name == "broken" else json.dumps(RECIPES[name])


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def dispatcher(database: Database) -> Dispatcher:
    return Dispatcher(database, recipe_text, lambda: NOW)


def request(recipes: Any = ("one",), headers: dict[str, str] | None = None, **more: Any) -> Message:
    body = {"recipes": list(recipes), "parameters": {"ispyb_dcid": 7, **more}}
    return Message(Queue("processing_recipe"), body, headers or {"dlstbx-id": "parent"})


def test_a_request_starts_its_recipe(dispatcher: Dispatcher) -> None:
    (started,) = dispatcher.handle(request(guid="my-guid"))
    assert started.destination == Queue("first")
    assert started.body["environment"] == {"ID": "my-guid"}
    assert started.body["recipe-pointer"] == 1
    assert started.body["recipe-path"] == []
    assert started.body["payload"] == []
    assert started.body["recipe"]["1"]["parameters"] == {"dcid": "7"}
    assert started.headers["workflows-recipe"] == "True"


@pytest.mark.parametrize(("wait", "arrived"), [(None, 5.0), (False, 5.0), (True, None)])
def test_what_was_read_since_a_request_came_may_be_used(
    dispatcher: Dispatcher, database: Database, wait: bool | None, arrived: float | None
) -> None:
    database.status = "DataCollection Successful"
    dispatcher.handle(replace(request(ispyb_wait_for_runstatus=wait), arrived=5.0))
    # What was read before there was a run status is not what has been waited for.
    assert database.arrived == arrived


def test_recipes_are_merged_with_the_custom_one_first(dispatcher: Dispatcher) -> None:
    message = request(["one", "two"])
    custom = {"1": {"queue": "mine"}, "start": [[1, "hello"]]}
    message.body["custom_recipe"] = custom
    started = dispatcher.handle(message)
    assert [one.destination.name for one in started] == ["mine", "first", "second"]
    recipe = started[0].body["recipe"]
    assert [one.body["recipe"] for one in started] == [recipe] * 3
    assert sorted(recipe) == ["1", "2", "3", "4", "start"]
    json.dumps(recipe, sort_keys=True)


def test_a_wrapped_request_is_its_payload(dispatcher: Dispatcher) -> None:
    recipe = {"3": {"queue": "processing_recipe"}}
    body = {"recipe": recipe, "recipe-pointer": 3, "payload": request().body, "environment": {}}
    (started,) = dispatcher.handle(Message(Queue("processing_recipe"), body))
    assert started.destination == Queue("first")


def test_a_processing_job_brings_its_recipe(dispatcher: Dispatcher) -> None:
    body = {"parameters": {"ispyb_process": 5}}
    (started,) = dispatcher.handle(Message(Queue("processing_recipe"), body))
    assert started.body["recipe"]["1"]["parameters"] == {"dcid": "7"}


def test_handled_twice_a_message_of_ours_gives_the_same(dispatcher: Dispatcher) -> None:
    assert dispatcher.handle(request()) == dispatcher.handle(request())


def test_sent_twice_a_message_from_elsewhere_is_two_requests(dispatcher: Dispatcher) -> None:
    message = Message(Queue("processing_recipe"), request().body)
    (first,), (second,) = dispatcher.handle(message), dispatcher.handle(message)
    assert first.body["environment"] != second.body["environment"]
    assert first.headers["dlstbx-id"] != second.headers["dlstbx-id"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "must be an object"),
        ("text", "must be an object"),
        ([], "must be an object"),
        ({}, "names no recipe"),
        ({"recipes": []}, "names no recipe"),
        ({"recipes": "one"}, "recipes must be a list"),
        ({"recipes": ["one"], "parameters": []}, "parameters must be an object"),
        ({"recipes": ["one"], "parameters": {"guid": 5}}, "guid must be a text"),
        ({"recipes": [5]}, "not the name of a recipe"),
        ({"recipes": ["../one"]}, "not the name of a recipe"),
        ({"recipes": ["/etc/one"]}, "not the name of a recipe"),
        ({"recipes": ["one\n"]}, "not the name of a recipe"),
        ({"recipes": [""]}, "not the name of a recipe"),
        ({"recipes": ["unknown"]}, "there is no recipe 'unknown'"),
        ({"recipes": ["cyclic"]}, "recipe cyclic is not valid: .*cycle"),
        ({"recipes": ["attributes"]}, "not a field"),
        ({"recipes": ["nowhere"]}, "neither queue nor topic"),
        ({"custom_recipe": []}, "custom_recipe must be an object"),
        ({"custom_recipe": {"x": {}}}, "custom recipe is not valid"),
        ({"custom_recipe": {"1": {}}}, "custom recipe is not valid: .*start"),
        ({"custom_recipe": {"1": 5, "start": [[1, 1]]}}, "custom recipe is not valid"),
        ({"recipes": ["one"], "parameters": {"ispyb_dcid": 404}}, "DCID 404"),
    ],
)
def test_what_cannot_be_started_is_rejected(dispatcher: Dispatcher, body: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        dispatcher.handle(Message(Queue("processing_recipe"), body))


def test_a_request_waits_for_its_run_status(dispatcher: Dispatcher, database: Database) -> None:
    with pytest.raises(NotReady) as caught:
        dispatcher.handle(request(ispyb_wait_for_runstatus="1"))
    assert caught.value.seconds == 2
    again = caught.value.message
    assert again.body["parameters"]["dispatcher_expiration"] == NOW + 120
    assert again.identity == "parent"
    database.status = "DataCollection Successful"
    assert len(dispatcher.handle(again)) == 1


@pytest.mark.parametrize("value", [None, False, 0, "", "0", "false"])
def test_a_wait_that_is_switched_off(dispatcher: Dispatcher, value: Any) -> None:
    assert len(dispatcher.handle(request(ispyb_wait_for_runstatus=value))) == 1


@pytest.mark.parametrize(
    ("more", "ready"),
    [
        ({}, NOW + 120),
        ({"dispatcher_timeout": 5}, NOW + 5),
        ({"dispatcher_timeout": "5"}, NOW + 5),
        ({"dispatcher_expiration": NOW + 1}, NOW + 1),
    ],
)
def test_how_long_a_request_waits(dispatcher: Dispatcher, more: Any, ready: float) -> None:
    with pytest.raises(NotReady) as caught:
        dispatcher.handle(request(ispyb_wait_for_runstatus=1, **more))
    assert caught.value.message.body["parameters"]["dispatcher_expiration"] == ready


def test_after_that_it_is_rejected_or_goes_where_it_says(dispatcher: Dispatcher) -> None:
    over = {"ispyb_wait_for_runstatus": 1, "dispatcher_expiration": NOW}
    with pytest.raises(Rejected, match="DCID 7 still has no run status"):
        dispatcher.handle(request(**over))
    message = request(**over, dispatcher_error_queue="errors")
    (diverted,) = dispatcher.handle(message)
    assert (diverted.destination, diverted.body) == (Queue("errors"), message.body)


@pytest.mark.parametrize(
    "more",
    [
        {"dispatcher_timeout": "soon"},
        {"dispatcher_timeout": -1},
        {"dispatcher_timeout": True},
        {"dispatcher_expiration": []},
        {"dispatcher_expiration": NOW, "dispatcher_error_queue": 5},
        {"dispatcher_expiration": NOW, "dispatcher_error_queue": "a b"},
    ],
)
def test_odd_waiting_parameters_are_rejected(dispatcher: Dispatcher, more: Any) -> None:
    with pytest.raises(Rejected):
        dispatcher.handle(request(ispyb_wait_for_runstatus=1, **more))


def test_a_waiting_wrapped_request_stays_wrapped(dispatcher: Dispatcher) -> None:
    payload = request(ispyb_wait_for_runstatus=1).body
    body = {
        "recipe": {"3": {}},
        "recipe-pointer": 3,
        "payload": payload,
        "environment": {"ID": "x"},
    }
    with pytest.raises(NotReady) as caught:
        dispatcher.handle(Message(Queue("processing_recipe"), body))
    again = caught.value.message.body
    assert again["environment"] == {"ID": "x"}
    assert "dispatcher_expiration" in again["payload"]["parameters"]
