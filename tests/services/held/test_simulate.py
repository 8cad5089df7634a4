"""Simulations: small ones computed by hand, all against a plain one, a month in seconds."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlstbx_cli.services.held import policy
from dlstbx_cli.services.held.simulate import INTERVAL, Arrival, Fate, Model, simulate
from dlstbx_cli.services.held.summary import Times, Use, Waits, by_cluster, by_visit
from dlstbx_cli.services.held.values import SETTLING, Held, Limits, Pause, Statistic
from tests.effort import effort

ONE = Model({"slurm": 1})


def arrivals(text: str, length: float = 100) -> list[Arrival]:
    """Return jobs ``time/visit/recipe/cluster``."""
    found = []
    for word in text.split():
        when, visit, recipe, cluster, *_ = f"{word}///".split("/")
        found.append(
            Arrival(float(when), length, cluster or "slurm", visit, f"beamline of {visit}", recipe)
        )
    return found


def released(fates: Sequence[Fate]) -> list[float]:
    return [fate.released for fate in fates]


def started(fates: Sequence[Fate]) -> list[float]:
    return [fate.started for fate in fates]


def test_one_slot_and_two_that_may_wait() -> None:
    fates = simulate(arrivals("0/a 0/a 0/a 0/a"), ONE, Limits({"slurm": 2}))
    # The second job waits until 110; at 30 and 60 the first two releases count as well.
    assert released(fates) == [0, 0, 90, 180]
    assert started(fates) == [10, 110, 210, 310]
    assert [fate.ended for fate in fates] == [110, 210, 310, 410]
    assert Waits.of(fates) == Waits(
        4, 0, Times(0, 180, 180), Times(110, 130, 130), Times(210, 410, 410)
    )
    # The first ten seconds the slot is idle, and jobs are held that could have had it.
    assert Use.of(fates, 1) == Use(1, 4, 410, 400 / 410, 10)


def test_all_at_once_where_there_is_room() -> None:
    model = Model({"slurm": 10}, start_delay=0)
    fates = simulate(arrivals("5/a 6/a 7/b"), model, Limits())
    assert released(fates) == started(fates) == [5, 6, 7]
    assert Use.of(fates, 10) == Use(10, 3, 102, 300 / 102, 0)


def test_the_start_delay() -> None:
    model = replace(ONE, start_delay=45)
    assert started(simulate(arrivals("5/a 6/a"), model, Limits())) == [50, 150]


@pytest.mark.parametrize(
    ("text", "limits", "expected"),
    [
        # In turn: the second visit's only job goes first at the next statistic with room.
        ("0/a 0/a 0/a 1/b", Limits({"slurm": 1}), [0, 180, 270, 90]),
        ("0/a 0/a 0/a 1/a", Limits({"slurm": 1}), [0, 90, 180, 270]),
        # Two at a time, three visits: the one that is left out is the first of the next two.
        (
            "0/x 0/x 1/a 1/a 1/a 1/a 1/b 1/b 1/b 1/c 1/c 1/c",
            Limits({"slurm": 2}),
            [0, 0, 90, 180, 360, 450, 90, 270, 360, 180, 270, 450],
        ),
        # The weight of its recipe comes first.
        ("0/a 0/a 0/b 1/c/q", Limits({"slurm": 1}, weights={"q": 1}), [0, 270, 180, 90]),
        # A given capacity, whatever the cluster says.
        ("0/a 0/a 0/a", Limits(capacity={"slurm": 2}), [0, 0, inf]),
        # No limit, or none at all.
        ("0/a 9/a", Limits({"slurm": 0}), [inf, inf]),
        ("0/a 9/a", Limits({"iris": 5}), [inf, inf]),
        # Clusters do not wait for each other.
        ("0/a 0/a 0/a//iris 0/a//iris", Limits({"slurm": 1, "iris": 1}), [0, 90, 0, 90]),
    ],
)
def test_who_goes_when(text: str, limits: Limits, expected: list[float]) -> None:
    model = Model({"slurm": 9, "iris": 9})
    assert released(simulate(arrivals(text, 1), model, limits)) == expected


def test_a_statistic_gets_too_old_before_the_next_one() -> None:
    model = Model({"slurm": 9}, interval=600)
    fates = simulate(arrivals("0/a 299/a 300/a 599/a 601/a"), model, Limits())
    assert released(fates) == [0, 299, 600, 600, 601]


@pytest.mark.parametrize(
    ("until", "expected"), [(70, [70, 5]), (0, [0, 5]), (5, [5, 5]), (1e6, [1e6, 5])]
)
def test_a_pause_ends(until: float, expected: list[float]) -> None:
    pauses = [Pause("visit", "a", until, "me", "because"), Pause("visit", "x", 1, "me", "because")]
    fates = simulate(arrivals("0/a 5/b"), Model({"slurm": 9}), Limits(), pauses)
    assert released(fates) == expected


def test_a_pause_that_does_not_end() -> None:
    pauses = [Pause("recipe", "r", inf, "me", "because")]
    fates = simulate(arrivals("0/a/r 5/b"), Model({"slurm": 9}), Limits(), pauses)
    assert released(fates) == [inf, 5]


def test_whoever_comes_is_put_in_order() -> None:
    fates = simulate(reversed(arrivals("0/a 1/b 2/c")), ONE, Limits())
    assert [fate.job.visit for fate in fates] == ["a", "b", "c"]
    assert [fate.job.number for fate in fates] == [0, 1, 2]


def test_nothing_comes() -> None:
    assert simulate([], ONE, Limits()) == []
    with pytest.raises(KeyError):
        simulate(arrivals("0/a//iris"), ONE, Limits())


def test_somebody_watches() -> None:
    seen: list[int] = []
    simulate(
        arrivals("0/a 1/a 2/a//iris"), Model({"slurm": 1, "iris": 1}), Limits(), (), seen.append
    )
    assert seen == sorted(seen)
    assert set(seen) >= {1, 2, 3}


def test_times_are_those_of_cases() -> None:
    assert Times.of([]) is None
    assert Times.of([5]) == Times(5, 5, 5)
    assert Times.of([4, 1, 3, 2]) == Times(2, 4, 4)
    assert Times.of(range(1, 11)) == Times(5, 9, 10)
    assert Times.of([1, inf, inf]) == Times(inf, inf, inf)


def test_what_is_left_has_waited_for_ever() -> None:
    fates = simulate(arrivals("0/a 0/a 0/a 90/a"), ONE, Limits(capacity={"slurm": 2}))
    waits = Waits.of(fates)
    assert (waits.jobs, waits.left) == (4, 2)
    assert waits.held == Times(0, inf, inf)
    assert waits.queued == Times(10, 110, 110)
    # The first ten seconds one held job could have had the slot, and no more after that.
    assert Use.of(fates, 1).idle_while_held == 10


def test_the_visit_that_fared_worst_comes_first() -> None:
    fates = simulate(arrivals("0/a 0/b 0/b 0/b 500/c"), ONE, Limits())
    assert list(by_visit(fates)) == ["b", "a", "c"]
    assert by_visit(fates)["b"].end_to_end == Times(310, 410, 410)
    assert by_visit([]) == {}
    assert list(by_cluster(fates)) == ["slurm"]


class Plain:
    """A simulation without any thrift: every broadcast, the whole backlog, the policy itself."""

    def __init__(self, model: Model, limits: Limits, pauses: Sequence[Pause]) -> None:
        self.model, self.limits, self.pauses = model, limits, pauses

    def run(self, coming: list[Arrival], until: float) -> list[float]:
        """Return when each job is released."""
        jobs = [
            Held(number, "slurm", one.time, one.beamline, one.visit, one.recipe)
            for number, one in enumerate(coming)
        ]
        events: list[tuple[float, int, Any]] = [(job.taken, 2, job) for job in jobs]
        start = jobs[0].taken
        events += [(start + n * INTERVAL, 0, None) for n in range(int((until - start) / INTERVAL))]
        events += [(one.until, 1, None) for one in self.pauses if one.until > start]
        self.gone: dict[int, float] = {}
        self.log: list[tuple[float, int]] = []
        self.served: dict[str, float] = {}
        self.stamps: list[float] = []
        held: list[Held] = []
        last = None
        for now, kind, job in sorted(events, key=lambda event: event[:2]):
            if kind == 0:
                taken = now - self.model.lag
                last = Statistic("slurm", self.waiting(coming, taken), taken)
            elif kind == 2:
                held.append(job)
            for chosen in self.choose(held, last, now):
                held.remove(chosen)
        return [self.gone.get(job.number, inf) for job in jobs]

    def choose(self, held: list[Held], last: Statistic | None, now: float) -> list[Held]:
        spent = len(self.gone)
        room = policy.room("slurm", self.limits, last, self.stamps, now, spent)
        found = policy.release(held, room.free, self.limits, self.pauses, self.served, now)
        for place, job in enumerate(found):
            self.gone[job.number] = now
            self.log.append((now, job.number))
            self.served[job.visit] = policy.released_at(now, place)
            self.stamps.append(self.served[job.visit])
        return found

    def waiting(self, coming: list[Arrival], now: float) -> int:
        """Let the cluster run from its beginning, second by second of what happens on it."""
        queue = [
            (gone + self.model.start_delay, coming[number].length) for gone, number in self.log
        ]
        ends: list[float] = []
        waits = 0
        for known, length in queue:
            running = sorted(end for end in ends if end > known)
            free_at = (
                running[-self.model.slots["slurm"]]
                if (len(running) >= self.model.slots["slurm"])
                else known
            )
            ends.append(free_at + length)
            waits += known <= now < free_at
        return waits


VISITS = st.sampled_from("abc")
COMING = st.lists(
    st.builds(
        Arrival,
        time=st.sampled_from([0.0, 1.0, 30.0, 45.0]) | st.floats(0, 300),
        length=st.sampled_from([0.0, 5.0, 30.0, 31.5, 200.0]),
        visit=VISITS,
        beamline=st.sampled_from(["i03", "i04"]),
        recipe=st.sampled_from(["r", "q"]),
    ),
    min_size=1,
    max_size=30,
)
SOME_LIMITS = st.builds(
    Limits,
    waiting=st.sampled_from([{"slurm": 0}, {"slurm": 1}, {"slurm": 3}, {"slurm": 20}, {}]),
    timeout=st.sampled_from([0.0, 10.0, 300.0]),
    capacity=st.sampled_from([{}, {}, {}, {"slurm": 3}]),
    weights=st.sampled_from([{}, {"q": 1}, {"a": -1, "i03": 1}]),
)
SOME_PAUSES = st.lists(
    st.builds(
        Pause,
        kind=st.sampled_from(["visit", "beamline", "recipe"]),
        name=st.sampled_from(["a", "b", "i03", "r"]),
        until=st.integers(-5, 500).map(float),
        owner=st.just("me"),
        reason=st.just("because"),
    ),
    max_size=2,
)


@settings(max_examples=300, deadline=None)
@given(
    COMING,
    st.integers(1, 4),
    st.sampled_from([0.0, 10.0, 70.0]),
    SOME_LIMITS,
    SOME_PAUSES,
)
def test_it_is_what_the_policy_says(
    coming: list[Arrival], slots: int, delay: float, limits: Limits, pauses: list[Pause]
) -> None:
    coming.sort(key=lambda one: one.time)
    model = Model({"slurm": slots}, start_delay=delay)
    fates = simulate(coming, model, limits, pauses)
    # Long enough for all of them, one after the other and each of them after SETTLING.
    until = 600 + len(coming) * (200 + delay + SETTLING + 2 * INTERVAL)
    assert released(fates) == Plain(model, limits, pauses).run(coming, until)


@settings(max_examples=100, deadline=None)
@given(COMING, st.integers(1, 4), SOME_LIMITS)
def test_the_model_of_a_cluster(coming: list[Arrival], slots: int, limits: Limits) -> None:
    fates = simulate(coming, Model({"slurm": slots}), limits)
    gone = sorted((fate for fate in fates if fate.released < inf), key=lambda fate: fate.started)
    for fate in gone:
        assert fate.job.taken <= fate.released
        assert fate.released + 10 <= fate.started
        running = [one for one in gone if one.started <= fate.started < one.ended]
        assert len(running) <= slots
        # Nobody waits for a slot that nobody has.
        assert fate.started == fate.released + 10 or fate.started in {one.ended for one in gone}
    use = Use.of(fates, slots)
    assert 0 <= use.share <= 1
    assert use.idle_while_held <= slots * use.seconds + 1e-6


def month(number: int, dice: random.Random) -> list[Arrival]:
    """Return a month of jobs: bursts of three hundred visits."""
    found: list[Arrival] = []
    while len(found) < number:
        when, visit = dice.uniform(0, 30 * 86400), f"mx{dice.randrange(300)}"
        for _ in range(dice.choice([1, 3, 8, 8, 8, 40])):
            found.append(Arrival(when, dice.expovariate(1 / 1800), visit=visit))
    return found[:number]


@pytest.mark.parametrize(
    ("slots", "limit"), [(100, 60), (60, 20)], ids=["with room", "with a backlog of days"]
)
def test_a_month_takes_seconds(slots: int, limit: int) -> None:
    coming = month(100_000, random.Random(1))
    begun = time.process_time()
    fates = simulate(coming, Model({"slurm": slots}), Limits({"slurm": limit}))
    waits, use = by_visit(fates), Use.of(fates, slots)
    # Two seconds or five; time on the processor, whatever else the machine has to do.
    assert time.process_time() - begun < 30
    assert sum(one.jobs for one in waits.values()) == 100_000
    assert all(one.left == 0 for one in waits.values())
    assert use.busy * use.seconds == pytest.approx(sum(one.length for one in coming))


def test_nothing_happens_for_decades() -> None:
    """Broadcasts that could release nothing are not gone through."""
    with effort() as taken:
        fates = simulate(arrivals("0/a 3000000000/a"), ONE, Limits())
        never = simulate(arrivals("0/a 3000000000/a"), ONE, Limits({"slurm": 0}))
        assert (released(fates), released(never)) == ([0, 3e9], [inf] * 2)
    assert taken.seconds < 1
