"""What the Zocalo storage configuration says of cloud bursting, checked as a whole.

Keys and defaults: Zocalo's Mimas service at Diamond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.held import configured
from dlstbx_cli.services.held.statistics import is_number

#: The keys of the plugin ``storage`` that are read, and those of an entry of the last one.
KEYS = ("cloudbursting", "s3echo_quota", "timeout", "max_jobs_waiting", "zocalo.mimas.cloud")
ENTRY_KEYS = ("beamlines", "visit_pattern", "recipes", "max_jobs_waiting", "cloudbursting")

#: In the unit of the statistic ``used-storage``; a little less counts as full, in percent.
QUOTA = 100.0
_FULL = 95
#: Seconds after which a statistic is too old.
TIMEOUT = 300.0
#: Waiting jobs: beyond the first, slurm is full; from the second on, iris is.
LIMITS: Mapping[str, int] = {"slurm": 60, "iris": 500}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of ``zocalo.mimas.cloud``.

    :param offer: what it offers: its ``beamlines``, ``visit_pattern`` and ``recipes``.
    :param limits: how many jobs may wait, by cluster; those of slurm and iris are there.
    :param on: false if the entry is switched off.
    """

    offer: Mapping[str, Any]
    limits: Mapping[str, int]
    on: bool = True


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """The settings of cloud bursting; without any it is off.

    :param quota: of the storage s3echo, in the unit of its statistic.
    :param timeout: seconds after which a statistic is too old.
    """

    on: bool = False
    quota: float = QUOTA
    timeout: float = TIMEOUT
    entries: tuple[Entry, ...] = ()

    @property
    def full(self) -> float:
        """How much storage may be used at most."""
        # In this order 95 % of a whole number are what one would write.
        return self.quota * _FULL / 100

    @classmethod
    def from_storage(
        cls, storage: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> CloudSettings:
        """Return the settings in the plugin ``storage``; null is the same as absent.

        Switched off, it is off whatever else there is.

        :param environ: where ``DLSTBX_MAX_JOBS_WAITING`` stands in for, cluster by cluster,
            the storage's ``max_jobs_waiting``, as it does for the backlog.

        Raises Misconfigured, naming the key and the entry.
        """
        if not _switch(storage, "", default=False):
            return cls()
        given = configured.waiting(storage, environ or {})
        limits = {**LIMITS, **{name: number for name, (number, _) in given.items()}}
        quota = _number(storage, "s3echo_quota", QUOTA)
        timeout = TIMEOUT
        if storage.get("timeout") is not None:
            timeout = configured.seconds(storage["timeout"], f"timeout {configured.STORAGE}")
        return cls(True, quota, timeout, _entries(storage, limits))


def _entries(storage: Mapping[str, Any], limits: Mapping[str, int]) -> tuple[Entry, ...]:
    key = "zocalo.mimas.cloud"
    entries = storage.get(key)
    if entries is None:
        return ()
    if not isinstance(entries, list | tuple):
        raise _wrong(key, "a list of entries", entries)
    return tuple(
        _entry(entry, f"{key}, entry {number}: ", limits) for number, entry in enumerate(entries, 1)
    )


def _entry(entry: Any, where: str, limits: Mapping[str, int]) -> Entry:
    if not isinstance(entry, dict):
        raise _wrong(where.removesuffix(": "), f"an object with {', '.join(ENTRY_KEYS)}", entry)
    unknown = [str(key) for key in entry if key not in ENTRY_KEYS]
    if unknown:  # "recipe" for "recipes" would send everything to the cloud
        raise Misconfigured(
            f"{where}unknown key {unknown[0]} in the Zocalo storage: there are"
            f" {', '.join(ENTRY_KEYS)}"
        )
    offer = {key: _texts(entry, key, where) for key in ("beamlines", "visit_pattern")}
    if entry.get("recipes") is not None:
        offer["recipes"] = _texts(entry, "recipes", where)
    own = {
        **limits,
        **configured.numbers(
            entry.get(configured.KEY), f"{where}{configured.KEY} {configured.STORAGE}"
        ),
    }
    return Entry(offer, own, _switch(entry, where, default=True))


def _switch(settings: Mapping[str, Any], where: str, default: bool) -> bool:
    value = settings.get("cloudbursting")
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _wrong(f"{where}cloudbursting", "true or false", value)
    return value


def _number(settings: Mapping[str, Any], key: str, default: float) -> float:
    value = settings.get(key)
    if value is None:
        return default
    if not is_number(value):
        raise _wrong(key, "a number, 0 or more", value)
    return value


def _texts(entry: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = entry.get(key)
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise _wrong(f"{where}{key}", "a list of texts", value)
    return list(value)


def _wrong(key: str, what: str, value: Any) -> Misconfigured:
    shown = "is missing" if value is None else f"is {value!r:.60}"
    return Misconfigured(f"{key} in the Zocalo storage must be {what}, but it {shown}")
