"""What became of held jobs after a soak: what was released, how often, and how many waited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from dlstbx_cli.database.connection import connect as engine_at
from dlstbx_cli.database.connection import reading
from dlstbx_cli.database.held_tables import JOBS, RELEASED
from dlstbx_cli.services.message import derived_id
from tests.soak import held
from tests.soak.clusters import Clusters, Copy

#: Seconds before the death of a broker: what arrived then it may deliver again without a word.
_UNSURE = 2.0


@dataclass(frozen=True)
class Claim:
    """What the store says of a job in the end.

    :param time: of its last claim, seconds since the epoch.
    """

    cluster: str
    state: str
    time: float


def claims(state: str) -> dict[int, Claim]:
    """Return what the store says of each job."""
    engine = engine_at(state)
    with reading(engine) as connection:
        rows = connection.execute(select(JOBS.c.job, JOBS.c.cluster, JOBS.c.state, JOBS.c.changed))
        # Milliseconds, rounded down: it was never before that.
        found = {row[0]: Claim(row[1], row[2], (row[3] + 1) / 1000) for row in rows}
    engine.dispose()
    return found


def missing(jobs: int, copies: Sequence[Copy], claimed: dict[int, Claim]) -> list[str]:
    """Compare what came with what should have come; return the differences, in words."""
    faults = [
        f"job {copy.job} came as {copy.identity}"
        for copy in copies
        if copy.identity != derived_id(held.identity_of(copy.job), 0)
    ]
    come = {copy.job for copy in copies}
    faults += [f"job {job} was not released" for job in range(jobs) if job not in come]
    faults += [f"job {job} is none of ours" for job in come if not 0 <= job < jobs]
    faults += [
        f"job {job} is {claim.state} in the store"
        for job, claim in claimed.items()
        if claim.state != RELEASED
    ]
    faults += [f"job {job} is not in the store" for job in range(jobs) if job not in claimed]
    return faults


def peak(clusters: Clusters, name: str, claimed: dict[int, Claim], repeats: bool) -> int:
    """Return how many jobs waited for a cluster or were on their way to it, at most.

    A job counts from its claim until it begins to run. This is what was, not what the
    releasers thought: their limit holds at every instant.

    :param repeats: count what was released again as one more job.
    """
    changes = [(gone, -1) for gone in clusters.strangers[name]]
    seen: set[int] = set()
    for copy in clusters.copies:
        if copy.cluster != name or (copy.job in seen and not repeats):
            continue
        # A job that was claimed again says when that was, not when it was claimed first.
        claim = claimed.get(copy.job)
        since = copy.arrived if copy.job in seen or claim is None else claim.time
        changes += [(min(since, copy.arrived), 1), (copy.begins, -1)]
        seen.add(copy.job)
    most = waiting = len(clusters.strangers[name])
    for _, change in sorted(changes):
        waiting += change
        most = max(most, waiting)
    return most


@dataclass(frozen=True)
class Repeats:
    """What came more than once.

    :param by_releasers: so many times too many, by job.
    :param by_broker: messages that came again after a death of the broker, and for the
        first time just before: it had lost that they were taken.
    """

    by_releasers: Counter[int]
    by_broker: int


def repeats(copies: Sequence[Copy], outages: Sequence[float]) -> Repeats:
    """Return what came more than once.

    :param outages: when the broker was killed.
    """
    first: dict[int, Copy] = {}
    counts: Counter[int] = Counter()
    by_broker = 0
    for copy in copies:
        before = first.setdefault(copy.job, copy)
        if before is copy:
            continue
        if any(0 <= down - before.arrived < _UNSURE for down in outages):
            by_broker += 1
        else:
            counts[copy.job] += 1
    return Repeats(counts, by_broker)
