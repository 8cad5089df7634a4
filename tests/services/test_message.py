from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.message import Message, Queue, dead_letter

texts = st.text(st.characters(categories=["L", "N", "Cs"]), min_size=1)


def message(body: Any, **headers: str) -> Message:
    return Message(Queue("q"), body, headers)


def test_an_identity_is_kept() -> None:
    assert message({}, **{"dlstbx-id": "mine"}).identity == "mine"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"environment": {"ID": "x"}}, {"environment": {"ID": "y"}}, False),
        ("text", "text", True),
        (None, 0, False),
    ],
)
def test_a_message_without_one_gets_it_from_its_content(one: Any, other: Any, same: bool) -> None:
    assert (message(one).identity == message(other).identity) is same


@given(texts, st.integers(0, 20), st.integers(0, 20))
def test_a_child_s_identity_follows_from_parent_and_place(
    parent: str, one: int, other: int
) -> None:
    first, second = message({}).child(parent, one), message({}).child(parent, other)
    assert (first.identity == second.identity) is (one == other)
    assert first.identity != parent


def test_a_dead_letter_keeps_body_and_headers() -> None:
    letter = dead_letter(message({"a": 1}, x="y"), "mimas", "no\nway ", "mimas-plan", 1.7e9)
    assert letter.destination == Queue("dlq.mimas")
    assert letter.body == {"a": 1}
    assert letter.headers == {
        "x": "y",
        "dlstbx-id": message({"a": 1}).identity,
        "dlstbx-error": "no way",
        "dlstbx-rejected-by": "mimas-plan",
        "dlstbx-rejected-at": "2023-11-14T22:13:20+00:00",
    }
