"""Model clusters: they take what is released, late, and say how many jobs wait, as real ones.

A released job goes through a dispatcher, which takes its time; then it waits in the cluster,
where statistics count it; then it runs. Jobs of others wait there too in the beginning, and
become fewer: so room comes bit by bit.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import Message
from dlstbx_cli.transport.broker import connect
from tests.soak import held

#: Seconds that a dispatcher takes at most: less than a release counts without being seen.
_DISPATCH = 20.0
#: Seconds that all jobs of others need to go, and that a job waits on average.
_STRANGERS, _WAIT = 40.0, 15.0
_STATISTICS = 1.0


@dataclass
class Copy:
    """A released message: the first of its job, or one more.

    :param arrived: when it was taken from the queue (seconds since the epoch).
    :param waits: when the cluster gets it; *begins*: when it runs and waits no more.
    """

    job: int
    cluster: str
    identity: str
    arrived: float
    waits: float
    begins: float


@dataclass
class Clusters:
    """Several clusters behind one queue, at work in a thread of their own.

    :param pace: all times are divided by it.
    """

    url: str
    names: Sequence[str]
    limit: int
    pace: float
    dice: random.Random
    copies: list[Copy] = field(default_factory=list)
    arrived: set[int] = field(default_factory=set)
    strangers: dict[str, list[float]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _told: float = 0.0
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Be full of jobs of others, and begin."""
        now = time.time()
        for name in self.names:
            leave = [self.dice.uniform(2, _STRANGERS) / self.pace for _ in range(self.limit)]
            self.strangers[name] = [now + seconds for seconds in leave]
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, when what is in hand is done."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def pending(self, cluster: str, now: float) -> int:
        """Return how many jobs wait, as the cluster knows."""
        ours = [copy for copy in list(self.copies) if copy.cluster == cluster]
        return sum(time > now for time in self.strangers[cluster]) + sum(
            copy.waits <= now < copy.begins for copy in ours
        )

    def _work(self) -> None:
        # Without a place for notes it is no service, which would pass over repeats.
        broker = connect(self.url)
        with closing(broker), closing(broker.consumer(held.RELEASED)) as consumer:
            while not self._stop.is_set():
                self._tell(broker)
                try:
                    delivery = consumer.receive(0.05)
                    if delivery is not None:
                        self._take(delivery.message)
                        consumer.commit(delivery, [])
                except Unavailable:
                    time.sleep(0.1)

    def _take(self, message: Message) -> None:
        now = time.time()
        waits = now + self.dice.uniform(0.1, _DISPATCH) / self.pace
        begins = waits + self.dice.expovariate(1 / _WAIT) / self.pace
        parameters = message.body["payload"]["parameters"]
        job, cluster = held.job_of(message), parameters["statistic-cluster"]
        self.copies.append(Copy(job, cluster, message.identity, now, waits, begins))
        self.arrived.add(job)

    def _tell(self, broker: object) -> None:
        now = time.time()
        if now - self._told < _STATISTICS / self.pace:
            return
        self._told = now
        told = [held.statistic(name, self.pending(name, now), now) for name in self.names]
        with suppress(Unavailable):
            broker.send(told)  # type: ignore[attr-defined]
