"""What the policy of the backlog decides on: plain values, no clock and no database.

Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: How many jobs may wait on each cluster, and how old its last statistic may be, seconds.
#: Source: Zocalo's backlog service at Diamond.
LIMITS: Mapping[str, int] = {"slurm": 60, "iris": 3000}
TIMEOUT = 300.0
#: A released job goes through the dispatcher before Slurm knows it: until then, seconds
#: after its release, no statistic can be taken as showing it.
SETTLING = 60.0

#: What a pause or a priority can name of a job.
KINDS = ("beamline", "visit", "recipe")
#: Of these, names that are the same in any letter case, as they are in ISPyB. Recipes are
#: names of files, and clusters keys of the configuration: there the case counts.
ANY_CASE = ("beamline", "visit")


@dataclass(frozen=True, slots=True)
class Held:
    """One held job, as far as the policy is concerned. Empty texts: not known.

    :param number: its place: first in, lowest number.
    :param taken: when it was held.
    """

    number: int
    cluster: str
    taken: float = 0.0
    beamline: str = ""
    visit: str = ""
    recipe: str = ""
    dcid: int | None = None
    job: int | None = None

    @property
    def turn(self) -> str:
        """Whose turn it is when it goes: its visit, in whatever letter case that is written."""
        return self.visit.lower()


@dataclass(frozen=True, slots=True)
class Statistic:
    """How many jobs of ours waited on a cluster at a time."""

    cluster: str
    waiting: int
    timestamp: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Jobs of a beamline, visit or recipe stay held until it ends by itself.

    :param kind: one of KINDS.
    :param begun: when it was made; None: not known.
    :param ended: when somebody ended it before its time; None: nobody has.
    :param ended_by: who that was.
    """

    kind: str
    name: str
    until: float
    owner: str
    reason: str
    number: int = 0
    begun: float | None = None
    ended: float | None = None
    ended_by: str = ""

    def keeps(self, job: Held, now: float) -> bool:
        """Tell whether a job stays held because of this."""
        return self.lasts(now) and _same(self.kind, getattr(job, self.kind), self.name)

    def lasts(self, now: float) -> bool:
        """Tell whether it has not ended."""
        return self.ended is None and now < self.until


@dataclass(frozen=True, slots=True)
class Limits:
    """What a site allows.

    :param waiting: jobs that may wait, by cluster; one that is not named has no limit
        configured, and its jobs are held.
    :param timeout: seconds after which a statistic is too old.
    :param capacity: releases, by cluster, that need no statistic; it stands in for them.
    :param weights: priority by name of a recipe, visit or beamline; those of a job add up.
    """

    waiting: Mapping[str, int] = field(default_factory=lambda: dict(LIMITS))
    timeout: float = TIMEOUT
    capacity: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)


def _same(kind: str, one: str, other: str) -> bool:
    """Tell whether two names of a kind mean the same."""
    return one == other or (kind in ANY_CASE and one.lower() == other.lower())
