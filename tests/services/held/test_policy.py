"""The policy of the backlog, by tables and by what must always hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.held import policy
from dlstbx_cli.services.held.values import LIMITS, SETTLING, Held, Limits, Pause, Statistic
from tests.effort import effort

NOW = 1_700_000_000.0
#: The usual limits: slurm 60, iris 3000, 300 seconds.
USUAL = Limits()


def jobs(text: str) -> list[Held]:
    """Return jobs ``visit`` or ``visit/recipe/beamline``, numbered as they stand."""
    found = []
    for number, word in enumerate(text.split()):
        visit, recipe, beamline, *_ = f"{word}//".split("/")
        found.append(Held(number, "slurm", NOW, beamline, visit, recipe))
    return found


def numbers(found: Sequence[Held]) -> list[int]:
    return [job.number for job in found]


def pause(kind: str, name: str, until: float = NOW + 1) -> Pause:
    return Pause(kind, name, until, "somebody", "because")


def release(
    held: Sequence[Held],
    free: int = 1000,
    weights: dict[str, int] | None = None,
    pauses: Sequence[Pause] = (),
    served: dict[str, float] | None = None,
) -> list[Held]:
    return policy.release(held, free, Limits(weights=weights or {}), pauses, served or {}, NOW)


def statistic(waiting: int, age: float = 0) -> Statistic:
    return Statistic("slurm", waiting, NOW - age)


@pytest.mark.parametrize(
    ("limits", "last", "releases", "free", "refusal"),
    [
        (USUAL, None, [], 0, "there is no statistic yet"),
        (USUAL, statistic(0), [], 60, None),
        (USUAL, statistic(58), [], 2, None),
        (USUAL, statistic(60), [], 0, "60 jobs wait, its limit is 60"),
        (USUAL, statistic(500), [], 0, "500 jobs wait, its limit is 60"),
        (Limits({}), statistic(0), [], 0, "it has no limit configured"),
        (Limits({"slurm": 0}), statistic(0), [], 0, "0 jobs wait, its limit is 0"),
        # How old a statistic may be.
        (USUAL, statistic(0, 300), [], 60, None),
        (USUAL, statistic(0, 301), [], 0, "its last statistic is 301 s old (limit 300 s)"),
        (Limits(timeout=10), statistic(0, 11), [], 0, "its last statistic is 11 s old"),
        (USUAL, statistic(0, 1e9), [], 0, "its last statistic is 1000000000 s old"),
        # A release counts until a statistic can show it.
        (USUAL, statistic(50), [NOW - 1, NOW - 59], 8, None),
        (USUAL, statistic(50), [NOW - SETTLING], 10, None),
        (USUAL, statistic(58), [NOW - 1, NOW - 59], 0, "60 jobs wait"),
        (USUAL, statistic(50, 100), [NOW - 150, NOW - 160, NOW - 161], 9, None),
        (USUAL, None, [NOW - 1], 0, "there is no statistic yet"),
        # The clock of whoever sends the statistics is ahead of ours.
        (USUAL, statistic(50, -100), [NOW - 1, NOW - 59], 8, None),
        (USUAL, statistic(0, -300), [], 60, None),
        (USUAL, statistic(0, -301), [], 0, "dated 301 s after now: a clock is wrong"),
        (USUAL, Statistic("slurm", 0, 1000 * NOW), [], 0, "a clock is wrong"),  # milliseconds
    ],
)
def test_room(
    limits: Limits,
    last: Statistic | None,
    releases: list[float],
    free: int,
    refusal: str | None,
) -> None:
    room = policy.room("slurm", limits, last, releases, NOW)
    assert room.free == free
    assert (room.refusal is None) == (free > 0)
    assert refusal is None or refusal in str(room.refusal)


@pytest.mark.parametrize(
    ("capacity", "spent", "free"), [(4, 0, 4), (4, 3, 1), (4, 4, 0), (4, 5, 0), (0, 0, 0)]
)
@pytest.mark.parametrize("last", [None, statistic(500), statistic(0, 9999)])
def test_a_capacity_stands_in_for_statistics(
    capacity: int, spent: int, free: int, last: Statistic | None
) -> None:
    limits = Limits(capacity={"slurm": capacity})
    room = policy.room("slurm", limits, last, [NOW] * spent, NOW, spent)
    assert room.free == free
    assert room.refusal == (None if free else f"the capacity given, {capacity}, is used")


def test_what_room_says_beside_the_number() -> None:
    room = policy.room("iris", USUAL, Statistic("iris", 7, NOW - 9), [NOW - 1, NOW - 90], NOW)
    assert room == policy.Room(LIMITS["iris"] - 8, None, 7, LIMITS["iris"], 9, 1)


@given(
    limit=st.integers(0, 100),
    waiting=st.integers(0, 200),
    age=st.floats(-1000, 1000),
    ages=st.lists(st.floats(0, 200), max_size=100),
)
def test_room_is_never_more_than_the_limit_leaves(
    limit: int, waiting: int, age: float, ages: list[float]
) -> None:
    last = Statistic("slurm", waiting, NOW - age)
    room = policy.room("slurm", Limits({"slurm": limit}), last, [NOW - one for one in ages], NOW)
    lately = sum(1 for one in ages if one < SETTLING)
    assert 0 <= room.free <= max(0, limit - waiting - lately)


@pytest.mark.parametrize(
    ("held", "options", "order"),
    [
        ("", {}, []),
        ("a a a", {}, [0, 1, 2]),
        ("a a a b", {}, [0, 3, 1, 2]),
        ("a a b b c", {}, [0, 2, 4, 1, 3]),
        ("b a a", {}, [0, 1, 2]),  # by their numbers, not their names
        # Who has waited longest for a job of his begins.
        ("a a b b", {"served": {"a": NOW}}, [2, 0, 3, 1]),
        ("a b c", {"served": {"a": 3, "b": 2, "c": 1}}, [2, 1, 0]),
        ("a b c", {"served": {"a": 3, "b": 3, "x": 1}}, [2, 0, 1]),
        # Priorities: those of beamline, visit and recipe add up.
        ("a a/quick a", {"weights": {"quick": 1}}, [1, 0, 2]),
        ("a/slow a", {"weights": {"slow": -1}}, [1, 0]),
        ("a b c//i03", {"weights": {"b": 2, "i03": 3}}, [2, 1, 0]),
        ("a/r a//i03 a/r/i03", {"weights": {"r": 1, "i03": 1}}, [2, 0, 1]),
        ("a b", {"weights": {"": 9, "x": 9}}, [0, 1]),
        # Whom a higher rank has served comes last in the next, in the same order.
        ("a a/q b", {"weights": {"q": 1}}, [1, 2, 0]),
        ("a b c a/q b/q", {"weights": {"q": 1}}, [3, 4, 2, 0, 1]),
        ("b a a/q b/q", {"weights": {"q": 1}}, [2, 3, 1, 0]),
        ("b a a/q a/q b/q b/q", {"weights": {"q": 1}}, [2, 4, 3, 5, 1, 0]),
        # How many at most.
        ("a a a b", {"free": 2}, [0, 3]),
        ("a a a b", {"free": 1}, [0]),
        ("a a a b", {"free": 0}, []),
        ("a a a b", {"free": -3}, []),
        # Pauses.
        ("a b", {"pauses": [pause("visit", "a")]}, [1]),
        ("a/r b", {"pauses": [pause("recipe", "r")]}, [1]),
        ("a//i03 b//i04", {"pauses": [pause("beamline", "i03")]}, [1]),
        ("a b", {"pauses": [pause("visit", "a"), pause("visit", "b")]}, []),
        ("a b", {"pauses": [pause("recipe", "a")]}, [0, 1]),
        ("a b", {"pauses": [pause("visit", "a", NOW)]}, [0, 1]),  # it has just ended
        ("a b a b", {"pauses": [pause("visit", "a")], "free": 1}, [1]),
        ("a/q b", {"pauses": [pause("visit", "a")], "weights": {"q": 9}}, [1]),
    ],
)
def test_order(held: str, options: dict[str, Any], order: list[int]) -> None:
    assert numbers(release(jobs(held), **options)) == order


def test_a_large_visit_does_not_keep_a_small_one_waiting() -> None:
    held = jobs("large " * 5000 + "small " * 5)
    found = release(held, 10)
    assert Counter(job.visit for job in found) == {"large": 5, "small": 5}
    assert numbers(found)[1::2] == [5000, 5001, 5002, 5003, 5004]


def test_with_one_visit_it_is_first_in_first_out() -> None:
    assert numbers(release(jobs("only " * 100)[::-1])) == list(range(100))


@pytest.mark.parametrize(("visits", "free"), [(2, 1), (3, 2), (5, 3), (5, 4), (3, 7)])
def test_it_is_fair_from_batch_to_batch(visits: int, free: int) -> None:
    """Also where the room is not a multiple of the visits, and one of them was first."""
    held = jobs("v0 " * 200 + " ".join(f"v{1 + n % (visits - 1)}" for n in range(800)))
    served: dict[str, float] = {}
    count: Counter[str] = Counter()
    for batch in range(20):
        now = NOW + 30 * batch
        found = policy.release(held, free, USUAL, [], served, now)
        for place, job in enumerate(found):
            served[job.visit] = policy.released_at(now, place)
            count[job.visit] += 1
        held = [job for job in held if job not in found]
        assert max(count.values()) - min(count[f"v{n}"] for n in range(visits)) <= 1


def test_ten_thousand_are_put_in_order_at_once() -> None:
    many = [
        *([Held(n, "slurm", visit=f"v{n % 50}") for n in range(10_000)],),
        *([Held(n, "slurm", visit=f"v{n % 7500}") for n in range(10_000)],),
        *([Held(n, "slurm", visit=f"v{n}", recipe=f"r{n % 100}") for n in range(10_000)],),
    ]
    weights = {f"r{n}": n for n in range(100)}
    for held in many:
        with effort() as taken:
            found = policy.release(held, 10_000, Limits(weights=weights), [], {}, NOW)
        assert taken.seconds < 0.2
        assert len(found) == 10_000


def test_letter_case_counts_for_recipes_alone() -> None:
    job = Held(1, "slurm", NOW, "I03", "MX1-1", "autoPROC")
    assert policy.priority(job, {"i03": 1, "mx1-1": 2, "autoproc": 4}) == 3
    assert policy.priority(job, {"I03": 1, "MX1-1": 2, "autoPROC": 4}) == 7
    assert pause("beamline", "i03", NOW + 1).keeps(job, NOW)
    assert pause("visit", "mx1-1", NOW + 1).keeps(job, NOW)
    assert not pause("recipe", "autoproc", NOW + 1).keeps(job, NOW)
    jobs = [Held(number, "slurm", NOW, visit=visit) for number, visit in enumerate("Aab")]
    assert numbers(policy.ordered(jobs, {}, {})) == [0, 2, 1]


NAMES = st.sampled_from(["", "a", "b", "c", "d"])
HELD = st.builds(
    lambda names: [Held(number, "slurm", NOW, *each) for number, each in enumerate(names)],
    st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=40),
)
MIXED = HELD.flatmap(st.permutations)
WEIGHTS = st.dictionaries(NAMES, st.integers(-2, 2))
SERVED = st.dictionaries(NAMES, st.floats(NOW - 5, NOW))
PAUSES = st.lists(
    st.builds(
        pause, st.sampled_from(["beamline", "visit", "recipe"]), NAMES, st.floats(NOW - 2, NOW + 2)
    ),
    max_size=3,
)


@given(MIXED, st.integers(-1, 50), WEIGHTS, PAUSES, SERVED)
def test_what_always_holds(
    held: list[Held],
    free: int,
    weights: dict[str, int],
    pauses: list[Pause],
    served: dict[str, float],
) -> None:
    found = release(held, free, weights, pauses, served)
    open_to_all = [job for job in held if not any(one.keeps(job, NOW) for one in pauses)]
    assert len(found) == min(max(0, free), len(open_to_all))
    assert len(set(numbers(found))) == len(found)
    assert set(found) <= set(open_to_all)
    # Nobody who stays has a higher priority than somebody who goes.
    ranks = [policy.priority(job, weights) for job in found]
    assert ranks == sorted(ranks, reverse=True)
    stay = [job for job in open_to_all if job not in found]
    assert not (ranks and stay) or max(policy.priority(job, weights) for job in stay) <= ranks[-1]
    # First in, first out among equals.
    by_equals: dict[tuple[str, int], list[int]] = {}
    for job in (*found, *sorted(stay, key=lambda job: job.number)):
        by_equals.setdefault((job.visit, policy.priority(job, weights)), []).append(job.number)
    assert all(one == sorted(one) for one in by_equals.values())


@given(MIXED, WEIGHTS, SERVED)
def test_the_order_is_a_permutation_whatever_the_input_is_sorted_by(
    held: list[Held], weights: dict[str, int], served: dict[str, float]
) -> None:
    order = list(policy.ordered(held, weights, served))
    assert sorted(numbers(order)) == list(range(len(held)))
    again = sorted(held, key=lambda job: job.number)
    assert list(policy.ordered(again, weights, served)) == order


@given(MIXED, st.integers(0, 50), SERVED)
def test_it_is_fair_within_a_batch(held: list[Held], free: int, served: dict[str, float]) -> None:
    found = release(held, free, served=served)
    went = Counter(job.visit for job in found)
    left = {job.visit for job in held if job not in found}
    # Visits with jobs left had their turn each time; the others may have run out before.
    for visit in left:
        assert max(went.values(), default=0) - went[visit] <= 1
    if len(left) > 1 and found:
        assert max(went[visit] for visit in left) - min(went[visit] for visit in left) <= 1
