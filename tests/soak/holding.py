"""Thousands of held jobs at one ``backlog-release --listen``: taken in, kept, and released.

For the benchmark ``backlog``, and its short form among the tests. The releaser is a process
of its own, and what passes between it and the broker is counted frame by frame.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlstbx_cli.database.held import HeldJobs
from dlstbx_cli.transport.broker import connect
from tests.soak import held, site
from tests.soak.relay import Relay

#: What the policy looks at, unevenly spread: one visit has half of all jobs.
VISITS, URGENT = 30, "urgent"
OPTIONS = ("--limit", f"slurm={10**6}", "--priority", f"{URGENT}=5")
#: Seconds between two statistics while nothing goes: as ``cluster-stats`` sends them.
_STATISTICS = 5.0
_PATIENCE = 120.0


@dataclass(frozen=True)
class Kept:
    """What happened while there was no room.

    :param frames: that passed, heart-beats and statistics left out.
    :param processor: seconds of processor time of the releaser.
    :param memory: its memory at most until now, in MB.
    """

    seconds: float
    frames: Counter[tuple[str, str]]
    processor: float
    memory: float


@dataclass(frozen=True)
class Released:
    """What came when there was room.

    :param jobs: in the order in which they came.
    :param first: seconds from the statistic to the first of them; *last*: to the last.
    """

    jobs: list[int]
    first: float
    last: float


class Trial:
    """One releaser, and a broker whose messages are ours alone."""

    def __init__(self, broker: site.Wire, state: str, folder: Path) -> None:
        self._broker = broker
        self._relay = Relay(broker.server.port)
        url = broker.url.replace(f":{broker.server.port}/", f":{self._relay.port}/")
        self._releasers = held.Releasers(folder, url, state, OPTIONS)
        self._store = HeldJobs.at(state)
        self._link = connect(f"{broker.url}&window=500")
        self._process: subprocess.Popen[bytes] | None = None

    def fill(self, number: int) -> None:
        """Send so many held messages."""
        messages = [message_of(one) for one in range(number)]
        for place in range(0, number, 500):
            self._link.send(messages[place : place + 500])

    def take_in(self, number: int) -> float:
        """Start the releaser; return how many messages a second it took until it had all."""
        self._process = self._releasers.start()
        deadline = time.monotonic() + _PATIENCE + number / 20
        began, before = 0.0, 0
        while (have := self.held()) < number:
            if have and not began:
                began, before = time.monotonic(), have
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError(f"{have} of {number} jobs held")
            time.sleep(0.2)
        took = time.monotonic() - began
        while self._relay.sent["ACK", ""] < number and time.monotonic() < deadline:
            time.sleep(0.05)
        return (number - before) / took if began else float("nan")

    def keep(self, seconds: float) -> Kept:
        """Say again and again that there is no room; return what happened meanwhile."""
        pid = self._running().pid
        self._tell(10**6)
        time.sleep(1)
        frames, used = self._counts(), site.processor_seconds(pid)
        began = time.monotonic()
        while (left := began + seconds - time.monotonic()) > 0:
            self._tell(10**6)
            time.sleep(min(left, _STATISTICS))
        took = time.monotonic() - began
        return Kept(
            took,
            self._counts() - frames,
            site.processor_seconds(pid) - used,
            memory(pid),
        )

    def make_room(self, number: int, patience: float = 20.0) -> Released:
        """Say that there is room for so many; return which jobs came."""
        jobs: list[int] = []
        times: list[float] = []
        with closing(self._link.consumer(held.RELEASED)) as consumer:
            consumer.receive(0.5)
            began = time.monotonic()
            self._tell(10**6 - number)
            last = began
            # One too many would come within a second or two.
            while time.monotonic() < (last + 3 if len(jobs) >= number else began + patience):
                delivery = consumer.receive(0.05)
                if delivery is not None:
                    last = time.monotonic()
                    jobs.append(held.job_of(delivery.message))
                    times.append(last - began)
                    consumer.commit(delivery, [])
        return Released(jobs, times[0] if times else 0.0, times[-1] if times else 0.0)

    def held(self) -> int:
        """Return how many jobs are held in the store."""
        return sum(self._store.clusters().values())

    def finish(self) -> int | None:
        """End the releaser; return its exit code."""
        return site.end([self._running()])[0]

    def close(self) -> None:
        """Let nothing go on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._link.close()
        self._relay.close()
        self._store._engine.dispose()

    def complaints(self) -> list[str]:
        """Return what the releaser has said that points to a bug."""
        return self._releasers.complaints()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("nothing is taken in yet")
        return self._process

    def _tell(self, pending: int) -> None:
        self._link.send([held.statistic("slurm", pending, time.time())])

    def _counts(self) -> Counter[tuple[str, str]]:
        counts = self._relay.counts()
        return Counter(
            {
                frame: number
                for frame, number in counts.items()
                if not frame[1].endswith(held.STATISTICS_TOPIC)
            }
        )


@contextmanager
def trial(broker: site.Wire, state: str, folder: Path) -> Iterator[Trial]:
    """Give a trial whose releaser ends with it."""
    made = Trial(broker, state, folder)
    try:
        yield made
    finally:
        made.close()


def message_of(number: int) -> Any:
    """Return the message that holds job *number*."""
    return held.held(number, visit=_visit(number), recipe=_recipe(number))


def _visit(number: int) -> str:
    return "mx1-1" if number % 2 else f"mx{2 + number % VISITS}-1"


def _recipe(number: int) -> str:
    return URGENT if number % 101 == 0 else "usual"


def expected(number: int, free: int) -> list[int]:
    """Return which of so many jobs must be released, in their order.

    Said in another way than the policy does: the urgent ones first; visits take turns, the
    one that has had none for the longest time first; first in, first out.
    """
    left = list(range(number))
    turns: dict[str, int] = {}
    order: list[int] = []
    for turn in range(free):
        urgent = [job for job in left if _recipe(job) == URGENT] or left
        best = min(urgent, key=lambda job: (turns.get(_visit(job), -1), job))
        turns[_visit(best)] = turn
        left.remove(best)
        order.append(best)
    return order


def memory(pid: int) -> float:
    """Return the memory that a process has had at most, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def told_again(kept: Kept, queues: Sequence[str] = (held.QUEUE, held.RELEASED)) -> list[str]:
    """Return the frames that would be the sending or receiving of a message again."""
    return [
        f"{number} {command} {name}"
        for (command, name), number in kept.frames.items()
        if command in {"SEND", "ACK", "NACK", "BEGIN", "COMMIT"}
        or (command == "MESSAGE" and any(name.endswith(queue) for queue in queues))
    ]
