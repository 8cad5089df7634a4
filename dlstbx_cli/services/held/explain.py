"""Why the next held job is released, or is not: the policy's decisions, said in records.

Pure like the policy, and made of its own functions: what is explained is what is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dlstbx_cli.services.held import policy
from dlstbx_cli.services.held.policy import Room
from dlstbx_cli.services.held.port import Seen
from dlstbx_cli.services.held.values import Held, Limits, Pause

#: What is said of a job for which there is room.
_GOES = "it goes when backlog-release runs next"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of one cluster.

    :param held: jobs that are held for it.
    :param paused: of these, the jobs that a pause keeps.
    :param next: the job that goes first; None if all are paused, or none is held.
    :param goes: whether that job is released now.
    :param why: why it is, or is not.
    """

    cluster: str
    held: int
    paused: int
    room: Room
    next: Held | None
    goes: bool
    why: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A pause and how many of the held jobs it keeps."""

    pause: Pause
    jobs: int


@dataclass(frozen=True, slots=True)
class Place:
    """A held job's place in the order of its cluster.

    :param before: how many go before it as things are; None while it is paused.
    :param pauses: those that keep it.
    :param why: why it is held, or that it goes.
    """

    before: int | None
    pauses: tuple[Pause, ...]
    why: str


def outlook(cluster: str, held: Sequence[Held], seen: Seen, limits: Limits, now: float) -> Outlook:
    """Return what is to be expected of a cluster, for which *held* is all that is held."""
    room = policy.room(cluster, limits, seen.statistic, seen.releases, now)
    open_to_all = list(policy.unpaused(held, seen.pauses, now))
    first = next(policy.ordered(open_to_all, limits.weights, seen.served), None)
    return Outlook(
        cluster,
        len(held),
        len(held) - len(open_to_all),
        room,
        first,
        first is not None and room.free > 0,
        _why(len(held), first, room),
    )


def kept(pauses: Iterable[Pause], held: Sequence[Held], now: float) -> list[Kept]:
    """Return how many held jobs each pause keeps; one that has ended keeps none."""
    return [Kept(pause, sum(1 for job in held if pause.keeps(job, now))) for pause in pauses]


def place(job: Held, held: Iterable[Held], seen: Seen, limits: Limits, now: float) -> Place:
    """Return where a held job stands among all that are *held* for its cluster."""
    keeping = tuple(pause for pause in seen.pauses if pause.keeps(job, now))
    if keeping:
        pause = max(keeping, key=lambda pause: pause.until)
        return Place(None, keeping, f"{pause.kind} {pause.name} is paused: {pause.reason}")
    order = policy.ordered(policy.unpaused(held, seen.pauses, now), limits.weights, seen.served)
    before = 0
    for other in order:
        if other.number == job.number:
            break
        before += 1
    room = policy.room(job.cluster, limits, seen.statistic, seen.releases, now)
    if not room.free:
        return Place(before, (), f"cluster {job.cluster}: {room.refusal}")
    if before < room.free:
        return Place(before, (), f"there is room on {job.cluster}: {_GOES}")
    return Place(
        before,
        (),
        f"cluster {job.cluster} has room for {room.free}, and {_number(before)} before it",
    )


def _why(held: int, first: Held | None, room: Room) -> str:
    if not held:
        return "no job is held for it"
    if first is None:
        return "all jobs that are held for it are paused"
    return f"there is room: {_GOES}" if room.free else str(room.refusal)


def _number(jobs: int) -> str:
    return "1 job goes" if jobs == 1 else f"{jobs} jobs go"
