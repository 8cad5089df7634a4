"""The memory of one second behind the look-ups."""

from __future__ import annotations

import time
from typing import Any

import pytest
from freezegun import freeze_time

from dlstbx_cli.database import recent
from dlstbx_cli.database.recent import KEPT, Recent, once


class Reads:
    """Something that is read: how many times, it says."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        return self.count


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [(None, 2), (-1.0, 1), (0.0, 1), (0.4, 2)],
    ids=["not known", "before it was read", "at that time", "after it"],
)
def test_what_is_used_again(arrived: float | None, expected: int) -> None:
    with freeze_time(tick=False) as clock:
        memory, reads, begin = Recent(), Reads(), time.monotonic()
        memory.since(begin)("key", reads)
        clock.tick(0.5)
        at = None if arrived is None else begin + arrived
        assert memory.since(at)("key", reads) == expected


def test_the_time_counts_at_which_the_look_up_begins() -> None:
    with freeze_time(tick=False) as clock:
        memory, begin = Recent(), time.monotonic()
        recall = memory.since(begin)
        clock.tick(0.3)
        recall("key", lambda: "what stood there at the beginning")
        assert memory.since(begin + 0.2)("key", lambda: "new") == "new"
        assert memory.since(begin + 0.2)("key", lambda: "newer") == "new"


def test_nothing_is_kept_for_long() -> None:
    with freeze_time(tick=False) as clock:
        memory, reads, begin = Recent(), Reads(), time.monotonic()
        memory.since(begin)("key", reads)
        clock.tick(KEPT + 0.01)
        assert memory.since(begin)("key", reads) == 2


def test_nothing_is_kept_of_what_failed() -> None:
    memory, begin = Recent(), time.monotonic()

    def fails() -> Any:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  it is the one above
        memory.since(begin)("key", fails)
    assert memory.since(begin)("key", Reads()) == 1


def test_not_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST", 10)
    memory, first = Recent(), Reads()
    memory.since(0.0)("first", first)
    for number in range(20):
        memory.since(0.0)(number, Reads())
    last = Reads()
    assert memory.since(0.0)(19, last) == 1
    assert last.count == 0
    assert memory.since(0.0)("first", first) == 2


def test_once_for_a_piece_of_work() -> None:
    recall, reads = once(), Reads()
    assert [recall("key", reads), recall("key", reads), recall("other", reads)] == [1, 1, 2]
    assert once()("key", reads) == 3
