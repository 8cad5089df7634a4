"""What broadcasts of ``transient.statistics.cluster`` say, read once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.held.names import is_name
from dlstbx_cli.services.held.values import Statistic

TOPIC = "transient.statistics.cluster"
#: Statistics of the group ``cluster``: jobs by state, storage used.
JOB_STATES, USED_STORAGE = "job-states", "used-storage"


#: Seconds that the clock of whoever takes a statistic may be ahead of ours.
AHEAD = 300.0


@dataclass(frozen=True, slots=True)
class Storage:
    """How much was stored in a place at a time, in the units of its quota."""

    cluster: str
    total: float
    timestamp: float


def kind_of(body: Any) -> str | None:
    """Return which statistic of a cluster a broadcast is; None if it is another thing.

    Raises Rejected if it is no object.
    """
    if not isinstance(body, dict):
        raise Rejected("a statistic must be an object")
    kind = body.get("statistic")
    return kind if body.get("statistic-group") == "cluster" and isinstance(kind, str) else None


def job_states(body: Any, now: float = math.inf) -> Statistic | None:
    """Return the statistic that a broadcast is; None if it is another one.

    :param now: the time, seconds since the epoch.

    Raises Rejected if it is one, but malformed.
    """
    if kind_of(body) != JOB_STATES:
        return None
    name, timestamp = _head(body, now)
    pending = body.get("PENDING", 0)
    if not is_number(pending):
        raise Rejected("a statistic of job-states needs PENDING to be a number")
    return Statistic(name, int(pending), timestamp)


def used_storage(body: Any, now: float = math.inf) -> Storage | None:
    """Return the storage used, None if a broadcast is another statistic.

    :param now: the time, seconds since the epoch.

    Raises Rejected if it is one, but malformed: without a total, nothing used would mean
    that there is room.
    """
    if kind_of(body) != USED_STORAGE:
        return None
    name, timestamp = _head(body, now)
    total = body.get("total")
    if not is_number(total):
        raise Rejected("a statistic of used-storage needs total")
    return Storage(name, float(total), timestamp)


def _head(body: dict[str, Any], now: float) -> tuple[str, float]:
    """Return which cluster a statistic is about, and when it was taken.

    One from the future would count as fresh for ever, and shut out those that follow.
    """
    name, timestamp = body.get("statistic-cluster"), body.get("statistic-timestamp")
    if not is_name(name) or not is_number(timestamp):
        raise Rejected("a statistic needs statistic-cluster and statistic-timestamp")
    if timestamp > now + AHEAD:
        raise Rejected(f"a statistic from the future: statistic-timestamp is {timestamp:.0f}")
    return name, float(timestamp)


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a JSON value is a number that can count or date something."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
