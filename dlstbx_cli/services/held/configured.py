"""Limits as a site writes them: in the environment, in the Zocalo storage, as options.

Here, and nowhere else, is what a limit may look like, and what is said of another thing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.held.names import is_name

#: The variable and the key of the storage.
WAITING, KEY = "DLSTBX_MAX_JOBS_WAITING", "max_jobs_waiting"
STORAGE = "in the Zocalo storage"
#: More digits are a mistake, and Python would not read 5000 of them.
_NUMBER = re.compile(r"[0-9]{1,15}")
_MOST = 10**15


def waiting(storage: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """Return how many jobs may wait by cluster, each with where that stands.

    Each cluster by itself: what the environment does not name is left to the storage.

    :param storage: the plugin of that name of the Zocalo configuration.

    Raises Misconfigured.
    """
    found: dict[str, tuple[int, str]] = {}
    for given, origin in (
        (storage.get(KEY), f"{KEY} {STORAGE}"),
        (environ.get(WAITING) or None, WAITING),
    ):
        found |= {name: (number, origin) for name, number in numbers(given, origin).items()}
    return found


def numbers(given: Any, where: str) -> Mapping[str, int]:
    """Return numbers of jobs by cluster: an object, or a text like ``slurm=60,iris=3000``.

    Nothing given is none. Raises Misconfigured, naming *where* it stands.
    """
    if given is None:
        return {}
    pairs = given
    if isinstance(given, str):
        pairs = dict(_pair(part) for part in given.split(","))
    if not isinstance(pairs, Mapping) or not all(
        is_name(name) and type(number) is int and 0 <= number < _MOST
        for name, number in pairs.items()
    ):
        raise Misconfigured(
            f"{where} must be numbers of jobs by cluster, such as slurm=60,iris=3000,"
            f" not {given!r:.60}"
        )
    return pairs


def seconds(given: Any, where: str) -> float:
    """Return a number of seconds. Raises Misconfigured, naming *where* it stands."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not 0 <= given < _MOST:
        raise Misconfigured(f"{where} must be seconds, 0 or more, not {given!r:.60}")
    return float(given)


def number_in(text: str) -> float | str:
    """Return the number that a text of the environment is, or the text if it is none."""
    try:
        return float(text)
    except ValueError:
        return text


def _pair(text: str) -> tuple[str, int | None]:
    name, _, number = text.partition("=")
    number = number.strip()
    return name.strip(), int(number) if _NUMBER.fullmatch(number) else None
