"""What a policy would have done: arrivals replayed against a model of the clusters.

Pure, and fast enough for months: the policy's own functions decide, the held jobs are
kept in the order that it wants, and a broadcast that can release nothing is skipped.

The model of a cluster is its slots. A released job reaches the cluster's queue after the
start delay, waits there for a slot, first in first out, and runs for its length.
Broadcasts come at a fixed interval from the first arrival on. As in ``backlog-release``,
jobs go when one is held, when a broadcast comes and when a pause ends.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf

from dlstbx_cli.services.held import policy
from dlstbx_cli.services.held.values import SETTLING, Held, Limits, Pause, Statistic

#: Seconds between two statistics of a cluster: Zocalo's cluster monitor.
INTERVAL = 30.0
#: Seconds from a job's release until its cluster knows it, through the dispatcher: a guess.
START_DELAY = 10.0
#: How old a statistic is when it arrives, seconds: a guess. It decides whether a release
#: made at one broadcast still counts at the second one after it, SETTLING later: it does.
LAG = 0.5


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that comes to be held.

    :param time: when, in seconds since the epoch.
    :param length: how long it runs, in seconds.
    """

    time: float
    length: float
    cluster: str = "slurm"
    visit: str = ""
    beamline: str = ""
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """What is replayed against.

    :param slots: how many jobs run at once, by cluster.
    :param start_delay: seconds from a release until the cluster knows the job.
    :param interval: seconds between two statistics.
    :param lag: how old a statistic is when it arrives, in seconds.
    """

    slots: Mapping[str, int]
    start_delay: float = START_DELAY
    interval: float = INTERVAL
    lag: float = LAG


@dataclass(slots=True)
class Fate:
    """What became of a job. Times are seconds since the epoch, infinite if it is still held.

    :param job: ``job.taken`` is when it came.
    :param length: how long it runs, in seconds.
    """

    job: Held
    length: float
    released: float = inf
    started: float = inf

    @property
    def ended(self) -> float:
        """When it ended."""
        return self.started + self.length


def simulate(
    arrivals: Iterable[Arrival],
    model: Model,
    limits: Limits,
    pauses: Sequence[Pause] = (),
    watch: Callable[[int], None] = lambda _: None,
) -> list[Fate]:
    """Return what becomes of jobs, in the order in which they come.

    :param pauses: in force from the beginning until they end.
    :param watch: told now and then how many jobs have come.

    Raises KeyError for a cluster that the model lacks.
    """
    fates = [
        Fate(Held(number, one.cluster, one.time, one.beamline, one.visit, one.recipe), one.length)
        for number, one in enumerate(sorted(arrivals, key=lambda one: one.time))
    ]
    by_cluster: dict[str, list[Fate]] = defaultdict(list)
    for fate in fates:
        by_cluster[fate.job.cluster].append(fate)
    done = 0
    # Nothing that the policy looks at is shared between clusters.
    for cluster, theirs in by_cluster.items():

        def told(come: int, before: int = done) -> None:
            watch(before + come)

        _Replay(cluster, model, limits, pauses, theirs).run(told)
        done += len(theirs)
    watch(done)
    return fates


class _Slots:
    """A cluster's slots. As it is first in first out, a start is known at the release."""

    def __init__(self, slots: int, delay: float) -> None:
        self._slots = slots
        self._delay = delay
        self._ends: list[float] = []  # a heap: when each slot that was ever used gets free
        self._coming: deque[tuple[float, float]] = deque()  # when it waits, when it starts
        self._waiting: deque[float] = deque()  # when it starts

    def submit(self, released: float, length: float) -> float:
        """Take a job that is released, and return when it starts."""
        known = released + self._delay
        if self._ends and self._ends[0] <= known:
            start = known
            heapq.heapreplace(self._ends, start + length)
        elif len(self._ends) < self._slots:
            start = known
            heapq.heappush(self._ends, start + length)
        else:
            start = self._ends[0]
            heapq.heapreplace(self._ends, start + length)
        self._coming.append((known, start))
        return start

    def waiting(self, now: float) -> int:
        """Return how many jobs wait for a slot; *now* never goes back."""
        while self._coming and self._coming[0][0] <= now:
            self._waiting.append(self._coming.popleft()[1])
        while self._waiting and self._waiting[0] <= now:
            self._waiting.popleft()
        return len(self._waiting)


class _Backlog:
    """The held jobs of a cluster, kept in the order of the policy."""

    def __init__(self, limits: Limits, pauses: Sequence[Pause]) -> None:
        self._priority = policy.priorities(limits.weights)
        self._pauses = pauses
        self._ranks: dict[int, dict[str, deque[Held]]] = {}
        self._kept: list[Held] = []
        self.ready = 0

    @property
    def wakes(self) -> float:
        """When the next pause ends, if any job is kept by one; else infinite."""
        if not self._kept:
            return inf
        return min((pause.until for pause in self._pauses), default=inf)

    def hold(self, job: Held, now: float) -> None:
        """Keep a job."""
        self._pauses = [pause for pause in self._pauses if now < pause.until]
        if self._pauses and not list(policy.unpaused([job], self._pauses, now)):
            self._kept.append(job)
            return
        queues = self._ranks.setdefault(self._priority(job), {})
        queues.setdefault(job.turn, deque()).append(job)
        self.ready += 1

    def wake(self, now: float) -> None:
        """Look at all jobs again, now that a pause has ended."""
        held = [job for queues in self._ranks.values() for each in queues.values() for job in each]
        held += self._kept
        self._ranks, self._kept, self.ready = {}, [], 0
        for job in sorted(held, key=lambda job: job.number):
            self.hold(job, now)

    def release(self, free: int, served: Mapping[str, float]) -> list[Held]:
        """Take out the jobs that :func:`policy.release` would choose, in its order."""
        chosen = list(islice(policy.in_turn(self._ranks, served), free))
        for job in chosen:
            rank = self._priority(job)
            queues = self._ranks[rank]
            queues[job.turn].popleft()  # first in, first out: it is this job
            if not queues[job.turn]:
                del queues[job.turn]
            if not queues:
                del self._ranks[rank]
        self.ready -= len(chosen)
        return chosen


class _Replay:
    """The replay of one cluster's arrivals."""

    def __init__(
        self,
        cluster: str,
        model: Model,
        limits: Limits,
        pauses: Sequence[Pause],
        fates: Sequence[Fate],
    ) -> None:
        self._cluster = cluster
        self._model = model
        self._limits = limits
        self._fates = fates
        self._by_number = {fate.job.number: fate for fate in fates}
        self._slots = _Slots(model.slots[cluster], model.start_delay)
        self._backlog = _Backlog(limits, pauses)
        self._statistic: Statistic | None = None
        self._releases: deque[float] = deque()
        self._served: dict[str, float] = {}
        self._spent = 0
        #: What is left of the room that the last statistic has shown; None: not asked yet.
        self._free: int | None = None
        self._hopeless = False

    def run(self, watch: Callable[[int], None]) -> None:
        """Replay all arrivals; ends when nothing more can be released."""
        start, interval = self._fates[0].job.taken, self._model.interval
        come, broadcasts = 0, 0
        while True:
            arrival = self._fates[come].job.taken if come < len(self._fates) else inf
            wakes = self._backlog.wakes
            if not self._backlog.ready:
                # Until a job can go, only the last broadcast before matters.
                until = min(arrival, wakes)
                if until == inf:
                    return
                broadcasts = max(broadcasts, _last(until - start, interval))
            broadcast = start + broadcasts * interval
            if broadcast <= min(arrival, wakes):
                broadcasts += 1
                self._observe(broadcast)
                self._release(broadcast)
                if self._hopeless:
                    return
                watch(come)
            elif wakes <= arrival:
                self._backlog.wake(wakes)
                self._release(wakes)
            else:
                self._backlog.hold(self._fates[come].job, arrival)
                self._release(arrival)
                come += 1
                watch(come)

    def _observe(self, now: float) -> None:
        """Take the statistic that arrives now."""
        taken = now - self._model.lag
        self._statistic = Statistic(self._cluster, self._slots.waiting(taken), taken)
        while self._releases and self._releases[0] <= taken - SETTLING:
            self._releases.popleft()
        self._free, self._hopeless = None, False

    def _release(self, now: float) -> None:
        """Release what there is room for."""
        if not self._backlog.ready:
            return
        free = self._room(now)
        if free <= 0:
            return
        chosen = self._backlog.release(free, self._served)
        for place, job in enumerate(chosen):
            fate = self._by_number[job.number]
            fate.released = now
            fate.started = self._slots.submit(now, fate.length)
            self._served[job.turn] = policy.released_at(now, place)
            self._releases.append(self._served[job.turn])
        self._spent += len(chosen)
        self._free = free - len(chosen)

    def _room(self, now: float) -> int:
        """Return the policy's room. Between two statistics only releases change it, and age."""
        if self._free is None or self._aged(now):
            room = policy.room(
                self._cluster, self._limits, self._statistic, self._releases, now, self._spent
            )
            # A cluster on which nothing waits and to which nothing goes does not get emptier.
            self._hopeless = not (room.free or room.waiting or room.in_flight)
            self._free = room.free
        return self._free

    def _aged(self, now: float) -> bool:
        return self._statistic is None or now - self._statistic.timestamp > self._limits.timeout


def _last(seconds: float, interval: float) -> int:
    """Return the number of the last broadcast within so many seconds of the first one."""
    number = int(seconds // interval)
    # The quotient of two floats may be rounded up to a whole number.
    return number - 1 if number * interval > seconds else number
