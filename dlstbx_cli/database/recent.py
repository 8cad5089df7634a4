"""What was read a moment ago, for the requests that were waiting meanwhile.

All recipes of a collection are dispatched one after the other, and each looks up the same.
A request that had come before something was read may use that as if it had read it itself:
whatever had been written before the request was made was there to be read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")

#: Seconds that anything is kept: what waits behind something slow reads for itself.
KEPT = 1.0
#: How much is kept at most: the rows of twenty collections, a window of messages.
MOST = 128


class Recall(Protocol):
    """Gives what is asked for: what is known of it, else what it reads."""

    def __call__(self, key: Hashable, read: Callable[[], Result]) -> Result:
        """Return it. Raises what *read* raises."""


def afresh(key: Hashable, read: Callable[[], Result]) -> Result:
    """Return what *read* reads now: the Recall without a memory."""
    del key
    return read()


def once() -> Recall:
    """Return what reads each thing once: for a single piece of work."""
    known: dict[Hashable, Any] = {}

    def recall(key: Hashable, read: Callable[[], Result]) -> Result:
        if key not in known:
            known[key] = read()
        found: Result = known[key]
        return found

    return recall


class Recent:
    """Everything that was read in the last second, the oldest forgotten first."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[float, Any]] = {}

    def since(self, arrived: float | None) -> Recall:
        """Return what recalls for a request what was read since it came.

        To be called before the transaction begins in which the request's look-up reads.

        :param arrived: when it came to us, ``time.monotonic()``; None: not known, all is
            read afresh.
        """
        if arrived is None:
            return afresh
        # A transaction shows the database as it was at its beginning, to the end.
        begin = time.monotonic()
        self._forget(begin - KEPT)

        def recall(key: Hashable, read: Callable[[], Result]) -> Result:
            as_of, value = self._known.get(key, (-1.0, None))
            if as_of < arrived:
                value = read()
                self._known.pop(key, None)  # now it is the youngest
                self._known[key] = begin, value
            found: Result = value
            return found

        return recall

    def _forget(self, limit: float) -> None:
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest][0] >= limit and len(self._known) <= MOST:
                return
            del self._known[oldest]
