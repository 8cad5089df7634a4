"""Messages that are not due yet, in one consumer's hand."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import pytest
from freezegun import freeze_time

from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.transport.stomp import delays
from dlstbx_cli.transport.stomp.delays import Waiting, due_at, restored, sent_on
from dlstbx_cli.transport.stomp.publisher import DELAYED, _postponed

NOW = 1_700_000_000.0


def frozen(test: Callable[..., None]) -> Callable[..., None]:
    """Give a test a clock that stands still; pytest's own goes on around it."""

    @functools.wraps(test)
    def at_that_time(*args: Any, **given: Any) -> None:
        with freeze_time("2023-11-14 22:13:20") as clock:
            assert time.time() == NOW
            test(clock, *args, **given)

    signature = inspect.signature(test)
    others = [one for one in signature.parameters.values() if one.name != "clock"]
    at_that_time.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return at_that_time


def later(body: Any, seconds: float, queue: str = "q", **headers: str) -> Message:
    return _postponed(Message(Queue(queue), body, headers, delay=seconds))


def due(waiting: Waiting) -> list[Any]:
    found = []
    while (one := waiting.due()) is not None:
        found.append((one[0], one[1].body, one[1].destination.name))
    return found


@frozen
def test_what_is_sent_of_a_message_with_a_delay(clock: Any) -> None:
    sent = later(1, 5, h="x")
    assert sent.destination == Queue(DELAYED)
    assert sent.headers == {"h": "x", "dlstbx-due": f"{NOW + 5:.3f}", "dlstbx-for": "q"}
    assert sent.delay == 0
    assert due_at(sent) == NOW + 5
    for at_once in (Message(Queue("q"), 1), Message(Topic("t"), 1, delay=5)):
        assert _postponed(at_once) is at_once


@frozen
def test_each_comes_due_in_its_time(clock: Any) -> None:
    waiting = Waiting()
    assert waiting.next_at() == float("inf")
    for number, seconds in enumerate([3, 1, 2, 1]):
        waiting.add(number, later(number, seconds, f"q{number}"))
    assert len(waiting) == 4
    assert waiting.next_at() == NOW + 1
    assert due(waiting) == []
    clock.tick(0.999)
    assert due(waiting) == []
    clock.tick(0.001)
    assert due(waiting) == [(1, 1, "q1"), (3, 3, "q3")]
    clock.tick(10)
    assert due(waiting) == [(2, 2, "q2"), (0, 0, "q0")]
    waiting.add(9, later(9, 1))
    waiting.clear()
    clock.tick(10)
    assert due(waiting) == []


@frozen
def test_it_goes_on_as_it_was_sent(clock: Any) -> None:
    sent = later({"a": 1}, 5, **{"dlstbx-id": "i"})
    clock.tick(5)
    assert sent_on(sent) == Message(Queue("q"), {"a": 1}, {"dlstbx-id": "i"})
    assert restored(sent).headers == {"dlstbx-id": "i"}


@frozen
def test_none_stays_in_hand_for_long(clock: Any) -> None:
    """It goes to the end of the queue and keeps its time, its queue and its identity."""
    waiting, message = Waiting(), later("x", 1000)
    waiting.add(1, message)
    assert waiting.next_at() == NOW + delays.LONGEST
    clock.tick(delays.LONGEST)
    assert waiting.due() == (1, message)
    for _ in range(8):
        waiting.add(2, message)
        clock.tick(delays.LONGEST)
        (_, again) = waiting.due() or (0, None)
    assert again == restored(message).__class__(Queue("q"), "x")
    assert time.time() - NOW < 1000 + delays.LONGEST


@frozen
def test_a_full_hand_lets_go_soon(clock: Any) -> None:
    waiting = Waiting()
    for number in range(delays.WINDOW):
        waiting.add(number, later(number, 1000))
    assert waiting.next_at() == NOW + 5
    clock.tick(5)
    assert due(waiting) == [(delays.WINDOW - 1, delays.WINDOW - 1, DELAYED)]


@pytest.mark.parametrize("when", ["", "x", "nan", "inf", "-inf", "1e999", "0", "-5", None])
@frozen
def test_a_time_that_is_none_is_now(clock: Any, when: str | None) -> None:
    headers = {"dlstbx-for": "q"} | ({} if when is None else {"dlstbx-due": when})
    message = Message(Queue(DELAYED), 1, headers)
    assert due_at(message) <= 0
    assert sent_on(message).destination == Queue("q")


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "*", "x" * 300, None])
@frozen
def test_what_is_for_no_queue_is_a_dead_letter(clock: Any, name: str | None) -> None:
    headers = {"dlstbx-due": "0", "dlstbx-id": "i"} | ({} if name is None else {"dlstbx-for": name})
    letter = sent_on(Message(Queue(DELAYED), 1, headers))
    assert letter.destination == Queue(f"dlq.{DELAYED}")
    assert letter.headers["dlstbx-error"] == "the header dlstbx-for names no queue"
    assert (letter.body, letter.identity) == (1, "i")
