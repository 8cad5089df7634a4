"""Cloud offers, made while the local cluster is full and the cloud has room.

Conditions, keys and defaults: Zocalo's Mimas service at Diamond. All the conditions are
written down in one list, from which both the offers and their explanation are made.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.mimas import MimasScenario
from dlstbx_cli.mimas import cloud as rules
from dlstbx_cli.services.cloud_settings import CloudSettings, Entry
from dlstbx_cli.services.held import statistics

LOCAL, REMOTE, STORAGE = "slurm", "iris", "s3echo"

logger = logging.getLogger(__name__)

_AT_MOST, _AT_LEAST, _MORE, _FEWER = "at most", "at least", "more than", "fewer than"
_EQUAL, _ONE_OF, _BEGINS = "equal to", "one of", "beginning with one of"
_RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    _AT_MOST: operator.le,
    _AT_LEAST: operator.ge,
    _MORE: operator.gt,
    _FEWER: operator.lt,
    _EQUAL: operator.is_,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of an offer, and how it stands.

    :param what: what is looked at, in words, with its unit.
    :param value: what it is now; None: not known.
    :param relation: what the value is to be to the threshold, in words (``at most``).
    :param entry: number of the entry, from 1, that the condition is for; None: for all.
    """

    what: str
    value: Any
    relation: str
    threshold: Any
    holds: bool
    entry: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the condition as an object, for programs."""
        return {
            "entry": self.entry,
            "condition": self.what,
            "value": self.value,
            "relation": self.relation,
            "threshold": self.threshold,
            "holds": self.holds,
        }

    def __str__(self) -> str:
        """Return the condition as a sentence: ``jobs waiting on iris: 12 (wanted: ...)``."""
        where = f"entry {self.entry}: " if self.entry else ""
        return f"{where}{self.what}: {self.shown} (wanted: {self.wanted})"

    @property
    def shown(self) -> str:
        """The value in words."""
        return _said(self.value)

    @property
    def wanted(self) -> str:
        """What the value is to be, in words: ``at most 300``."""
        return f"{self.relation} {_said(self.threshold)}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last statistic of one kind: a number of jobs or of storage, and its time."""

    number: float
    timestamp: float


class Cloud:
    """What the statistics and the configuration offer now.

    :param now: the time in seconds since the epoch.
    """

    def __init__(self, settings: CloudSettings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._seen: dict[str, _Seen] = {}
        self._verdict: list[int] | None = None

    @property
    def topics(self) -> Sequence[str]:
        """The topics that decide something: none if there can be no offers."""
        entries = self._settings.entries
        return (statistics.TOPIC,) if any(entry.on for entry in entries) else ()

    def observe(self, body: Any) -> None:
        """Take a statistic. Raises Rejected if it is one, but malformed."""
        found = _statistic(body, self._now())
        if found is None:
            return
        cluster, seen = found
        last = self._seen.get(cluster)
        # They may arrive in any order.
        if last is None or seen.timestamp >= last.timestamp:
            self._seen[cluster] = seen
            self.offers()

    def offers(self) -> list[Mapping[str, Any]]:
        """Return the offers for a scenario that is planned now."""
        if not self.topics:
            return []
        conditions = self.conditions()
        numbers = offered(conditions)
        if numbers != self._verdict:
            self._verdict = numbers
            _log(numbers, conditions)
        return [self._settings.entries[number - 1].offer for number in numbers]

    def conditions(self) -> list[Condition]:
        """Return all conditions: an entry makes an offer if these and its own ones hold."""
        settings = self._settings
        general = [_compared("cloudbursting", settings.on, _EQUAL, True)]
        if not settings.on:
            return general
        now = self._now()
        general += [
            self._age(STORAGE, _AT_MOST, now),
            _compared(f"storage used on {STORAGE}", self._number(STORAGE), _AT_MOST, settings.full),
            self._age(REMOTE, _AT_MOST, now),
        ]
        if not settings.entries:
            general.append(_compared("entries of zocalo.mimas.cloud", 0, _AT_LEAST, 1))
        for number, entry in enumerate(settings.entries, 1):
            general += self._of_entry(number, entry, now)
        return general

    def explain(self, scenario: MimasScenario) -> list[Condition]:
        """Return all conditions, also whether each entry is for such a scenario."""
        fits = fitting([entry.offer for entry in self._settings.entries], scenario)
        return sorted([*self.conditions(), *fits], key=lambda condition: condition.entry or 0)

    def _of_entry(self, number: int, entry: Entry, now: float) -> list[Condition]:
        full = self._age(LOCAL, _MORE, now, number)
        if not full.holds:  # only a statistic that can be trusted is counted by
            full = self._waiting(LOCAL, _MORE, entry, number)
        return [
            _compared("cloudbursting of the entry", entry.on, _EQUAL, True, number),
            full,
            self._waiting(REMOTE, _FEWER, entry, number),
        ]

    def _age(self, cluster: str, relation: str, now: float, entry: int | None = None) -> Condition:
        seen = self._seen.get(cluster)
        what = f"seconds since the last statistic of {cluster}"
        timeout = self._settings.timeout
        if seen is None:  # never seen is too old
            return Condition(what, None, relation, timeout, relation == _MORE, entry)
        age = now - seen.timestamp
        holds = _RELATIONS[relation](age, timeout)
        return Condition(what, round(age, 3), relation, timeout, holds, entry)

    def _waiting(self, cluster: str, relation: str, entry: Entry, number: int) -> Condition:
        what, limit = f"jobs waiting on {cluster}", entry.limits[cluster]
        return _compared(what, self._number(cluster), relation, limit, number)

    def _number(self, cluster: str) -> float | None:
        seen = self._seen.get(cluster)
        return None if seen is None else seen.number


def offered(conditions: Iterable[Condition]) -> list[int]:
    """Return the numbers of the entries all of whose conditions hold."""
    conditions = list(conditions)
    failing = {condition.entry for condition in conditions if not condition.holds}
    numbers = {condition.entry for condition in conditions if condition.entry is not None}
    return [] if None in failing else sorted(numbers - failing)


def fitting(offers: Iterable[Any], scenario: MimasScenario) -> list[Condition]:
    """Return the conditions on the scenario itself, for each of some offers."""
    found = []
    for number, offer in enumerate(offers, 1):
        beamlines, prefixes = (
            list(rules.offer_field(offer, field)) for field in ("beamlines", "visit_pattern")
        )
        holds = rules.is_for_beamline(offer, scenario)
        found.append(Condition("beamline", scenario.beamline, _ONE_OF, beamlines, holds, number))
        holds = rules.is_for_visit(offer, scenario)
        found.append(Condition("visit", scenario.visit, _BEGINS, prefixes, holds, number))
    return found


def explain_own(scenario: MimasScenario) -> list[Condition]:
    """Return the conditions for a scenario that brings its own offers along."""
    offers = list(scenario.cloudbursting or ())
    brought = _compared("offers in the scenario itself", len(offers), _AT_LEAST, 1)
    return [brought, *fitting(offers, scenario)]


def _compared(
    what: str, value: Any, relation: str, threshold: Any, entry: int | None = None
) -> Condition:
    holds = value is not None and _RELATIONS[relation](value, threshold)
    return Condition(what, value, relation, threshold, holds, entry)


def _statistic(body: Any, now: float) -> tuple[str, _Seen] | None:
    """Return what a broadcast says of one of our clusters; None if it says nothing of them."""
    jobs = statistics.job_states(body, now)
    if jobs is not None:
        known = jobs.cluster in (LOCAL, REMOTE)
        return (jobs.cluster, _Seen(jobs.waiting, jobs.timestamp)) if known else None
    used = statistics.used_storage(body, now)
    if used is None or used.cluster != STORAGE:
        return None
    return STORAGE, _Seen(used.total, used.timestamp)


def _log(numbers: Sequence[int], conditions: Sequence[Condition]) -> None:
    failing = [str(condition) for condition in conditions if not condition.holds]
    if numbers:
        text = f"offers by entry {', '.join(map(str, numbers))} of zocalo.mimas.cloud"
    else:
        text = f"no offers; {'; '.join(failing)}"
    records = [condition.record() for condition in conditions]
    extra = {"action": "cloud", "offered": list(numbers), "conditions": records}
    logger.info("cloud: %s", text, extra=extra)


def _said(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(repr, value)) or "none"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
