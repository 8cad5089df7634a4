"""Several instances on one ISPyB and one state store, and the server killed under one of them.

On all pairs of stores: what holds in a file need not hold on a server, and the other way round.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.jobs import IspybJobs
from dlstbx_cli.database.state import JobState
from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.ispyb_job import Made, Window
from tests.database.building import COLLECTION, ROWS, ispyb
from tests.database.children import Child
from tests.database.test_jobs import written
from tests.database.test_mariadb_jobs import JOB, made

INSTANCES, ROUNDS = 4, 12
OTHER = {**COLLECTION, "dataCollectionId": 101}


@pytest.fixture(params=["sqlite/sqlite", "mariadb/sqlite", "mariadb/mariadb"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The URLs of an ISPyB and of a state store."""
    database, _, state = request.param.partition("/")
    if database == "sqlite":
        engine = ispyb(tmp_path, {**ROWS, "DataCollection": [COLLECTION, OTHER]})
        engine.dispose()
        return str(engine.url), f"sqlite:///{tmp_path}/state.sqlite3"
    site = made(request.getfixturevalue("mariadb_server"), tmp_path)
    return site.url, site.states[state]


def patiently(work: Callable[[], Made]) -> Made:
    """Do what a listener does: try again as long as something is not available."""
    for _ in range(50):
        try:
            return work()
        except Unavailable:
            time.sleep(0.02)
    raise AssertionError("never available")


Work = Callable[[IspybJobs, int], list[Made]]


def all_at_once(stores: tuple[str, str], work: Work) -> list[Any]:
    """Do the work in processes of their own that begin together; return what each gave."""
    begin = time.time() + 0.5
    children = [Child(begin_and_do, *stores, begin, work, number) for number in range(INSTANCES)]
    return [child.result() for child in children]


def begin_and_do(url: str, state: str, begin: float, work: Work, number: int) -> list[Any]:
    jobs = IspybJobs(connect(url), JobState.at(state))
    time.sleep(max(0.0, begin - time.time()))
    return [(one.job_id, one.duplicate) for one in work(jobs, number)]


def rows_of(url: str) -> tuple[int, ...]:
    engine = connect(url)
    try:
        return tuple(written(engine))
    finally:
        engine.dispose()


def same_requests(jobs: IspybJobs, _number: int) -> list[Made]:
    return [
        patiently(lambda turn=turn: jobs.create(f"id-{turn}", JOB))  # type: ignore[misc]
        for turn in range(ROUNDS)
    ]


def test_the_same_requests_by_all_instances(stores: tuple[str, str]) -> None:
    first, *others = all_at_once(stores, same_requests)
    assert others == [first] * (INSTANCES - 1)
    assert len(set(first)) == ROUNDS
    assert rows_of(stores[0]) == (ROUNDS, 3 * ROUNDS, 2 * ROUNDS)


def same_content(jobs: IspybJobs, number: int) -> list[Made]:
    return [
        patiently(
            lambda turn=turn: jobs.create(  # type: ignore[misc]
                f"id-{turn}-{number}", JOB, Window(f"{turn:064}", 600)
            )
        )
        for turn in range(ROUNDS)
    ]


def test_the_same_content_by_all_instances(stores: tuple[str, str]) -> None:
    """Each has a request of its own that asks for the same: one job, one that triggers it."""
    for turn in zip(*all_at_once(stores, same_content), strict=True):
        assert len({job_id for job_id, _ in turn}) == 1
        assert sorted(duplicate for _, duplicate in turn) == [False] + [True] * (INSTANCES - 1)
    assert rows_of(stores[0]) == (ROUNDS, 3 * ROUNDS, 2 * ROUNDS)


def test_the_server_killed_at_each_step(mariadb_server: Any, tmp_path: Path) -> None:
    """SIGKILL before each statement and the commit; then the same request, and another one.

    The ids of what was not committed may be given out again by a server that was killed.
    """
    site = made(mariadb_server, tmp_path)
    jobs = site.jobs("sqlite")
    for instant in count(1):
        engine = connect(site.url)
        seen = count(1)

        def tick(*_: object, at: int = instant, seen: Any = seen) -> None:
            if next(seen) == at:
                mariadb_server.kill()
                mariadb_server.start()

        event.listen(engine, "before_cursor_execute", tick)
        event.listen(engine, "commit", tick)
        before = site.written()
        struck = IspybJobs(engine, JobState.at(site.states["sqlite"]))
        try:
            struck.create(f"a{instant}", JOB)
        except Unavailable:
            assert site.written() == before
        engine.dispose()
        other = patiently(lambda at=instant: jobs.create(f"b{at}", JOB))  # type: ignore[misc]
        mine = patiently(lambda at=instant: jobs.create(f"a{at}", JOB))  # type: ignore[misc]
        assert other != mine
        assert site.written() == tuple(a + 2 * b for a, b in zip(before, (1, 3, 2), strict=True))
        if next(seen) <= instant:
            break
    assert instant > 3


def test_a_dead_transaction_does_not_void_the_reservation_of_a_live_one(
    mariadb_server: Any, tmp_path: Path
) -> None:
    """One instance is slow to reserve: meanwhile the server is killed, and its id goes to another.

    If its late reservation won, the other's request would make a second job when it is repeated.
    """
    site = made(mariadb_server, tmp_path)
    quick = site.jobs("sqlite")

    class Slow(JobState):
        def reserve(self, *arguments: Any, **options: Any) -> bool:
            mariadb_server.kill()
            mariadb_server.start()
            # MariaDB may have kept its count, or not: here it has not.
            mariadb_server.execute(
                "ALTER TABLE ProcessingJob AUTO_INCREMENT = 1", database=site.name
            )
            ids.append(arguments[1])
            ids.append(patiently(lambda: quick.create("quick", JOB)).job_id)
            return super().reserve(*arguments, **options)

    ids: list[int] = []
    slow = IspybJobs(connect(site.url), Slow(connect(site.states["sqlite"], create=True)))
    with pytest.raises(Unavailable):
        slow.create("slow", JOB)
    assert ids[0] == ids[1]
    assert quick.create("quick", JOB).job_id == ids[1]
    assert quick.create("slow", JOB).job_id != ids[1]
    assert site.written() == (2, 6, 4)
