from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dlstbx_cli.services.held import explain, policy
from dlstbx_cli.services.held.port import Seen
from dlstbx_cli.services.held.values import SETTLING, Held, Limits, Pause, Statistic

NOW = 1_800_000_000.0
LIMITS = Limits({"slurm": 60})


def job(number: int, visit: str = "mx1-1", **more: Any) -> Held:
    return Held(number, "slurm", NOW - 100, more.pop("beamline", "i03"), visit, **more)


def seen(waiting: int | None = 0, age: float = 10, **more: Any) -> Seen:
    statistic = None if waiting is None else Statistic("slurm", waiting, NOW - age)
    return Seen(statistic, more.pop("releases", []), **more)


def pause(kind: str, name: str, left: float = 60) -> Pause:
    return Pause(kind, name, NOW + left, "eve", "detector tests", 1)


JOBS = [job(1), job(2), job(3, "mx2-1", beamline="i04")]


@pytest.mark.parametrize(
    ("held", "known", "limits", "first", "goes", "why"),
    [
        ([], seen(), {}, None, False, "no job is held for it"),
        (JOBS, seen(None), {}, 1, False, "there is no statistic yet"),
        (JOBS, seen(0), {}, 1, True, "there is room: it goes when backlog-release runs next"),
        (JOBS, seen(60), {}, 1, False, "60 jobs wait, its limit is 60"),
        (JOBS, seen(0, age=301), {}, 1, False, "its last statistic is 301 s old (limit 300 s)"),
        (JOBS, seen(0, age=301), {"timeout": 400}, 1, True, None),
        (JOBS, seen(0), {"waiting": {}}, 1, False, "it has no limit configured"),
        (JOBS, seen(58, releases=[NOW - 1] * 2), {}, 1, False,
         "60 jobs wait (2 of them just released), its limit is 60"),
        (JOBS, seen(58, releases=[NOW - 1, NOW - 10 - SETTLING]), {}, 1, True, None),
        (JOBS, seen(60), {"capacity": {"slurm": 1}}, 1, True, None),
        (JOBS, seen(0), {"capacity": {"slurm": 0}}, 1, False, "the capacity given, 0, is used"),
        (JOBS, seen(0), {"weights": {"i04": 1}}, 3, True, None),
        (JOBS, seen(0), {"weights": {"i03": -1}}, 3, True, None),
        (JOBS, seen(0, served={"mx1-1": NOW - 5}), {}, 3, True, None),
        (JOBS, seen(0, pauses=[pause("beamline", "i03")]), {}, 3, True, None),
        (JOBS, seen(0, pauses=[pause("visit", "mx1-1", -1)]), {}, 1, True, None),
        (JOBS[:2], seen(0, pauses=[pause("visit", "mx1-1")]), {}, None, False,
         "all jobs that are held for it are paused"),
    ],
)  # fmt: skip
def test_what_goes_next_and_why(
    held: list[Held],
    known: Seen,
    limits: dict[str, Any],
    first: int | None,
    goes: bool,
    why: str | None,
) -> None:
    limited = replace(LIMITS, **limits)
    outlook = explain.outlook("slurm", held, known, limited, NOW)
    assert (outlook.next.number if outlook.next else None) == first
    assert outlook.goes is goes
    assert why in (None, outlook.why)
    # What is explained is what the policy does.
    free = policy.room("slurm", limited, known.statistic, known.releases, NOW).free
    released = policy.release(held, free, limited, known.pauses, known.served, NOW)
    assert [one.number for one in released][:1] == ([first] if goes else [])


def test_the_numbers_of_a_cluster() -> None:
    known = seen(50, age=12, releases=[NOW - 1], pauses=[pause("visit", "mx2-1")])
    outlook = explain.outlook("slurm", JOBS, known, LIMITS, NOW)
    assert (outlook.held, outlook.paused) == (3, 1)
    room = outlook.room
    assert (room.waiting, room.limit, room.age, room.in_flight, room.free) == (50, 60, 12, 1, 9)


def test_what_each_pause_keeps() -> None:
    pauses = [
        pause("beamline", "i03"),
        pause("visit", "mx2-1"),
        pause("recipe", "x"),
        pause("visit", "mx1-1", -1),
    ]
    assert [one.jobs for one in explain.kept(pauses, JOBS, NOW)] == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("number", "known", "before", "why"),
    [
        (1, seen(0), 0, "there is room on slurm: it goes when backlog-release runs next"),
        (3, seen(58), 1, "there is room on slurm: it goes when backlog-release runs next"),
        (2, seen(58), 2, "cluster slurm has room for 2, and 2 jobs go before it"),
        (3, seen(59), 1, "cluster slurm has room for 1, and 1 job goes before it"),
        (2, seen(60), 2, "cluster slurm: 60 jobs wait, its limit is 60"),
        (2, seen(None), 2, "cluster slurm: there is no statistic yet"),
        (2, seen(0, pauses=[pause("beamline", "i03")]), None,
         "beamline i03 is paused: detector tests"),
        (3, seen(0, pauses=[pause("beamline", "i03")]), 0,
         "there is room on slurm: it goes when backlog-release runs next"),
    ],
)  # fmt: skip
def test_the_place_of_a_job(number: int, known: Seen, before: int | None, why: str) -> None:
    place = explain.place(JOBS[number - 1], JOBS, known, LIMITS, NOW)
    assert (place.before, place.why) == (before, why)
    assert bool(place.pauses) is (before is None)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_several_pauses_the_longest_is_named(count: int) -> None:
    pauses: Sequence[Pause] = [
        replace(pause("visit", "mx1-1", left), reason=f"for {left} s")
        for left in range(10, 10 * count + 1, 10)
    ]
    place = explain.place(JOBS[0], JOBS, seen(0, pauses=pauses), LIMITS, NOW)
    assert place.pauses == tuple(pauses)
    assert place.why.endswith(f"for {10 * count} s")
