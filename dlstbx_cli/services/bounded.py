"""A time bound for work that may hang: it runs on a thread that is left behind.

A file system whose server is away lets a system call wait for ever, and nothing can end
that call from outside. What can be done is not to wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from dlstbx_cli.services.errors import Stuck

Result = TypeVar("Result")

#: How many threads may be left behind: each costs memory, and none can be ended.
THREADS = 8


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[Result]):
    value: Result | None = None
    error: BaseException | None = None


class Bounded:
    """Runs work that may hang, each within its time; one piece of work in each place.

    A place where work hangs already is not tried again before that work has come back, so
    that it costs those who ask for it again neither time nor a thread.

    :param threads: how many may hang at a time.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def run(self, place: str, seconds: float, work: Callable[[], Result]) -> Result:
        """Return what *work* returns, and raise what it raises.

        :param place: where it works, such as a visit's directory.
        :param seconds: how long to wait for it.

        Raises Stuck if it does not end in time, if the work before it in the same place
        has not, or if all threads hang.
        """
        self._enter(place)
        outcomes: SimpleQueue[_Outcome[Result]] = SimpleQueue()

        def run() -> None:
            outcome = _outcome(work)
            # First leave, then tell: whoever is told may enter again.
            self._leave(place)
            outcomes.put(outcome)

        threading.Thread(target=run, name=f"bounded {place}", daemon=True).start()
        try:
            outcome = outcomes.get(timeout=max(seconds, 0.001))
        except Empty:
            raise Stuck(f"{place} does not answer within {seconds:.3g} s") from None
        if outcome.error is not None:
            raise outcome.error
        return outcome.value  # type: ignore[return-value]  # without an error there is one

    def _enter(self, place: str) -> None:
        with self._lock:
            if place in self._busy:
                raise Stuck(f"{place} still does not answer")
            if len(self._busy) >= self._threads:
                raise Stuck(f"{place} is not looked at: {self._threads} other places hang")
            self._busy.add(place)

    def _leave(self, place: str) -> None:
        with self._lock:
            self._busy.discard(place)


def _outcome(work: Callable[[], Result]) -> _Outcome[Result]:
    try:
        return _Outcome(work())
    except Exception as error:  # whatever it is, it is raised where the result is awaited
        return _Outcome(error=error)
