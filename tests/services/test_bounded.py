"""Work that hangs: a real one waits for an event that a test sets in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.errors import Stuck, Unavailable

#: What may hang by other tests' doing.
_others: set[threading.Thread] = set()


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Let all work end that hangs."""
    event = threading.Event()
    _others.clear()
    _others.update(threading.enumerate())
    yield event
    event.set()


def settled(number: int) -> bool:
    """Tell whether soon no more than so many threads hang."""
    deadline = time.monotonic() + 5
    while hanging() > number and time.monotonic() < deadline:
        time.sleep(0.01)
    return hanging() == number


def stuck(bounded: Bounded, place: str, work: Callable[[], object], seconds: float = 0.05) -> str:
    with pytest.raises(Stuck) as caught:
        bounded.run(place, seconds, work)
    return str(caught.value)


def hanging() -> int:
    ours = set(threading.enumerate()) - _others
    return sum(thread.name.startswith("bounded") for thread in ours)


def test_work_that_ends_in_time() -> None:
    bounded = Bounded()
    assert [bounded.run("a", 5, lambda: 1) for _ in range(20)] == [1] * 20
    with pytest.raises(KeyError, match="b"):
        bounded.run("a", 5, lambda: {}["b"])


def test_work_that_hangs_is_left_behind(release: threading.Event) -> None:
    bounded = Bounded()
    begin = time.monotonic()
    assert stuck(bounded, "/a", release.wait) == "/a does not answer within 0.05 s"
    assert time.monotonic() - begin < 1
    assert bounded.run("/b", 5, lambda: 1) == 1


def test_a_place_that_hangs_is_not_tried_again_before_it_answers(release: threading.Event) -> None:
    bounded = Bounded()
    stuck(bounded, "/a", release.wait)
    begin = time.monotonic()
    assert stuck(bounded, "/a", lambda: 1, seconds=5) == "/a still does not answer"
    assert time.monotonic() - begin < 1
    assert hanging() == 1
    release.set()
    assert settled(0)
    assert bounded.run("/a", 5, lambda: 1) == 1


def test_no_more_threads_hang_than_are_allowed(release: threading.Event) -> None:
    bounded = Bounded(threads=3)
    for place in ("/a", "/b", "/c"):
        stuck(bounded, place, release.wait)
    assert stuck(bounded, "/d", lambda: 1) == "/d is not looked at: 3 other places hang"
    assert hanging() == 3


def test_for_whoever_cannot_go_on_it_is_as_any_other_failure() -> None:
    assert issubclass(Stuck, Unavailable)
