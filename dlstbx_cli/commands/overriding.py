"""The file of overrides: read again when it changes, and never half."""

from __future__ import annotations

import logging
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dlstbx_cli.commands.base import Run, counted
from dlstbx_cli.mimas.overrides import Override, overrides_from
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.explanation import Plan
from dlstbx_cli.services.mimas import Overriding

logger = logging.getLogger("dlstbx_cli")

#: Seconds between two looks at whether the file has changed.
_GLANCE = 1.0


class OverridesFile:
    """The overrides of a file, as they are now.

    A file that is not there means that there are none. One that cannot be read, or is
    wrong in any entry, leaves those before it in force, and that is said once. What could
    not be read is tried again, as its time stamp may stay the same.

    Raises Misconfigured if it is wrong at the start: nobody knows then what was wanted.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._looked = monotonic()
        self._state = self._stat()
        self._said = ""
        try:
            self._overrides: Sequence[Override] = self._read()
        except (OSError, ValueError) as error:
            raise Misconfigured(f"overrides {path}: {_reason(error)}") from None

    def __call__(self) -> Sequence[Override]:
        """Return the overrides; those that have ended are among them."""
        now = self._monotonic()
        if now - self._looked >= _GLANCE:
            self._looked = now
            self._refresh()
        return self._overrides

    def _refresh(self) -> None:
        state = self._stat()
        if state == self._state:
            return
        extra = {"action": "overrides"}
        try:
            self._overrides = self._read()
        except (OSError, ValueError) as error:
            reason = _reason(error)
            if isinstance(error, ValueError):
                self._state = state
            elif reason == self._said:
                return
            self._said = reason
            text = "overrides %s: %s; those before remain in force"
            logger.warning(text, self._path, reason, extra=extra)
            return
        self._state, self._said = state, ""
        # A warning, since it changes what is processed.
        logger.warning(
            "overrides %s: read again, %d entries", self._path, len(self._overrides), extra=extra
        )

    def _read(self) -> list[Override]:
        try:
            with self._path.open("rb") as file:
                return overrides_from(tomllib.load(file))
        except FileNotFoundError:
            return []
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def overriding(run: Run, option: str | None) -> Overriding | None:
    """Return the overrides that a command is to heed; None: no file is configured.

    Raises Misconfigured.
    """
    path = run.configuration.overrides(option)
    if path is None:
        return None
    if option and not path.exists():
        raise Misconfigured(f"--overrides {path}: there is no such file")
    return Overriding(OverridesFile(path), time.time)


class Overridden:
    """Counts what overrides make of many plans, so that each override is said once."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, plan: Plan) -> None:
        """Take a plan."""
        changed = (one for one in (*plan.dropped, *plan.tasks) if one.override)
        self._counts.update(one.override for one in changed)

    def say(self, run: Run) -> None:
        """Say to the person at *run* how many tasks each override has changed."""
        for override, number in self._counts.items():
            run.say(f"{counted(number, 'task')} overridden: {override}")
