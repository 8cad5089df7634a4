"""What log records say of the message in hand."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.trace import FIELDS, about, found, in_any_hand, in_hand, trace

SEVEN = Message(Queue("q"), {"dcid": 7})
EIGHT = Message(Queue("q"), {"dcid": 8})


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (None, {}),
        ({"parameters": {"ispyb_dcid": 7, "guid": "g"}}, {"dcid": 7, "recipe_id": "g"}),
        ({"parameters": {"ispyb_dcid": [7], "guid": {}}}, {}),
        ({"dcid": 7}, {"dcid": 7}),
        ({"dcid": "7"}, {"dcid": 7}),
        ({"dcid": "x7"}, {"dcid": "x7"}),
        ({"dcid": True}, {}),
        (
            {
                "environment": {"ID": "e"},
                "recipe": {"1": {"parameters": {"dcid": 8}}},
                "recipe-pointer": 1,
            },
            {"dcid": 8, "recipe_id": "e"},
        ),
        ({"environment": {"ID": "e"}, "payload": {"DCID": 9}}, {"dcid": 9, "recipe_id": "e"}),
        ({"environment": [], "payload": 1, "recipe": {"1": 2}, "recipe-pointer": "1"}, {}),
        ({"recipes": ["a", "b"], "parameters": {}}, {"recipe": "a, b"}),
        ({"recipes": []}, {}),
        ({"content": {"recipe": "x", "DCID": 7}}, {"recipe": "x", "dcid": 7}),
        ({"payload": {"recipe": "x", "DCID": 7}, "recipe": {}}, {"recipe": "x", "dcid": 7}),
        ({"dcid": "9" * 500}, {"dcid": "9" * 200}),
    ],
)
def test_what_a_message_says(body: Any, known: dict[str, Any]) -> None:
    if "recipe_id" in known:
        known = {**known, "guid": known["recipe_id"]}
    assert trace(Message(Queue("q"), body)) == known
    assert known.keys() <= set(FIELDS)


def test_what_stands_beside_the_body() -> None:
    headers = {"dlstbx-dcid": "5", "dlstbx-recipe": "x", "dlstbx-id": "i"}
    message = Message(Queue("mimas.held"), {"payload": {}}, headers, notes={"rule": "r"})
    assert trace(message) == {"dcid": 5, "recipe": "x", "id": "i", "rule": "r"}


def test_what_is_in_hand() -> None:
    assert in_hand() == in_any_hand() == {}
    with about(SEVEN, place="line 1"):
        found(rule="r")
        assert in_hand() == in_any_hand() == {"dcid": 7, "place": "line 1", "rule": "r"}
        with about(EIGHT):
            assert in_hand() == {"dcid": 8}
        with about(None, dcid=9):
            assert in_hand() == in_any_hand() == {"dcid": 9}
        assert in_hand()["dcid"] == 7
    found(rule="nobody's")
    assert in_hand() == in_any_hand() == {}


def test_it_is_out_of_hand_whatever_happens() -> None:
    with pytest.raises(KeyError), about(SEVEN):
        raise KeyError
    assert in_hand() == in_any_hand() == {}


def test_threads_have_a_message_each() -> None:
    seen: list[Any] = []
    with about(SEVEN):
        thread = threading.Thread(target=lambda: seen.extend([in_hand(), in_any_hand()]))
        thread.start()
        thread.join()
        # Work that is done for this message elsewhere is about it as well.
        assert Bounded().run("here", 5, in_hand) == {"dcid": 7}
    assert seen == [{}, {"dcid": 7}]
