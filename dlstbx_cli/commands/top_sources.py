"""Where ``dlstbx-top`` looks: the broker, the store of held jobs, the records of plans.

Each is looked at on a thread of its own, and none waits for another: what is away, or
hangs, is said in its place, and the rest goes on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dlstbx_cli.commands.options import missing_file
from dlstbx_cli.services.dead_letters import DeadLetter
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.message import DLQ

if TYPE_CHECKING:
    from dlstbx_cli.commands.limits import Effective
    from dlstbx_cli.database.held_lists import HeldLists
    from dlstbx_cli.transport.link import Broker, QueueState

#: Seconds over which a queue's change is measured, and of which releases are counted.
_MINUTE, _HOUR = 60.0, 3600.0
#: How many of the last decisions and dead letters are shown.
LAST = 10
#: Dead letters of a queue that are looked at, the oldest: that there are more is said.
LETTERS = 1000
#: Seconds after which dead letters are read again, though there are as many as before.
_AGAIN = 30.0
#: A look takes at most this part of the time: the view is not to be the load that it shows.
_PART = 0.1
#: Seconds without an answer, after which that is said.
PATIENCE = 5.0


class Source(Protocol):
    """What can be looked at."""

    #: What it gives, by the names of the panels.
    panels: tuple[str, ...]
    #: What it is, for people.
    what: str

    def look(self, now: float) -> Mapping[str, Any]:
        """Return what is there. Raises Unavailable, Misconfigured, OSError."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look gave.

    :param time: when it ended, seconds since the epoch.
    :param values: by panel; empty if there is a fault.
    :param fault: why there is nothing to see.
    """

    time: float
    values: Mapping[str, Any]
    fault: str | None = None


class Looker:
    """Looks at a source again and again, on a thread of its own, until :meth:`end`."""

    def __init__(self, source: Source, interval: float) -> None:
        self.source = source
        self._interval = interval
        self._found: Found | None = None
        self._since = time.monotonic()
        self._took = 0.0
        self._ended = threading.Event()
        self.ready = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._go_on, name="looker", daemon=True).start()

    def end(self) -> None:
        """Look no more; a look that does not come to its end is left behind."""
        self._ended.set()

    def found(self) -> Found:
        """Return the last look; a fault where it does not come to an end."""
        found, waited = self._found, time.monotonic() - self._since
        # One that answers slowly answers all the same.
        if found is None or waited > max(PATIENCE, 2 * self._interval, 2 * self._took):
            return Found(time.time(), {}, f"{self.source.what} has not answered for {waited:.0f} s")
        return found

    def _go_on(self) -> None:
        while not self._ended.is_set():
            begin = self._since = time.monotonic()
            found = _looked(self.source)
            self._took = took = time.monotonic() - begin
            self._found = found
            self.ready.set()
            pause = max(self._interval - took, took / _PART - took)
            # While it rests there is no answer to wait for.
            self._since = time.monotonic() + pause
            self._ended.wait(max(0.0, pause))


def _looked(source: Source) -> Found:
    try:
        return Found(time.time(), source.look(time.time()))
    except (Unavailable, Misconfigured) as error:
        return Found(time.time(), {}, str(error))
    except OSError as error:
        return Found(time.time(), {}, f"{source.what}: {error.strerror or error}")
    except Exception as error:  # the view must go on, and the bug be seen
        reason = f"internal error: {type(error).__name__}: {error}"
        return Found(time.time(), {}, f"{source.what}: {reason}")


class Queues:
    """The broker's queues, and the dead letters in them."""

    panels: tuple[str, ...] = ("queues", "dead_letters")
    what = "the broker"

    def __init__(self, url: str) -> None:
        self._url = url
        self._broker: Broker | None = None
        self._history: deque[tuple[float, dict[str, int]]] = deque()
        self._letters: list[dict[str, Any]] = []
        self._looked_at = 0
        self._mark: Any = None
        self._read = 0.0

    def look(self, now: float) -> Mapping[str, Any]:
        """Return the queues that are not empty, and the last dead letters."""
        try:
            states = self._connected().states()
            self._note(states, now)
            dead = [state for state in states if state.name.startswith(DLQ)]
            letters = self._last_letters(dead, now)
        except Exception:
            self._close()
            raise
        count = sum(map(_depth, dead))
        return {
            "queues": [self._of(state, now) for state in states],
            "dead_letters": {"count": count, "looked_at": self._looked_at, "last": letters},
        }

    def _connected(self) -> Broker:
        if self._broker is None:
            from dlstbx_cli.transport.broker import connect

            _must_exist(self._url, "no queue has been used yet")
            self._broker = connect(self._url)
        return self._broker

    def _close(self) -> None:
        broker, self._broker = self._broker, None
        self._history.clear()
        if broker is not None:
            broker.close()

    def _note(self, states: list[QueueState], now: float) -> None:
        self._history.append((now, {state.name: _depth(state) for state in states}))
        while self._history[0][0] < now - _MINUTE and len(self._history) > 2:
            self._history.popleft()

    def _of(self, state: QueueState, now: float) -> dict[str, Any]:
        record = asdict(state)
        begin, depths = self._history[0]
        change = None
        if begin < now:
            change = round((_depth(state) - depths.get(state.name, 0)) * 60 / (now - begin), 1)
        return {"queue": record.pop("name"), **record, "change": change}

    def _last_letters(self, dead: list[QueueState], now: float) -> list[dict[str, Any]]:
        """Return the last dead letters; they are read again when there are others."""
        from dlstbx_cli.commands.letters import fields

        mark = [(state.name, _depth(state), state.oldest) for state in dead]
        if mark != self._mark or not self._read <= now < self._read + _AGAIN:
            found = [
                DeadLetter.of(message, state.name)
                for state in dead
                for message in self._connected().peek(state.name, LETTERS)
            ]
            found.sort(key=lambda letter: letter.rejected_at or 0)
            self._letters = [fields(letter) for letter in found[-LAST:]]
            self._looked_at = len(found)
            self._mark, self._read = mark, now
        return self._letters


class Backlog:
    """The held jobs, and what their clusters have room for."""

    panels: tuple[str, ...] = ("held", "clusters")
    what = "the store of held jobs"

    def __init__(self, url: str, limits: Effective) -> None:
        self._url = url
        self._limits = limits
        self._store: HeldLists | None = None

    def look(self, now: float) -> Mapping[str, Any]:
        """Return what is held by visit and cluster, and the outlook of each cluster."""
        from dlstbx_cli.commands import explaining
        from dlstbx_cli.database.held_lists import GROUPS, Wanted

        store = self._opened()
        limits = self._limits
        groups = store.groups(Wanted(), "visit")
        return {
            "held": [
                {
                    **{
                        key: name or None
                        for key, name in zip(GROUPS["visit"], one.names, strict=True)
                    },
                    "jobs": one.jobs,
                    "paused": one.paused,
                    "oldest": one.oldest,
                    "age": now - one.oldest,
                }
                for one in groups
            ],
            "clusters": [
                {
                    **explaining.of_cluster(outlook, limits),
                    "released_last_hour": store.count(
                        Wanted(["released"], cluster=outlook.cluster, since=now - _HOUR)
                    ),
                }
                for outlook in explaining.outlooks(store, limits.limits, now)
            ],
        }

    def _opened(self) -> HeldLists:
        if self._store is None:
            from dlstbx_cli.database.connection import connect
            from dlstbx_cli.database.held_lists import HeldLists

            _must_exist(self._url, "no job has been created or held yet")
            self._store = HeldLists(connect(self._url))
        return self._store


class Decisions:
    """The last plans that were recorded."""

    panels: tuple[str, ...] = ("decisions",)
    what = "the records"

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def look(self, now: float) -> Mapping[str, Any]:
        """Return the last decisions, the latest last."""
        from dlstbx_cli.commands.recording import last

        del now
        if self._directory is None:
            raise Misconfigured(
                "no records are kept: name a directory in DLSTBX_RECORDS or with --record"
                " (see mimas-plan)"
            )
        if not self._directory.is_dir():
            raise Misconfigured(f"{self._directory}: no plan has been recorded yet")
        return {"decisions": [_of_plan(record) for record in last(self._directory, LAST)]}


def _of_plan(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of a recorded plan: of what, what was decided, and by which rule."""
    scenario = record.get("scenario")
    scenario = scenario if isinstance(scenario, dict) else {}
    return {
        **{key: record.get(key) for key in ("time", "dcid", "event")},
        **{key: scenario.get(key) for key in ("beamline", "visit")},
        "tasks": [
            {key: task.get(key) for key in ("kind", "recipe", "rule", "override")}
            for task in _objects(record.get("tasks"))
        ],
        "dropped": [task.get("recipe") for task in _objects(record.get("dropped"))],
        "refused": record.get("refused"),
    }


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _depth(state: QueueState) -> int:
    return state.ready + state.in_hand + state.delayed


def _must_exist(url: str, why: str) -> None:
    """Raise Misconfigured for a file that is not there."""
    if path := missing_file(url):
        raise Misconfigured(f"{path} does not exist: {why}")
