"""Times and durations as people write them on a command line."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
_CLOCK = re.compile(r"\d\d?:\d\d(?::\d\d)?", re.ASCII)


def duration(text: str, flag: str) -> float:
    """Return seconds: ``90``, ``15m``, ``12h``, ``2d``. Raises UsageError."""
    seconds = _duration(text)
    if seconds is None:
        raise click.UsageError(f"{flag} takes a number and s, m, h or d, not {text!r}.")
    return seconds


def moment(text: str, flag: str, now: float, *, past: bool = False) -> float:
    """Return a time in seconds since the epoch.

    ISO 8601 (without a zone: this machine's); ``18:00``, the next one; ``2h``, from now.

    :param past: the last ``18:00``, and ``2h`` ago, instead.

    Raises UsageError.
    """
    seconds = _duration(text) if text[-1:].isalpha() else None
    if seconds is not None:
        return now - seconds if past else now + seconds
    try:
        return _clock(text, now, past) if _CLOCK.fullmatch(text) else _iso(text)
    except (ValueError, OverflowError, OSError):
        raise click.UsageError(
            f"{flag} takes a time such as 2026-11-25T18:00, 18:00, 2h or 3d, not {text!r}."
        ) from None


def shown(seconds: float, form: str = "%Y-%m-%d %H:%M") -> str:
    """Return a time, in seconds since the epoch, as a person here reads it."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):  # no calendar goes so far
        return f"{seconds:.15g} s"


def _duration(text: str) -> float | None:
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def _iso(text: str) -> float:
    # A local time without a zone: timestamp() knows about summer time.
    return datetime.fromisoformat(text).timestamp()


def _clock(text: str, now: float, past: bool) -> float:
    here = datetime.fromtimestamp(now)
    padded = text if text[2] == ":" else f"0{text}"
    wanted = datetime.combine(here.date(), time.fromisoformat(padded))
    days = [(wanted + timedelta(days=days)).timestamp() for days in (-1, 0, 1)]
    return max(day for day in days if day <= now) if past else min(d for d in days if d > now)
