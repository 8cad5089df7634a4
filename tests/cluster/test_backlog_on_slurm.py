"""The backlog at a real Slurm: full, it holds; as jobs go, releases follow the room.

Statistics come from ``cluster-stats --listen``, over a real broker. What is released becomes
a real job at once, as a dispatcher would make it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.database.held import HeldJobs
from dlstbx_cli.services.held.values import SETTLING
from dlstbx_cli.transport.broker import connect
from tests.soak import held
from tests.soak.site import BIN, bare_environment, wire_of

CPUS = pytest.importorskip("tests.servers.slurm").CPUS
LIMIT, JOBS, GONE = 6, 14, 3
#: A release counts for 4 seconds in place of a minute.
PACE = 15.0


@dataclass
class Site:
    """A Slurm, the backlog before it, and the dispatcher between them.

    :param waiting: jobs that waited in Slurm, at most.
    """

    slurm: Any
    account: str
    store: HeldJobs
    consumer: Any
    released: list[int] = field(default_factory=list)
    waiting: int = 0

    def work(self, seconds: float, until: int = JOBS + 1, last: float = 600) -> None:
        """Make jobs of what is released, for so long or until so many were.

        :param last: seconds that each of these jobs lasts.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(self.released) < until:
            delivery = self.consumer.receive(0.1)
            if delivery is not None:
                self.consumer.commit(delivery, [])
                self.released.append(held.job_of(delivery.message))
                self.slurm.submit(1, last, self.account)
            self.waiting = max(self.waiting, self.slurm.states(self.account).get("PENDING", 0))

    def wait_for(self, held_jobs: int, pending: int) -> None:
        """Wait until the backlog holds so many, and has heard that so many wait."""
        deadline = time.monotonic() + 30
        while True:
            told = self.store.statistics().get("slurm")
            count = self.store.clusters().get("slurm", 0)
            if told is not None and (count, told.waiting) == (held_jobs, pending):
                return
            assert time.monotonic() < deadline, (count, told)
            time.sleep(0.1)


@pytest.fixture
def account(slurm: Any) -> Iterator[str]:
    """An account of the test's own; its jobs end with the test."""
    yield slurm.account()
    slurm.cancel_all()


@pytest.fixture
def site(
    slurm: Any,
    account: str,
    rabbitmq_server: Any,
    tmp_path: Path,
    processes: list[subprocess.Popen[bytes]],
) -> Iterator[Site]:
    """A releaser and the statistics at work, and nothing held yet."""
    wire = wire_of("rabbitmq", rabbitmq_server)
    state = f"sqlite:///{tmp_path}/state.sqlite3"
    options = ("--limit", f"slurm={LIMIT}")
    processes.append(held.Releasers(tmp_path, wire.url, state, options, PACE).start())
    processes.append(
        subprocess.Popen(
            [BIN / "cluster-stats", "--squeue", "--listen", "--interval=1", "--account", account],
            env=bare_environment()
            | {name: slurm.environment[name] for name in ("SLURM_CONF", "PATH")}
            | {"DLSTBX_HOME": str(tmp_path), "DLSTBX_BROKER": wire.url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    )
    store = HeldJobs.at(state)
    with closing(connect(wire.url)) as link, closing(link.consumer(held.RELEASED)) as consumer:
        link.send([held.held(number, visit="mx1-1") for number in range(JOBS)])
        yield Site(slurm, account, store, consumer)
    store._engine.dispose()


def test_releases_follow_the_room(site: Site, slurm: Any, account: str) -> None:
    jobs = slurm.submit(CPUS + LIMIT, 600, account)
    slurm.wait(account, RUNNING=CPUS, PENDING=LIMIT)
    site.wait_for(held_jobs=JOBS, pending=LIMIT)
    site.work(2)
    assert site.released == []  # full

    slurm.run("scancel", *map(str, jobs[-GONE:]))
    site.work(10, until=GONE)
    # Longer than a release counts by itself: now Slurm counts it.
    site.work(SETTLING / PACE + 2)
    assert site.released == list(range(GONE))
    assert slurm.states(account).get("PENDING") == LIMIT

    slurm.cancel_all()
    site.work(30, until=JOBS, last=0.5)
    assert site.released == list(range(JOBS))
    assert site.waiting <= LIMIT
    assert site.store.clusters() == {}
