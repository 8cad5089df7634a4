"""What a consumer has ended is not done again, and what only seems so is."""

from __future__ import annotations

import pytest

from dlstbx_cli.services.message import ID_HEADER, Message, Queue
from dlstbx_cli.transport.stomp import done
from dlstbx_cli.transport.stomp.done import Done


def message(identity: str | None) -> Message:
    return Message(Queue("q"), {"a": 1}, {ID_HEADER: identity} if identity else {})


def test_a_repeat_is_known() -> None:
    ended = Done()
    ended.add("a", ["b", None])
    assert ended.repeated(message("a"))
    assert not ended.repeated(message("b"))


def test_what_goes_back_to_a_queue_has_not_ended() -> None:
    ended = Done()
    ended.add("a", ["b", "a"])  # postponed, or a dead letter
    assert not ended.repeated(message("a"))


def test_a_message_without_an_identity_is_no_repeat() -> None:
    ended = Done()
    ended.add(message(None).identity, [])
    assert not ended.repeated(message(None))


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(done, "_REMEMBERED", 2)
    ended = Done()
    for identity in "abc":
        ended.add(identity, [])
    assert [ended.repeated(message(identity)) for identity in "abc"] == [False, True, True]
