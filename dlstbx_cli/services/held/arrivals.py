"""Arrivals for a simulation, read from records, and how long jobs run."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from dlstbx_cli.services.backlog import held_job
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.held.simulate import Arrival
from dlstbx_cli.services.held.statistics import is_number
from dlstbx_cli.services.message import Message, Queue

#: Where held messages are addressed to.
HELD = Queue("mimas.held")
#: Seconds since the epoch that are no mistake: before the year 5000. Milliseconds are more.
_LATEST = 1e11
#: A year, in seconds: no job is longer.
_LONGEST = 366 * 86400

#: Gives the length of one job, in seconds.
Draw = Callable[[random.Random], float]

_NUMBER = r"(\d+(?:\.\d+)?)"


def draw(text: str) -> Draw:
    """Return the lengths that an option describes. Raises ValueError.

    ``600``: always that; ``300-900``: between these, all alike; ``600~``: exponentially
    distributed with that mean, so that some jobs are much longer.
    """
    match = re.fullmatch(rf"{_NUMBER}(?:-{_NUMBER}|(~))?", text, re.ASCII)
    if not match:
        raise ValueError(f"{text!r} is no length: it is like 600, 300-900 or 600~, in seconds")
    first, last = float(match[1]), float(match[2] or match[1])
    if not first <= last <= _LONGEST:
        raise ValueError(f"{text!r} is no length: from less to more, and at most a year")
    if match[3]:
        return lambda dice: dice.expovariate(1 / first) if first else 0.0
    return lambda dice: dice.uniform(first, last)


class Lengths:
    """How long jobs run: as their record says, else as their recipe does, else as all do.

    :param usual: of recipes that are not named; None: their jobs are rejected.
    :param seed: of what is drawn: the same seed and jobs give the same lengths.
    """

    def __init__(self, usual: Draw | None, by_recipe: Mapping[str, Draw], seed: int = 0) -> None:
        self._usual = usual
        self._by_recipe = by_recipe
        self._dice = random.Random(seed)  # noqa: S311  (nothing is to be kept secret)

    def of(self, given: Any, recipe: str) -> float:
        """Return the length of the next job, in seconds. Raises Rejected."""
        if given is not None:
            if not is_number(given) or given > _LONGEST:
                raise Rejected(f"length must be seconds, at most a year, not {given!r:.60}")
            return float(given)
        usual = self._by_recipe.get(recipe, self._usual)
        if usual is None:
            raise Rejected(
                f"how long does it run? The line has no length: give --length-of {recipe}=SECONDS"
                if recipe
                else "how long does it run? The line has no length: give --length SECONDS"
            )
        return usual(self._dice)


def record_of(message: Message) -> dict[str, Any] | None:
    """Return the record of a held message; None if it is addressed to somebody else.

    What the message says of the job, and what is noted on its line: when it was taken,
    for example; the note counts if there are both. Raises Rejected if it is malformed.
    """
    if message.destination != HELD:
        return None
    job = held_job(message)
    said = {
        "cluster": job.cluster,
        "visit": job.visit,
        "beamline": job.beamline,
        "recipe": job.recipe,
    }
    return {**said, **{key: value for key, value in message.notes.items() if value is not None}}


def arrival(record: Mapping[str, Any], lengths: Lengths, clusters: Collection[str]) -> Arrival:
    """Return the arrival that a record describes: ``taken`` or ``time``, and what is known.

    :param clusters: those that can be simulated.

    Raises Rejected.
    """
    key = "taken" if record.get("taken") is not None else "time"
    time = _time(record.get(key), key)
    names = {key: _name(record, key) for key in ("visit", "beamline", "recipe")}
    cluster = _name(record, "cluster") or "slurm"
    if cluster not in clusters:
        raise Rejected(f"how large is cluster {cluster}? Give --slots {cluster}=N")
    return Arrival(time, lengths.of(record.get("length"), names["recipe"]), cluster, **names)


def _time(value: Any, key: str) -> float:
    if value is None:
        raise Rejected("neither taken nor time: when did it come?")
    if isinstance(value, str):
        return _iso(value, key)
    if not is_number(value) or value > _LATEST:
        raise Rejected(f"{key} must be seconds since the epoch, not {value!r:.60}")
    return float(value)


def _iso(text: str, key: str) -> float:
    """Return an ISO 8601 time in seconds since the epoch; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected(
            f"{key} must be a time like 2026-11-23T12:00:00Z, not {text!r:.60}"
        ) from None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds <= _LATEST:
        raise Rejected(f"{key} must be a time since 1970, not {text!r:.60}")
    return seconds


def _name(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Rejected(f"{key} must be a text, not {value!r:.60}")
    return value
