"""What a consumer has ended is not done again, and what only seems so is."""

from __future__ import annotations

import pytest

from dlstbx_cli.commands.logs import InHand
from dlstbx_cli.services.message import ID_HEADER, Message, Queue
from dlstbx_cli.transport.stomp import done
from dlstbx_cli.transport.stomp.done import Done, Result


def message(identity: str | None) -> Message:
    return Message(Queue("q"), {"a": 1}, {ID_HEADER: identity} if identity else {})


def test_a_repeat_is_known() -> None:
    ended = Done()
    ended.add("a", [Result("b", "q"), Result(None, "")])
    assert ended.repeated(message("a"))
    assert not ended.repeated(message("b"))


def test_a_repeat_is_said_of_the_message_that_it_is(caplog: pytest.LogCaptureFixture) -> None:
    ended = Done()
    ended.add("a", [])
    caplog.handler.addFilter(in_hand := InHand())
    assert ended.repeated(Message(Queue("q"), {"dcid": 7}, {ID_HEADER: "a"}))
    caplog.handler.removeFilter(in_hand)
    (record,) = caplog.records
    assert (vars(record)["dcid"], vars(record)["id"]) == (7, "a")


def test_what_goes_back_to_a_queue_has_not_ended() -> None:
    ended = Done()
    ended.add("a", [Result("b", "q"), Result("a", "q")])  # postponed, or a dead letter
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


class TestALostConnection:
    """RabbitMQ may lose a queue declared in the seconds before its death, and what is in it."""

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [100.0]
        monkeypatch.setattr(done.time, "monotonic", lambda: now[0])
        return now

    @pytest.mark.parametrize(
        ("results", "seconds", "remembered"),
        [
            ([], 0.0, True),
            ([Result(None, "")], 0.0, True),  # a broadcast is in no queue
            ([Result("b", "young")], 0.0, False),
            ([Result("b", "young")], 2.9, False),
            ([Result("b", "young")], 3.0, True),
            ([Result("b", "other")], 3.0, False),
            ([Result("b", "young"), Result("c", "other")], 3.0, False),
        ],
    )
    def test_what_went_to_a_young_queue_is_forgotten(
        self, clock: list[float], results: list[Result], seconds: float, remembered: bool
    ) -> None:
        ended = Done()
        ended.add("first", [Result("x", "young")])
        clock[0] += seconds
        ended.add("a", results)
        assert ended.repeated(message("a"))
        ended.disconnected()
        assert ended.repeated(message("a")) is remembered
        assert not ended.repeated(message("first"))

    def test_every_queue_is_young_again(self, clock: list[float]) -> None:
        ended = Done()
        ended.add("first", [Result("x", "q")])
        clock[0] += 60
        ended.disconnected()
        ended.add("a", [Result("y", "q")])
        ended.disconnected()
        assert not ended.repeated(message("a"))
