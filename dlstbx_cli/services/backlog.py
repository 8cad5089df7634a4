"""The backlog: held jobs start when their cluster has room for them.

What may be released is decided by the pure policy of ``held``. Sources: Zocalo's backlog
service at Diamond for names and defaults.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from dlstbx_cli.services.errors import NoRoom, Rejected
from dlstbx_cli.services.held import policy, statistics
from dlstbx_cli.services.held.blindness import Blindness
from dlstbx_cli.services.held.names import is_name
from dlstbx_cli.services.held.port import Entry, HeldStore, Seen
from dlstbx_cli.services.held.values import (
    Held,
    Limits,
    Statistic,
)
from dlstbx_cli.services.message import DCID_HEADER, RECIPE_HEADER, Message, Queue, rule_of
from dlstbx_cli.services.meter import Levels
from dlstbx_cli.services.recipe import Wrapped, is_wrapped
from dlstbx_cli.services.service import Departure
from dlstbx_cli.services.trace import about

STATISTICS_TOPIC = statistics.TOPIC
#: Seconds between two looks at the store for what no message tells: a job that somebody else
#: has held, a pause that has ended, a claim whose owner has died.
INTERVAL = 1.0

logger = logging.getLogger(__name__)


class Backlog:
    """A filter's backlog: in the order of the lines; what has no room is passed on.

    :param now: the time in seconds since the epoch.
    """

    name = "backlog-release"
    queue = "mimas.held"
    topics = (STATISTICS_TOPIC,)

    def __init__(self, now: Callable[[], float], limits: Limits) -> None:
        self._now = now
        self._limits = limits
        self._statistics: dict[str, Statistic] = {}
        self._releases: dict[str, list[float]] = defaultdict(list)
        self._known = _Known(limits)

    def handle(self, message: Message) -> list[Message]:
        """Release a held message. Raises Rejected, or NoRoom saying why it stays."""
        cluster = cluster_of(_payload(message))
        results = released(message)
        self._known.check(cluster)
        releases = self._releases[cluster]
        room = policy.room(
            cluster,
            self._limits,
            self._statistics.get(cluster),
            releases,
            self._now(),
            spent=len(releases),
        )
        if not room.free:
            raise NoRoom(f"cluster {cluster}: {room.refusal}")
        releases.append(self._now())
        return results

    def observe(self, message: Message) -> None:
        """Take a statistic. Raises Rejected if it is one, but malformed."""
        found = statistics.job_states(message.body, self._now())
        if found is not None:
            last = self._statistics.get(found.cluster)
            # They may arrive in any order.
            if last is None or found.timestamp >= last.timestamp:
                self._statistics[found.cluster] = found


class StoredBacklog:
    """The backlog of a service: held jobs wait in a store, and go when there is room.

    :param now: the time in seconds since the epoch.
    :param wait_until: a run that ends waits for a statistic until then, if it lacks one.
    """

    name = "backlog-release"
    queue = "mimas.held"
    topics = (STATISTICS_TOPIC,)

    def __init__(
        self,
        store: HeldStore,
        limits: Limits,
        now: Callable[[], float],
        wait_until: float = 0.0,
    ) -> None:
        self._store = store
        self._limits = limits
        self._now = now
        self._wait_until = wait_until
        self._known = _Known(limits)
        self._blindness = Blindness(limits.timeout)
        self._spent: Counter[str] = Counter()
        self._going: list[int] = []
        self._gone: list[int] = []
        self._look_at = 0.0
        self._told = False

    def handle(self, message: Message) -> list[Message]:
        """Keep a held message in the store: from then on it waits there. Raises Rejected."""
        released(message)
        job = held_job(message)
        self._known.check(job.cluster)
        self._store.hold(job, message)
        self._look_at = 0.0
        return []

    def observe(self, message: Message) -> None:
        """Take a statistic. Raises Rejected if it is one, but malformed."""
        found = statistics.job_states(message.body, self._now())
        if found is not None:
            self._store.note(found)
            self._look_at, self._told = 0.0, True

    def due(self) -> list[Departure]:
        """Return the jobs that go now, claimed in the store for us."""
        self._note()
        now = self._now()
        if self._look_at <= now < self._look_at + INTERVAL:
            return []
        self._look_at = now
        entries = self._store.abandoned()
        for cluster in sorted(self._store.clusters()):
            self._known.check(cluster)
            claimed = self._store.claim(cluster, self._free(cluster), self._chosen)
            self._spent[cluster] += len(claimed)
            entries += claimed
        self._going = [entry.job.number for entry in entries]
        return [_departure(entry) for entry in entries]

    def sending(self) -> AbstractContextManager[None]:
        """Keep our claims up, however slow the broker is: nobody else sends the same."""
        return self._store.renewing(self._going)

    def sent(self) -> None:
        """Note that what was due has been sent; there may be more."""
        self._gone += self._going
        self._going = []
        self._note()

    def _note(self) -> None:
        """Write down what has gone; if the store is away just now, before anything else goes."""
        if self._gone:
            self._store.released(self._gone)
            self._gone = []
            self._look_at = 0.0

    def expects(self) -> bool:
        """Tell whether a run that ends should still wait for a statistic."""
        return not self._told and self._now() < self._wait_until and bool(self._store.clusters())

    def levels(self) -> Levels:
        """Return what is held for each cluster, and how old its last statistic is.

        Of every cluster that has a limit, a statistic or a job. On any thread: it looks only
        at the store.
        """
        statistics, now = self._store.statistics(), self._now()
        known = {*self._limits.waiting, *self._limits.capacity, *statistics}
        return Levels(
            {**dict.fromkeys(known, 0), **self._store.clusters()},
            {name: max(0.0, now - one.timestamp) for name, one in statistics.items()},
        )

    def summary(self) -> tuple[int, int]:
        """Return how many jobs were released by this run, and how many are held."""
        return self._spent.total(), sum(self._store.clusters().values())

    def _free(self, cluster: str) -> Callable[[Seen], int]:
        def free(seen: Seen) -> int:
            now = self._now()
            room = policy.room(
                cluster,
                self._limits,
                seen.statistic,
                seen.releases,
                now,
                self._spent[cluster],
            )
            self._blindness.look(cluster, room, now)
            return room.free

        return free

    def _chosen(self, held: Iterable[Held], seen: Seen, free: int) -> Sequence[Held]:
        return policy.release(held, free, self._limits, seen.pauses, seen.served, self._now())


def _departure(entry: Entry) -> Departure:
    with about(entry.message):
        logger.info(
            "job %s released to %s",
            entry.job.job,
            entry.job.cluster,
            extra={"action": "release", "cluster": entry.job.cluster, "dcid": entry.job.dcid},
        )
    try:
        return Departure(entry.message, sent_for(entry))
    except Rejected as error:
        return Departure(entry.message, (), str(error))


class _Known:
    """Says of each cluster without a limit, once, that its jobs are held."""

    def __init__(self, limits: Limits) -> None:
        self._limited = {*limits.waiting, *limits.capacity}

    def check(self, cluster: str) -> None:
        if cluster not in self._limited:
            logger.warning(
                "cluster %s has no limit configured: its jobs are held",
                cluster,
                extra={"action": "unknown-cluster", "cluster": cluster},
            )
            self._limited.add(cluster)


def released(message: Message) -> list[Message]:
    """Return what a held message becomes when it is released. Raises Rejected.

    The identities follow from its own, so that a job that is released again, because its
    releaser was killed, is the same message.
    """
    payload = _payload(message)
    if is_wrapped(message):
        results = Wrapped.parse(message).send("trigger", payload, default=True)
    else:
        results = [Message(Queue("processing_recipe"), payload)]
    rule = rule_of(message)
    return [
        result.with_headers(rule).child(message.identity, place)
        for place, result in enumerate(results)
    ]


def sent_for(entry: Entry) -> list[Message]:
    """Return what a job of the store becomes when it is released. Raises Rejected."""
    if entry.fault is not None:
        raise Rejected(entry.fault)
    return released(entry.message)


def held_job(message: Message) -> Held:
    """Return what the policy needs to know of a held message. Raises Rejected.

    Beamline and visit are parameters of the recipe's step on the queue ``mimas``, which
    decided about the job; recipe and DCID are in headers of ours.
    """
    payload = _payload(message)
    decided = _decided(message.body) if is_wrapped(message) else {}
    job = payload["parameters"].get("ispyb_process")
    return Held(
        0,
        cluster_of(payload),
        beamline=_text(decided.get("beamline")),
        visit=_text(decided.get("visit")),
        recipe=_text(message.headers.get(RECIPE_HEADER)),
        dcid=_number(message.headers.get(DCID_HEADER) or decided.get("dcid")),
        job=_number(job),
    )


def cluster_of(payload: Any) -> str:
    """Return the cluster that a held message waits for. Raises Rejected."""
    parameters = payload.get("parameters") if isinstance(payload, dict) else None
    if not isinstance(parameters, dict):
        raise Rejected("a held message must be an object with parameters")
    name = parameters.get("statistic-cluster")
    if name is None:
        return "slurm"
    if not is_name(name):
        raise Rejected(f"statistic-cluster must be a name, not {name!r:.60}")
    return name


def _payload(message: Message) -> Any:
    payload = Wrapped.parse(message).payload if is_wrapped(message) else message.body
    cluster_of(payload)
    return payload


def _decided(body: Mapping[str, Any]) -> Mapping[str, Any]:
    for step in body["recipe"].values():
        if isinstance(step, dict) and step.get("queue") == "mimas":
            parameters = step.get("parameters")
            return parameters if isinstance(parameters, dict) else {}
    return {}


def _text(value: Any) -> str:
    """Return a name as a store and a terminal can take it, whatever somebody has written."""
    text = value if isinstance(value, str) else ""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18
    return value if is_number else None
