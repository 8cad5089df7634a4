"""Which held jobs are released: pure functions, tested by tables and simulated for months.

The order: priority first, then fair between visits (round robin), then first in, first
out. Other than in Zocalo's backlog service nothing is released before the first statistic,
and a release counts until the cluster can have shown it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from dlstbx_cli.services.held.values import (
    ANY_CASE,
    KINDS,
    SETTLING,
    Held,
    Limits,
    Pause,
    Statistic,
)

#: Held jobs by priority and visit (``Held.turn``), those of a visit first in first out.
Ranks = Mapping[int, Mapping[str, Collection[Held]]]

_NEVER = float("-inf")
#: Seconds between the releases of a batch, as far as fairness is concerned.
_STEP = 0.001


@dataclass(frozen=True, slots=True)
class Room:
    """How many jobs may be released to a cluster now, and if none, why.

    :param age: of its last statistic, in seconds.
    :param in_flight: releases that no statistic can have shown yet.
    :param blind: there is no statistic that could be trusted.
    """

    free: int
    refusal: str | None = None
    waiting: int | None = None
    limit: int | None = None
    age: float | None = None
    in_flight: int = 0
    blind: bool = False


def room(
    cluster: str,
    limits: Limits,
    statistic: Statistic | None,
    releases: Iterable[float],
    now: float,
    spent: int = 0,
) -> Room:
    """Return the room on a cluster.

    :param releases: when jobs were released to it lately.
    :param spent: of a given capacity.
    """
    capacity = limits.capacity.get(cluster)
    if capacity is not None:
        free = max(0, capacity - spent)
        return Room(free, None if free else f"the capacity given, {capacity}, is used")
    limit = limits.waiting.get(cluster)
    # Where the cluster's clock is ahead of ours, a statistic shows no more for that.
    shown_until = (min(statistic.timestamp, now) if statistic else now) - SETTLING
    in_flight = sum(1 for time in releases if time > shown_until)
    known = Room(
        0,
        None,
        statistic.waiting if statistic else None,
        limit,
        now - statistic.timestamp if statistic else None,
        in_flight,
    )
    return _judged(known, limits.timeout)


def _judged(known: Room, timeout: float) -> Room:
    free, refusal, blind = 0, None, False
    if known.limit is None:
        refusal = "it has no limit configured"
    elif known.waiting is None or known.age is None:
        refusal, blind = "there is no statistic yet", True
    elif known.age > timeout:
        refusal = f"its last statistic is {known.age:.0f} s old (limit {timeout:g} s)"
        blind = True
    elif known.age < -timeout:
        refusal = f"its last statistic is dated {-known.age:.0f} s after now: a clock is wrong"
        blind = True
    else:
        waiting = known.waiting + known.in_flight
        free = max(0, known.limit - waiting)
        if not free:
            # The cluster itself does not show these yet: a person who looks there sees fewer.
            lately = f" ({known.in_flight} of them just released)" if known.in_flight else ""
            refusal = f"{waiting} jobs wait{lately}, its limit is {known.limit}"
    return Room(free, refusal, known.waiting, known.limit, known.age, known.in_flight, blind)


def release(
    held: Iterable[Held],
    free: int,
    limits: Limits,
    pauses: Sequence[Pause],
    served: Mapping[str, float],
    now: float,
) -> list[Held]:
    """Return the jobs of one cluster to release now, in their order.

    :param free: how many at most.
    :param served: when each visit (``Held.turn``) had a job released last.
    """
    if free <= 0:
        return []
    order = ordered(unpaused(held, pauses, now), limits.weights, served)
    return [job for job, _ in zip(order, range(free), strict=False)]


def unpaused(held: Iterable[Held], pauses: Sequence[Pause], now: float) -> Iterator[Held]:
    """Yield the jobs that no pause keeps."""
    current = [pause for pause in pauses if pause.lasts(now)]
    for job in held:
        if not any(pause.keeps(job, now) for pause in current):
            yield job


def ordered(
    held: Iterable[Held], weights: Mapping[str, int], served: Mapping[str, float]
) -> Iterator[Held]:
    """Yield held jobs in the order of their release, see the module."""
    return in_turn(ranked(held, weights), served)


def ranked(held: Iterable[Held], weights: Mapping[str, int]) -> Ranks:
    """Return held jobs by priority and visit."""
    ranks: dict[int, dict[str, list[Held]]] = defaultdict(lambda: defaultdict(list))
    rank = priorities(weights)
    for job in sorted(held, key=lambda job: job.number):
        ranks[rank(job)][job.turn].append(job)
    return ranks


def in_turn(ranks: Ranks, served: Mapping[str, float]) -> Iterator[Held]:
    """Yield ranked jobs in the order of their release."""
    places: dict[str, int] = {}
    counter = count(1)
    for rank in sorted(ranks, reverse=True):
        queues = ranks[rank]
        turn = sorted(queues, key=_waited_longest(queues, served, places))
        for job in _round_robin([queues[visit] for visit in turn]):
            places[job.turn] = next(counter)
            yield job


def _waited_longest(
    queues: Mapping[str, Collection[Held]], served: Mapping[str, float], places: Mapping[str, int]
) -> Callable[[str], tuple[int, float, int]]:
    """Return the key by which visits are put in order for their turn.

    :param places: which visits the ranks above have served, and in which order.
    """
    return lambda visit: (
        places.get(visit, 0),
        served.get(visit, _NEVER),
        next(iter(queues[visit])).number,
    )


def priority(job: Held, weights: Mapping[str, int]) -> int:
    """Return a job's priority: the weights of its beamline, visit and recipe together."""
    return priorities(weights)(job)


def priorities(weights: Mapping[str, int]) -> Callable[[Held], int]:
    """Return the function that gives a job's priority, see :func:`priority`."""
    if not weights:
        return lambda _: 0
    in_any_case = {name.lower(): weight for name, weight in weights.items()}

    def of(job: Held) -> int:
        total = 0
        for kind in KINDS:
            name = getattr(job, kind)
            if name and kind in ANY_CASE:
                total += in_any_case.get(name.lower(), 0)
            elif name:
                total += weights.get(name, 0)
        return total

    return of


def _round_robin(queues: Iterable[Iterable[Held]]) -> Iterator[Held]:
    """Yield one job of each queue in turn."""
    turn = [iter(queue) for queue in queues]
    while turn:
        left = []
        for queue in turn:
            for job in queue:
                yield job
                left.append(queue)
                break
        turn = left


def released_at(now: float, place: int) -> float:
    """Return when a job counts as released, by its place in a batch: one after the other.

    The next batch then begins with the visit after the last one served. If a batch had one
    time, the tie would go to the visit whose jobs have waited longest, in every batch: with
    room for two jobs at a time, one visit of three would get half of all releases.
    """
    return now + place * _STEP
