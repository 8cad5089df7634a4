"""What ``mimas-plan`` plans for in place of lines: DCIDs, records, all collections of a period."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import click

from dlstbx_cli.commands.base import Run
from dlstbx_cli.commands.options import Function, identifier
from dlstbx_cli.commands.progress import progress
from dlstbx_cli.commands.recording import replayed
from dlstbx_cli.commands.times import moment, shown
from dlstbx_cli.services.errors import Rejected, Stuck
from dlstbx_cli.services.message import Message, Queue

#: The parameters that ``options`` adds to a command.
NAMES = ("since", "until", "beamline")
#: So many collections are looked up at a time.
CHUNK = 200
#: With so many collections there is a bar, and it is moved once in so many of them.
_MANY, _STEPS = 500, 50


def options(function: Function) -> Function:
    """Add the options that name a period."""
    for option in (
        click.option(
            "--beamline",
            multiple=True,
            metavar="NAME",
            help="With --since: only the collections of this beamline; may be repeated.",
        ),
        click.option(
            "--until",
            metavar="TIME",
            help="With --since: those that began before: 12h, 2d, 18:00, 2026-11-25T18:00.",
        ),
        click.option(
            "--since",
            metavar="TIME",
            help="Plan for all collections that began since: 12h, 7d, 18:00, 2026-11-25.",
        ),
    ):
        function = option(function)
    return function


class Scenarios(Protocol):
    """What looks up the scenario parameters of many collections."""

    def several(self, dcids: Sequence[int]) -> Sequence[Mapping[str, Any] | Exception]:
        """Return those of each, or the error that is for it alone. Raises Unavailable."""


@dataclass
class Period:
    """The requests for the collections of a period, and the look-up that answers these.

    Raises UsageError if the options contradict.
    """

    run: Run
    since: str | None
    until: str | None
    beamline: tuple[str, ...]

    def __post_init__(self) -> None:
        if (self.until is not None or self.beamline) and not self.given:
            raise click.UsageError("--until and --beamline go with --since.")
        self._engine: Any = None
        self._scenarios: Any = None
        self._answers: dict[int, Mapping[str, Any] | Exception] = {}
        now = time.time()
        self._begin = _moment(self.since, "--since", now)
        self._end = _moment(self.until, "--until", now)
        if self._begin is not None and self._end is not None and self._begin >= self._end:
            raise click.UsageError(
                f"--since {shown(self._begin)} is not before --until {shown(self._end)}."
            )

    @property
    def given(self) -> bool:
        """Whether there is a period."""
        return self.since is not None

    def __call__(self, dcid: Any) -> Mapping[str, Any]:
        """Return the scenario parameters of a collection of the requests' last chunk.

        Raises Rejected.
        """
        answer = self._answers[dcid]
        if isinstance(answer, Stuck):  # the others are not to wait for this one
            raise Rejected(f"DCID {dcid}: {answer}")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answered_by(self, engine: Any, scenarios: Scenarios) -> Period:
        """Set the database, and what looks up many collections in it; return this."""
        self._engine, self._scenarios = engine, scenarios
        return self

    def requests(self, events: Sequence[str]) -> Iterator[Message]:
        """Yield a request for each collection and event, by DCID. Raises Unavailable.

        While a request is the last one, this is the look-up that answers it.
        """
        from dlstbx_cli.database.period import dcids

        found = dcids(self._engine, self._begin, self._end, self.beamline)
        if not found:
            self.run.say(f"no data collection {self._described()}")
        # Where the plans go to the same terminal, these show how it goes on.
        with nullcontext(_silent) if sys.stdout.isatty() else progress(_MANY, _STEPS) as tell:
            for place in range(0, len(found), CHUNK):
                chunk = found[place : place + CHUNK]
                self._answers = dict(zip(chunk, self._scenarios.several(chunk), strict=True))
                for number, dcid in enumerate(chunk, place + 1):
                    for event in events:
                        yield Message(Queue("mimas"), {"ispyb_dcid": dcid, "event": event})
                    tell("planning", number, len(found))

    def _described(self) -> str:
        text = f"began since {shown(self._begin or 0)}"
        if self._end is not None:
            text += f" until {shown(self._end)}"
        return text + (f" on {', '.join(self.beamline)}" if self.beamline else "")


@dataclass(frozen=True)
class Given:
    """What is planned for in place of standard input. Raises UsageError for two of them."""

    dcids: tuple[str, ...]
    replay: tuple[str, ...]
    period: Period

    def __post_init__(self) -> None:
        if self.replay and self.dcids:
            raise click.UsageError("--replay plans what is in its files: it goes without DCIDs.")
        if self.period.given and (self.replay or self.dcids):
            raise click.UsageError("--since goes without DCIDs and without --replay.")

    @property
    def many(self) -> bool:
        """Whether it is too much for saying anything about each."""
        return bool(self.replay) or self.period.given

    @property
    def by_dcid(self) -> bool:
        """Whether the collections are looked up in ISPyB."""
        return bool(self.dcids) or self.period.given

    def messages(self, events: Sequence[str]) -> Iterator[Message] | None:
        """Return the requests; None: they come on standard input."""
        if self.period.given:
            return self.period.requests(events)
        if self.dcids:
            return _requests(self.dcids, events)
        return replayed(self.replay) if self.replay else None


def _requests(dcids: tuple[str, ...], events: Sequence[str]) -> Iterator[Message]:
    for dcid in dcids:
        for name in events:
            body = {"ispyb_dcid": identifier(dcid), "event": name}
            yield Message(Queue("mimas"), body)


def _moment(text: str | None, flag: str, now: float) -> float | None:
    # No collection began before the epoch; what is said of it must be a date.
    return None if text is None else max(moment(text, flag, now, past=True), 0)


def _silent(_what: str, _done: int, _total: int | None) -> None:
    """Tell nobody."""
