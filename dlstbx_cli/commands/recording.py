"""Records of what was planned and why: written by ``mimas-plan --record``, and replayed."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.services.message import Message, Queue

if TYPE_CHECKING:
    from dlstbx_cli.services.explanation import Explanation

logger = logging.getLogger("dlstbx_cli")

#: Days and megabytes that are kept.
DAYS, MEGABYTES = 14, 1000
#: A day's file that has come to this part of all that is kept goes on in another one.
_PART = 8
_NAMES = "mimas-*.jsonl"
#: Bytes that are read at a time from the end of a file.
_BLOCK = 1 << 16


class Records:
    """One file a day (UTC) in a directory, a line for each plan, the oldest files removed.

    What cannot be written is left out, and said once: a full disk is no reason to stop
    planning. Several services of a host may write to the same directory: a line is written
    as a whole.

    :param days: files that are older are removed.
    :param megabytes: so much is kept in all, at most.
    """

    def __init__(
        self,
        directory: Path,
        days: int = DAYS,
        megabytes: int = MEGABYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._days = days
        self._most = megabytes * 1_000_000
        self._clock = clock
        self._path: Path | None = None
        self._day = ""
        self._fails = False

    def __call__(
        self, message: Message, scenario: Mapping[str, Any], explanation: Explanation
    ) -> None:
        """Write down a plan: a Recorder of ``dlstbx_cli.services.mimas``."""
        now = self._clock()
        record = {
            "time": round(now, 3),
            "command": "mimas-plan",
            "dcid": explanation.scenario.DCID,
            "event": explanation.scenario.event.name,
            "guid": _guid(message),
            "scenario": scenario,
            **explanation.record(),
        }
        try:
            self._write(json.dumps(record).encode() + b"\n", now)
        except OSError as error:
            if not self._fails:
                text = "records %s: %s; plans are made all the same, and not recorded"
                extra = {"action": "record"}
                logger.warning(text, self._directory, error.strerror, extra=extra)
            self._fails, self._path = True, None
        else:
            self._fails = False

    def _write(self, line: bytes, now: float) -> None:
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        if self._path is None or day != self._day:
            self._day, self._path = day, self._next(day)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            begin = os.fstat(descriptor).st_size
            if os.write(descriptor, line) < len(line):
                # The disk is full: half a line would spoil the next one as well.
                os.ftruncate(descriptor, begin)
                raise OSError(28, "No space left on device")
            if begin + len(line) >= self._most // _PART:
                self._path = None
        finally:
            os.close(descriptor)

    def _next(self, day: str) -> Path:
        """Return the file to write to from now on, after making room."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sweep(day)
        # Those with the first numbers may be gone: the numbers go on all the same.
        latest = max(self._directory.glob(f"mimas-{day}*.jsonl"), key=_age, default=None)
        if latest is None:
            return self._directory / f"mimas-{day}.jsonl"
        if latest.stat().st_size < self._most // _PART:
            return latest
        return self._directory / f"mimas-{day}.{_age(latest)[1] + 1:03d}.jsonl"

    def _sweep(self, day: str) -> None:
        oldest = (datetime.fromisoformat(day) - timedelta(days=self._days)).date().isoformat()
        left = self._most - self._most // _PART
        for path in sorted(self._directory.glob(_NAMES), key=_age, reverse=True):
            with suppress(OSError):  # another service may have removed it
                left -= path.stat().st_size
                if left < 0 or path.name < f"mimas-{oldest}":
                    path.unlink()


def _age(path: Path) -> tuple[str, int]:
    """Return what files sort by: the day, then the number; the first has none."""
    day, _, number = path.name.removesuffix(".jsonl").partition(".")
    return day, int(number) if number.isdecimal() else 1


def _guid(message: Message) -> str | None:
    """Return the recipe's id, by which the trigger is known everywhere."""
    body = message.body
    environment = body.get("environment") if isinstance(body, dict) else None
    guid = environment.get("ID") if isinstance(environment, dict) else None
    return guid if isinstance(guid, str) else None


def replayed(paths: Iterable[str]) -> Iterator[Message]:
    """Yield the scenarios of records as messages for Mimas.

    What is added to a file meanwhile, even by this command, does not count.

    Raises UsageError for a file that cannot be opened, or has a line that is no record.
    """
    for path in paths:
        try:
            stream = click.open_file(path, "rb")
        except OSError as error:
            raise click.UsageError(f"--replay {path}: {error.strerror}.") from None
        left = Path(path).stat().st_size if Path(path).is_file() else math.inf
        with stream:
            for number, line in enumerate(stream, 1):
                if left <= 0:
                    break
                left -= len(line)
                if not line.isspace():
                    yield _scenario(line, f"--replay {path}: line {number}")


def _scenario(line: bytes, where: str) -> Message:
    try:
        scenario = json.loads(line)["scenario"]
    except (ValueError, KeyError, TypeError, RecursionError):
        scenario = None
    if not isinstance(scenario, dict):
        raise click.UsageError(f"{where} is no record of mimas-plan --record.")
    return Message(Queue("mimas"), scenario)


def last(directory: Path, number: int) -> list[dict[str, Any]]:
    """Return the last records of a directory, the latest last; of a big file only its end is read.

    A line that is no record is left out. Raises OSError.
    """
    found: list[dict[str, Any]] = []
    for path in sorted(directory.glob(_NAMES), key=_age, reverse=True):
        found = [*_last_of(path, number - len(found)), *found]
        if len(found) >= number:
            break
    return found


def _last_of(path: Path, number: int) -> list[dict[str, Any]]:
    try:
        lines = _last_lines(path, number)
    except FileNotFoundError:  # its time was over
        return []
    records = []
    for line in lines:
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and "scenario" in record:
                records.append(record)
    return records


def _last_lines(path: Path, number: int) -> list[bytes]:
    """Return the last whole lines of a file: one that is being written has no end yet."""
    with path.open("rb") as stream:
        begin = stream.seek(0, os.SEEK_END)
        tail = b""
        while begin and tail.count(b"\n") <= number:
            step = min(begin, _BLOCK)
            begin = stream.seek(begin - step)
            tail = stream.read(step) + tail
    lines = tail.split(b"\n")[:-1]
    # The first may have begun before the block.
    return lines[-number:] if not begin else lines[1:][-number:]
