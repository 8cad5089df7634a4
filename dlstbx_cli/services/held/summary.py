"""What a simulation comes to: waiting times by visit, and how well a cluster was used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf

from dlstbx_cli.services.held.simulate import Fate


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, in seconds; infinite where it has not ended.

    :param p90: nine of ten took no longer.
    """

    median: float
    p90: float
    longest: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Times | None:
        """Return the times of so many cases, None of none. Each is the time of one of them."""
        known = sorted(seconds)
        if not known:
            return None
        median, p90 = (known[ceil(share * len(known)) - 1] for share in (0.5, 0.9))
        return cls(median, p90, known[-1])


@dataclass(frozen=True, slots=True)
class Waits:
    """The waiting times of some jobs.

    :param left: how many are still held at the end; these have waited infinitely long.
    :param held: in the backlog.
    :param queued: from the release to the start; only those that were released.
    :param end_to_end: from coming to the end, its own length included.
    """

    jobs: int
    left: int
    held: Times | None
    queued: Times | None
    end_to_end: Times | None

    @classmethod
    def of(cls, fates: Sequence[Fate]) -> Waits:
        """Return the waiting times of jobs."""
        gone = [fate for fate in fates if fate.released < inf]
        return cls(
            len(fates),
            len(fates) - len(gone),
            Times.of(fate.released - fate.job.taken for fate in fates),
            Times.of(fate.started - fate.released for fate in gone),
            Times.of(fate.ended - fate.job.taken for fate in fates),
        )


@dataclass(frozen=True, slots=True)
class Use:
    """How a cluster was used, from the first job's coming to the last one's end.

    :param seconds: how long that is.
    :param busy: slots that were busy, on average.
    :param idle_while_held: slot-seconds in which a slot was idle and a job for it held: what
        the policy has cost.
    """

    slots: int
    jobs: int
    seconds: float
    busy: float
    idle_while_held: float

    @property
    def share(self) -> float:
        """How much of the cluster was busy, of 1."""
        return self.busy / self.slots

    @classmethod
    def of(cls, fates: Sequence[Fate], slots: int) -> Use:
        """Return the use of a cluster by its jobs, of which there is at least one."""
        gone = [fate for fate in fates if fate.released < inf]
        first = min(fate.job.taken for fate in fates)
        last = max([fate.job.taken for fate in fates] + [fate.ended for fate in gone])
        worked = sum(fate.length for fate in gone)
        seconds = last - first
        idle = _idle_while_held(fates, slots, last)
        return cls(slots, len(fates), seconds, worked / seconds if seconds else 0.0, idle)


def by_visit(fates: Iterable[Fate]) -> dict[str, Waits]:
    """Return the waiting times of each visit, that first whose jobs have taken longest.

    From their coming to their end, and nine in ten of them: what a limit takes off the
    cluster's queue it puts on the backlog, and what it does for a visit shows at the end.
    """
    theirs: dict[str, list[Fate]] = defaultdict(list)
    for fate in fates:
        theirs[fate.job.visit].append(fate)
    found = [(visit, Waits.of(each)) for visit, each in theirs.items()]
    found.sort(key=lambda one: (-(one[1].end_to_end.p90 if one[1].end_to_end else 0.0), one[0]))
    return dict(found)


def by_cluster(fates: Iterable[Fate]) -> dict[str, list[Fate]]:
    """Return the jobs of each cluster, by name."""
    theirs: dict[str, list[Fate]] = defaultdict(list)
    for fate in fates:
        theirs[fate.job.cluster].append(fate)
    return dict(sorted(theirs.items()))


def _idle_while_held(fates: Sequence[Fate], slots: int, last: float) -> float:
    """Return the slot-seconds in which a slot was idle that a held job could have had."""
    changes = [(fate.job.taken, 1, 0) for fate in fates]
    changes += [(min(fate.released, last), -1, 0) for fate in fates]
    changes += [(fate.started, 0, 1) for fate in fates if fate.started < inf]
    changes += [(fate.ended, 0, -1) for fate in fates if fate.started < inf]
    changes.sort()
    held = busy = 0
    idle, before = 0.0, changes[0][0]
    for time, more_held, more_busy in changes:
        idle += (time - before) * min(held, slots - busy)
        held, busy, before = held + more_held, busy + more_busy, time
    return idle
