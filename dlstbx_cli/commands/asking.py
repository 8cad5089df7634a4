"""The sources that ``mimas-trace`` asks: each is opened when it is first asked.

One that cannot be asked is not asked again, and why is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run
from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.tracing import Event, Named

if TYPE_CHECKING:
    from dlstbx_cli.database.held_trace import HeldTrace
    from dlstbx_cli.database.progress import Progress
    from dlstbx_cli.database.state import JobState
    from dlstbx_cli.recipes.entries import Entries
    from dlstbx_cli.services.held.values import Limits

Result = TypeVar("Result")

ISPYB, STATE, RECORDS, LOGBOOK, BROKER = "ISPyB", "state", "records", "logbook", "broker"
DROPPED = "drop-dir"
#: The part of a broker that not every one lets us look at.
QUEUES = "queues"
#: Seconds that a directory may take.
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to ask, as the options say; None: as it is configured."""

    broker: str | None = None
    ispyb: str | None = None
    state: str | None = None
    logbook: str | None = None
    record: str | None = None
    drop_dir: str | None = None


class Asked:
    """All sources, a method each: it returns what *work* finds there.

    From a source that cannot be asked, now or before, comes None, or an empty list.

    :param limits: those of backlog-release, by which it is said why a job is held.
    """

    def __init__(self, run: Run, sources: Sources, limits: Limits) -> None:
        self._run = run
        self._sources = sources
        self._limits = limits
        self._bounded = Bounded()
        #: Why a source could not be asked, and the sources of which it was no setting's fault.
        self.unavailable: dict[str, str] = {}
        self.away: set[str] = set()
        self.answered: set[str] = set()

    def ispyb(self, work: Callable[[Progress], Result]) -> Result | None:
        """Ask ISPyB."""
        return self._ask(ISPYB, lambda: work(self._progress))

    def held(self, work: Callable[[HeldTrace], Result]) -> Result | None:
        """Ask the state store for jobs that are, or were, held."""
        return self._ask_state(lambda: work(self._held))

    def begun(self, work: Callable[[JobState], Result]) -> Result | None:
        """Ask the state store for the jobs that requests have made."""
        return self._ask_state(lambda: work(self._begun))

    def records(self, work: Callable[[Path], list[Result]]) -> list[Result]:
        """Ask the records of mimas-plan."""
        directory = self._run.configuration.records(self._sources.record)
        return self._read(RECORDS, directory, "mimas-plan --record, DLSTBX_RECORDS", work)

    def logbook(self, work: Callable[[Entries], list[Result]]) -> list[Result]:
        """Ask the logbook of recipe-dispatch."""
        from dlstbx_cli.recipes.entries import Entries

        directory = self._run.configuration.logbook(self._sources.logbook)
        missing = "recipe-dispatch --logbook, DLSTBX_LOGBOOK"
        return self._read(LOGBOOK, directory, missing, lambda path: work(Entries(path)))

    def broker(self, wanted: Callable[[Named], bool]) -> list[Event]:
        """Look for dead letters and, where the broker can be browsed, messages that wait."""
        return self._ask(BROKER, lambda: self._looked(wanted)) or []

    def stored(self, wanted: Callable[[Named], bool]) -> list[Event]:
        """Look for triggers that were stored, not sent."""
        from dlstbx_cli.transport.concerned import stored

        directory = self._run.configuration.drop_dir(self._sources.drop_dir)
        return self._read(DROPPED, directory, "", lambda path: list(stored(path, wanted)))

    def _ask(self, source: str, work: Callable[[], Result]) -> Result | None:
        if source in self.unavailable:
            return None
        try:
            result = work()
        except Unavailable as error:
            self.away.add(source)
            self.unavailable[source] = str(error)
            return None
        except Misconfigured as error:
            self.unavailable[source] = str(error)
            return None
        self.answered.add(source)
        return result

    def _ask_state(self, work: Callable[[], Result]) -> Result | None:
        """Return what the state store answers: None from one that nobody has used yet."""
        return self._ask(STATE, lambda: None if options.missing_file(self._state_url) else work())

    @cached_property
    def _progress(self) -> Progress:
        from dlstbx_cli.database.progress import Progress

        return Progress(options.engine(self._run, self._sources.ispyb))

    @cached_property
    def _state_url(self) -> str:
        return options.state_url(self._run, self._sources.state)

    @cached_property
    def _held(self) -> HeldTrace:
        from dlstbx_cli.database.held_lists import HeldLists
        from dlstbx_cli.database.held_trace import HeldTrace

        return HeldTrace(HeldLists.at(self._state_url), self._limits, time.time())

    @cached_property
    def _begun(self) -> JobState:
        from dlstbx_cli.database.state import JobState

        return JobState.at(self._state_url)

    def _read(
        self,
        source: str,
        directory: Path | None,
        missing: str,
        work: Callable[[Path], list[Result]],
    ) -> list[Result]:
        def bounded() -> list[Result]:
            if directory is None:
                raise Misconfigured(f"none is configured ({missing})")
            return self._bounded.run(str(directory), _PATIENCE, lambda: work(directory))

        return self._ask(source, bounded) or []

    def _looked(self, wanted: Callable[[Named], bool]) -> list[Event]:
        from dlstbx_cli.transport import concerned
        from dlstbx_cli.transport.broker import connect

        url = options.broker_url(self._run, self._sources.broker)
        if options.missing_file(url):
            return []
        with closing(connect(url)) as broker:
            found = list(concerned.dead(broker, wanted))
            if broker.browses():
                waiting, longer = concerned.waiting(broker, wanted)
                if longer:
                    self.unavailable[QUEUES] = (
                        f"what lies behind the first {concerned.MOST} messages"
                        f" of {', '.join(longer)}"
                    )
                return found + waiting
        self.unavailable[QUEUES] = (
            "this broker cannot be browsed: only its dead letters were looked at"
        )
        return found
