"""The backlog: held jobs start when their cluster has room for them.

The policy is pure: statistics and held messages in, releases out. Sources: Zocalo's
backlog service at Diamond for names and defaults. Other than there, nothing is released
before the first statistic, and a release counts until the cluster can have shown it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from dlstbx_cli.services.errors import NoRoom, Rejected
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.recipe import Wrapped, is_wrapped

#: How many jobs may wait on each cluster, and how old its last statistic may be, seconds.
LIMITS: Mapping[str, int] = {"slurm": 60, "iris": 3000}
TIMEOUT = 300.0
#: A released job goes through the dispatcher before Slurm knows it: until then, seconds
#: after its release, no statistic can be taken as showing it.
SETTLING = 60.0

STATISTICS_TOPIC = "transient.statistics.cluster"

logger = logging.getLogger(__name__)


@dataclass
class Cluster:
    """What is known of one cluster: its last statistic and what was released to it since.

    Times are seconds since the epoch; *capacity* is a number of releases that stands
    in for statistics (None: the statistics decide).
    """

    limit: int | None
    capacity: int | None = None
    waiting: int = 0
    timestamp: float | None = None
    releases: list[float] = field(default_factory=list)

    def take(self, waiting: int, timestamp: float) -> None:
        """Take a statistic; one older than the last is ignored (they may arrive in any order)."""
        if self.timestamp is not None and timestamp < self.timestamp:
            return
        self.waiting, self.timestamp = waiting, timestamp
        self.releases = [time for time in self.releases if time > timestamp - SETTLING]

    def refusal(self, now: float, timeout: float) -> str | None:
        """Return why nothing may be released now, or None if there is room."""
        if self.capacity is not None:
            if len(self.releases) < self.capacity:
                return None
            return f"the capacity given, {self.capacity}, is used"
        if self.limit is None:
            return "it has no limit configured"
        if self.timestamp is None:
            return "there is no statistic yet"
        if now - self.timestamp > timeout:
            return f"its last statistic is {now - self.timestamp:.0f} s old (limit {timeout:g} s)"
        waiting = self.waiting + len(self.releases)
        return None if waiting < self.limit else f"{waiting} jobs wait, its limit is {self.limit}"


class Backlog:
    """Releases the messages of ``mimas.held``, first in first out per cluster.

    :param limits: waiting jobs by cluster; clusters not named have the usual limits.
    :param capacity: releases by cluster that need no statistic.
    :param now: the time in seconds since the epoch.
    """

    name = "backlog-release"
    queue = "mimas.held"
    topics = (STATISTICS_TOPIC,)

    def __init__(
        self,
        now: Callable[[], float],
        limits: Mapping[str, int] | None = None,
        capacity: Mapping[str, int] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._now = now
        self._timeout = timeout
        self._limits = {**LIMITS, **(limits or {})}
        self._capacity = dict(capacity or {})
        self._clusters: dict[str, Cluster] = {}

    def handle(self, message: Message) -> list[Message]:
        """Release a held message. Raises Rejected, or NoRoom saying why it stays."""
        wrapped = Wrapped.parse(message) if is_wrapped(message) else None
        payload = wrapped.payload if wrapped else message.body
        name = cluster_of(payload)
        results = (
            wrapped.send("trigger", payload, default=True)
            if wrapped
            else [Message(Queue("processing_recipe"), payload)]
        )
        cluster = self._cluster(name)
        refusal = cluster.refusal(self._now(), self._timeout)
        if refusal:
            raise NoRoom(f"cluster {name}: {refusal}")
        cluster.releases.append(self._now())
        return results

    def observe(self, message: Message) -> None:
        """Take a statistic. Raises Rejected if it is one, but malformed."""
        body = message.body
        if not isinstance(body, dict):
            raise Rejected("a statistic must be an object")
        kind = (body.get("statistic-group"), body.get("statistic"))
        if kind != ("cluster", "job-states"):
            return
        name, timestamp = body.get("statistic-cluster"), body.get("statistic-timestamp")
        waiting = body.get("PENDING", 0)
        if not isinstance(name, str) or not _is_number(timestamp) or not _is_number(waiting):
            raise Rejected("a statistic needs statistic-cluster, statistic-timestamp and PENDING")
        self._cluster(name).take(int(waiting), float(timestamp))

    def _cluster(self, name: str) -> Cluster:
        if name not in self._clusters:
            limit, capacity = self._limits.get(name), self._capacity.get(name)
            if limit is None and capacity is None:
                logger.warning(
                    "cluster %s has no limit configured: its jobs are held",
                    name,
                    extra={"action": "unknown-cluster", "cluster": name},
                )
            self._clusters[name] = Cluster(limit, capacity)
        return self._clusters[name]


def cluster_of(payload: Any) -> str:
    """Return the cluster that a held message waits for. Raises Rejected."""
    parameters = payload.get("parameters") if isinstance(payload, dict) else None
    if not isinstance(parameters, dict):
        raise Rejected("a held message must be an object with parameters")
    name = parameters.get("statistic-cluster")
    if name is None:
        return "slurm"
    if not isinstance(name, str):
        raise Rejected(f"statistic-cluster must be a name, not {name!r:.60}")
    return name


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
