"""A time bound for work that may hang: it runs on a thread that is left behind.

A file system whose server is away lets a system call wait for ever, and nothing can end
that call from outside. What can be done is not to wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, Queue
from typing import Generic, TypeVar

from dlstbx_cli.services.errors import Stuck

Result = TypeVar("Result")

#: How many threads may be left behind: each costs memory, and none can be ended.
THREADS = 8
_IDLE = "idle"


class _Outcome(Generic[Result]):
    # Not a dataclass: dlstbx.go would wait a millisecond for it.
    __slots__ = ("error", "value")

    def __init__(self, value: Result | None = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error


class _Worker(threading.Thread):
    """A thread for one piece of work after the other: a new one for each costs a tenth of it."""

    def __init__(self) -> None:
        super().__init__(name=_IDLE, daemon=True)
        self.work: Queue[Callable[[], None]] = Queue()
        self.start()

    def run(self) -> None:
        """Work for ever; the name says for whom, to whoever looks at what hangs."""
        while True:
            self.work.get()()


class Bounded:
    """Runs work that may hang, each within its time; one piece of work in each place.

    A place where work hangs already is not tried again before that work has come back, so
    that it costs those who ask for it again neither time nor a thread.

    :param threads: how many may hang at a time.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._busy: set[str] = set()
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def run(self, place: str, seconds: float, work: Callable[[], Result]) -> Result:
        """Return what *work* returns, and raise what it raises.

        :param place: where it works, such as a visit's directory.
        :param seconds: how long to wait for it.

        Raises Stuck if it does not end in time, if the work before it in the same place
        has not, or if all threads hang.
        """
        worker = self._enter(place)
        # Not a SimpleQueue: in CPython 3.11 its wait with a time-out may never end.
        outcomes: Queue[_Outcome[Result]] = Queue()
        # What is logged there is about the message that is in hand here.
        context = copy_context()

        def run() -> None:
            outcome = _outcome(lambda: context.run(work))
            # First leave, then tell: whoever is told may enter again.
            self._leave(place, worker)
            outcomes.put(outcome)

        worker.work.put(run)
        try:
            outcome = outcomes.get(timeout=max(seconds, 0.001))
        except Empty:
            raise Stuck(f"{place} does not answer within {seconds:.3g} s") from None
        if outcome.error is not None:
            raise outcome.error
        return outcome.value  # type: ignore[return-value]  # without an error there is one

    def _enter(self, place: str) -> _Worker:
        with self._lock:
            if place in self._busy:
                raise Stuck(f"{place} still does not answer")
            if len(self._busy) >= self._threads:
                raise Stuck(f"{place} is not looked at: {self._threads} other places hang")
            self._busy.add(place)
            worker = self._idle.pop() if self._idle else _Worker()
            worker.name = f"bounded {place}"
            return worker

    def _leave(self, place: str, worker: _Worker) -> None:
        with self._lock:
            self._busy.discard(place)
            worker.name = _IDLE
            self._idle.append(worker)


def _outcome(work: Callable[[], Result]) -> _Outcome[Result]:
    try:
        return _Outcome(work())
    except Exception as error:  # whatever it is, it is raised where the result is awaited
        return _Outcome(error=error)
