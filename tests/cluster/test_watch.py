"""Asking clusters again and again: each for itself, with back-off, until told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from dlstbx_cli.cluster import watch as module
from dlstbx_cli.cluster.monitor import listen, once
from dlstbx_cli.cluster.watch import LONGEST_WAIT, Watch, wait_after
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.held.values import TIMEOUT
from dlstbx_cli.services.message import Message

AWAY = Unavailable("away")
WRONG = Misconfigured("wrong")


class Source:
    """A cluster that answers by a list, the last of it again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.closed = threading.Event()

    def states(self) -> list[str]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer == "hangs":
            self.closed.wait()
            raise Unavailable("closed")
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def watched() -> Iterator[Callable[..., Watch]]:
    """A function from sources to a watch of theirs."""
    made: list[Watch] = []

    def make(timeout: float = 5, **sources: Source) -> Watch:
        made.append(Watch(sources, timeout))
        return made[-1]

    yield make
    for watch in made:
        watch.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a source that hangs be given up at once."""
    monkeypatch.setattr(module, "_GRACE", 0.0)


class Sink:
    """Takes statistics, and says when it has had so many."""

    def __init__(self, enough: int, error: Exception | None = None) -> None:
        self.messages: list[Message] = []
        self.enough = enough
        self.error = error
        self.calls = 0

    def __call__(self, messages: Sequence[Message]) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.messages += messages

    def full(self) -> bool:
        return max(len(self.messages), self.calls) >= self.enough

    def seen(self) -> set[tuple[str, int]]:
        bodies = [message.body for message in self.messages]
        return {(body["statistic-cluster"], body["PENDING"]) for body in bodies}


def never() -> bool:
    return False


def test_once_every_cluster_is_asked(watched: Any) -> None:
    sink = Sink(2)
    before = time.time()
    assert once(watched(a=Source(["PENDING"]), b=Source([])), sink, never) == []
    assert sink.seen() == {("a", 1), ("b", 0)}
    assert all(before <= m.body["statistic-timestamp"] <= time.time() for m in sink.messages)


def test_once_the_failures_of_some_do_not_stop_the_others(watched: Any, quick: None) -> None:
    sources = {
        "a": Source(AWAY),
        "b": Source(WRONG),
        "c": Source(["PENDING"]),
        "d": Source("hangs"),
    }
    sources["e"] = Source(ZeroDivisionError("a bug"))
    sink = Sink(1)
    begin = time.monotonic()
    failures = once(watched(timeout=0.5, **sources), sink, never)
    assert time.monotonic() - begin < 3
    assert sink.seen() == {("c", 1)}
    said = {str(failure): isinstance(failure, Misconfigured) for failure in failures}
    assert said == {
        "cluster a: away": False,
        "cluster b: wrong": True,
        "cluster d: d does not answer within 0.5 s": False,
        "cluster e: internal error: ZeroDivisionError: a bug": False,
    }


def test_once_ends_when_it_is_told_to(watched: Any) -> None:
    sink = Sink(1)
    failures = once(watched(a=Source("hangs"), b=Source([])), sink, sink.full)
    assert [str(failure) for failure in failures] == ["cluster a: stopped before it answered"]


def test_listening_goes_on(watched: Any) -> None:
    source, sink = Source(["PENDING"], []), Sink(4)
    listen(watched(a=source), sink, 0.05, sink.full)
    assert sink.seen() == {("a", 1), ("a", 0)}
    times = [message.body["statistic-timestamp"] for message in sink.messages]
    assert times == sorted(times)


def test_listening_one_that_fails_does_not_stop_the_others(
    watched: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sources = {"a": Source(AWAY), "b": Source([]), "c": Source(WRONG), "d": Source("hangs")}
    sink = Sink(5)
    with caplog.at_level(logging.WARNING, "dlstbx_cli"):
        listen(watched(**sources), sink, 0.05, sink.full)
    assert sink.seen() == {("b", 0)}
    warnings = [(one.cluster, one.action) for one in caplog.records]
    assert ("a", "wait") in warnings
    assert ("c", "wait") in warnings
    assert "cluster a: away; trying again in 0.05 s" in caplog.messages
    # The one that fails is asked less and less often.
    assert sources["a"].asked < sources["b"].asked
    assert sources["d"].asked == 1


def test_listening_one_that_comes_back(watched: Any) -> None:
    sink = Sink(1)
    listen(watched(a=Source(AWAY, WRONG, AWAY, ["PENDING"])), sink, 0.02, sink.full)
    assert sink.seen() == {("a", 1)}


def test_a_broker_that_is_away_is_waited_for(
    watched: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Sink(3, AWAY)
    with caplog.at_level(logging.WARNING, "dlstbx_cli"):
        listen(watched(a=Source([])), sink, 0.02, sink.full)
    assert set(caplog.messages) == {"away; the next statistic comes in 0.02 s"}


def test_a_broker_that_is_configured_wrongly_ends_it(watched: Any) -> None:
    with pytest.raises(Misconfigured, match="wrong"):
        listen(watched(a=Source([])), Sink(9, WRONG), 0.02, never)


def test_no_cluster_at_all_can_be_asked(watched: Any) -> None:
    sources = {"a": Source(WRONG), "b": Source(WRONG)}
    with pytest.raises(Misconfigured, match=r"cluster [ab]: wrong"):
        listen(watched(**sources), Sink(1), 0.02, never)


def test_a_cluster_may_become_wrong_later(watched: Any) -> None:
    source, sink = Source([], WRONG, WRONG, []), Sink(2)
    listen(watched(a=source), sink, 0.02, sink.full)
    assert source.asked >= 4


def test_a_watch_that_is_closed_asks_no_more(watched: Any) -> None:
    source = Source([])
    watch = watched(a=source)
    next(watch.for_ever(0.02, never))
    watch.close()
    time.sleep(0.1)  # for the one look that may be under way
    asked = source.asked
    time.sleep(0.3)
    assert source.asked == asked


def test_only_the_last_of_each_is_sent_after_a_pause(watched: Any) -> None:
    watch = watched(a=Source(["PENDING"], []), b=Source([]))
    looks = watch.for_ever(0.02, never)
    first = next(looks)
    time.sleep(0.5)
    later = next(looks)
    assert len(first) <= 2
    assert sorted(look.cluster for look in later) == ["a", "b"]
    assert all(look.states == [] for look in later)


@pytest.mark.parametrize(
    ("failures", "interval", "expected"),
    [
        (0, 30, 30),
        (1, 30, 30),
        (2, 30, 60),
        (3, 30, LONGEST_WAIT),
        (100_000, 30, LONGEST_WAIT),
        (100_000, 0.001, LONGEST_WAIT),
        (1, 600, 600),
        (9, 600, 600),
    ],
)
def test_waits(failures: int, interval: float, expected: float) -> None:
    assert wait_after(failures, interval) == expected


def test_the_longest_wait_leaves_the_backlog_its_statistic() -> None:
    assert LONGEST_WAIT < TIMEOUT / 2
