from __future__ import annotations

from typing import Any

import pytest

from dlstbx_cli.services.dead_letters import DeadLetter, Selection
from dlstbx_cli.services.message import Message, Queue, dead_letter

NOW = 1_700_000_000.0


def letter(body: Any = None, reason: str = "no recipe", **headers: str) -> DeadLetter:
    message = Message(Queue("mimas"), body, {"dlstbx-id": "abc-1", "x": "y", **headers})
    return DeadLetter.of(dead_letter(message, "mimas", reason, "mimas-plan", NOW), "dlq.mimas")


def test_what_a_letter_says() -> None:
    one = letter(**{"dlstbx-attempt": "5"})
    assert (one.reason, one.rejected_by, one.rejected_at) == ("no recipe", "mimas-plan", NOW)
    assert (one.attempts, one.age(NOW + 60)) == (5, 60)


@pytest.mark.parametrize(
    "headers", [{}, {"dlstbx-rejected-at": "soon"}, {"dlstbx-attempt": "many"}]
)
def test_a_foreign_letter_says_less(headers: dict[str, str]) -> None:
    one = DeadLetter.of(Message(Queue("dlq.q"), "x", headers), "dlq.q")
    assert (one.rejected_at, one.age(), one.attempts) == (None, None, 1)
    assert one.reason == "no reason given"


def test_it_goes_back_as_it_was_with_its_identity() -> None:
    revived = letter({"a": 1}, **{"dlstbx-attempt": "5"}).revived()
    assert revived == Message(Queue("mimas"), {"a": 1}, {"dlstbx-id": "abc-1", "x": "y"})


@pytest.mark.parametrize(
    ("body", "renewed"),
    [
        (
            {"parameters": {"dispatcher_expiration": 1, "ispyb_dcid": 7}, "recipes": ["a"]},
            {"parameters": {"ispyb_dcid": 7}, "recipes": ["a"]},
        ),
        (
            {"payload": {"parameters": {"dispatcher_expiration": 1}}, "recipe": {}},
            {"payload": {"parameters": {}}, "recipe": {}},
        ),
        ({"parameters": []}, {"parameters": []}),
        ("text", "text"),
        (None, None),
    ],
)
def test_a_deadline_begins_anew(body: Any, renewed: Any) -> None:
    assert letter(body).revived().body == renewed


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(ids=("abc",)), True),
        (Selection(ids=("abc-1",)), True),
        (Selection(ids=("x", "abc-1")), True),
        (Selection(ids=("bc",)), False),
        (Selection(reason="NO REC"), True),
        (Selection(reason="other"), False),
        (Selection(ids=("abc",), reason="other"), False),
        (Selection(everything=True), True),
    ],
)
def test_selection(selection: Selection, taken: bool) -> None:
    assert selection.takes(letter()) is taken
