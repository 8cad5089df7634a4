"""Asking clusters, once or for ever: each on a thread of its own, so that none waits for another.

A cluster that does not answer leaves its thread behind; the program goes on, and ends, without.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, Queue

from dlstbx_cli.cluster.source import TIMEOUT, Source
from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.errors import Misconfigured, Unavailable

logger = logging.getLogger(__name__)

#: Seconds until an answer is looked for again, or whether to stop.
_GLANCE = 0.1
#: Seconds that a source has for saying itself that its time is up.
_GRACE = 2.0
#: The longest wait of a cluster that fails, in seconds, unless the interval is longer. With
#: it, a statistic is there again before the backlog's last one is too old (300 s).
LONGEST_WAIT = 120.0


@dataclass(frozen=True, slots=True)
class Look:
    """What came of asking a cluster once.

    :param time: when it was asked, seconds since the epoch.
    :param states: the state of each job.
    :param error: why there are none.
    :param wait: seconds until it is asked again; 0: it is not.
    :param seconds: how long it took.
    """

    cluster: str
    time: float
    states: Sequence[str] = ()
    error: Unavailable | Misconfigured | None = None
    wait: float = 0.0
    seconds: float = 0.0


class Watch:
    """The clusters that are asked.

    :param sources: by the cluster's name.
    :param timeout: seconds, after which a cluster is not waited for any longer.
    """

    def __init__(self, sources: Mapping[str, Source], timeout: float = TIMEOUT) -> None:
        self._sources = dict(sources)
        self._timeout = timeout + _GRACE
        self._bounded = Bounded(threads=len(self._sources))
        self._looks: Queue[Look] = Queue()
        self._closed = threading.Event()

    @property
    def clusters(self) -> list[str]:
        """The names of the clusters."""
        return list(self._sources)

    def once(self, stopped: Callable[[], bool]) -> Iterator[Look]:
        """Ask every cluster once, and give what comes of it as it comes.

        :param stopped: whether to end before all have answered.
        """
        for cluster in self._sources:
            _start(self._ask, cluster)
        for _ in self._sources:
            look = self._next(stopped)
            if look is None:
                return
            yield look

    def for_ever(self, interval: float, stopped: Callable[[], bool]) -> Iterator[list[Look]]:
        """Ask every cluster each *interval* seconds; give what has come, the last of each.

        One that fails is asked again after the interval, then after twice as long, and so
        on up to LONGEST_WAIT.
        """
        for cluster in self._sources:
            _start(self._go_on, cluster, interval)
        while (look := self._next(stopped)) is not None:
            latest = {look.cluster: look}
            while not self._looks.empty():
                look = self._looks.get()
                latest[look.cluster] = look
            yield list(latest.values())

    def close(self) -> None:
        """Give up what is being asked, and ask no more."""
        self._closed.set()
        for source in self._sources.values():
            source.close()

    def _next(self, stopped: Callable[[], bool]) -> Look | None:
        while not stopped():
            try:
                return self._looks.get(timeout=_GLANCE)
            except Empty:
                continue
        return None

    def _ask(self, cluster: str) -> None:
        self._looks.put(self._look(cluster))

    def _go_on(self, cluster: str, interval: float) -> None:
        failures = 0
        while not self._closed.is_set():
            begin = time.monotonic()
            look = self._look(cluster)
            failures = failures + 1 if look.error else 0
            wait = wait_after(failures, interval)
            seconds = time.monotonic() - begin
            self._looks.put(Look(cluster, look.time, look.states, look.error, wait, seconds))
            self._closed.wait(max(0.0, begin + wait - time.monotonic()))

    def _look(self, cluster: str) -> Look:
        now, source = time.time(), self._sources[cluster]
        try:
            return Look(cluster, now, self._bounded.run(cluster, self._timeout, source.states))
        except (Unavailable, Misconfigured) as error:
            return Look(cluster, now, error=error)
        except Exception as error:  # a bug must not end the watch on this cluster in silence
            logger.debug("internal error", exc_info=True)
            reason = f"internal error: {type(error).__name__}: {error}"
            return Look(cluster, now, error=Unavailable(reason))


def _start(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def wait_after(failures: int, interval: float) -> float:
    """Return the seconds from one look to the next, after so many failures one after the other."""
    longest = max(interval, LONGEST_WAIT)
    return interval if failures < 2 else min(interval * 2.0 ** min(failures - 1, 30), longest)
