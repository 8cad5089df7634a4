"""What ISPyB knows of a collection's way: on SQLite, and on a MariaDB as a service sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from dlstbx_cli.database.connection import connect, writing
from dlstbx_cli.database.demo import fill, make
from dlstbx_cli.database.progress import Progress
from dlstbx_cli.database.tables import Schema
from dlstbx_cli.services.errors import Misconfigured, Unavailable

BEGAN, ENDED = datetime(2026, 2, 3, 10, 0, 5), datetime(2026, 2, 3, 10, 9)


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Engine]:
    """The demo facility with three jobs of one collection; a service's user may only read them."""
    if request.param == "sqlite":
        engine = owner = make(f"sqlite:///{tmp_path_factory.mktemp('progress')}/ispyb.sqlite3")
    else:
        server = request.getfixturevalue("mariadb_server")
        name = server.ispyb()
        owner, engine = connect(server.url(name)), connect(server.service_url(name))
        fill(owner)
    schema = Schema()
    with writing(owner) as connection:
        for number in (1, 2, 3):
            connection.execute(
                insert(schema["ProcessingJob"]).values(
                    processingJobId=number, dataCollectionId=993677, recipe="xia2", automatic=1,
                    displayName="xia2 dials" if number == 1 else None,
                )
            )  # fmt: skip
        for job, status in ((1, 1), (1, None), (2, 0)):
            connection.execute(
                insert(schema["AutoProcProgram"]).values(
                    processingJobId=job, processingPrograms="xia2", processingStatus=status,
                    processingMessage="no spots" if status == 0 else "",
                    processingStartTime=BEGAN, recordTimeStamp=BEGAN,
                    processingEndTime=None if status is None else ENDED,
                )
            )  # fmt: skip
    yield engine
    engine.dispose()
    owner.dispose()


def test_a_collection(engine: Engine) -> None:
    found = Progress(engine).collection(993677)
    assert found is not None
    assert (found.beamline, found.visit) == ("i03", "mx37124-8")
    assert found.started == datetime(2026, 2, 3, 9).timestamp()
    assert found.ended == datetime(2026, 2, 3, 9, 0, 14).timestamp()
    first, last = found.events()
    assert (first.time, first.text) == (found.started, "collection begins i03 mx37124-8")
    assert (last.time, last.text) == (
        found.ended,
        "collection ends: DataCollection Successful",
    )
    assert Progress(engine).collection(404) is None


def test_jobs(engine: Engine) -> None:
    jobs = Progress(engine).jobs(dcid=993677)
    assert [(one.job, one.dcid, one.recipe) for one in jobs] == [
        (number, 993677, "xia2") for number in (1, 2, 3)
    ]
    assert jobs[0].text == "automatic 'xia2 dials'"
    for one in jobs:
        assert one.time == pytest.approx(time.time(), abs=300)
    assert [one.job for one in Progress(engine).jobs(ids=[2, 404])] == [2]
    assert Progress(engine).jobs(dcid=404) == Progress(engine).jobs() == []


def test_programs(engine: Engine) -> None:
    found = Progress(engine).programs([1, 2, 3])
    assert [(one.job, one.stage, one.time, one.reason) for one in found] == [
        (1, "began", BEGAN.timestamp(), None),
        (1, "succeeded", ENDED.timestamp(), None),
        (1, "running", BEGAN.timestamp(), None),
        (2, "began", BEGAN.timestamp(), None),
        (2, "failed", ENDED.timestamp(), "no spots"),
    ]
    assert Progress(engine).programs([]) == []
    assert len(Progress(engine).programs(list(range(1, 2000)))) == 5


def test_a_collection_that_is_running(tmp_path: Path) -> None:
    engine = make(f"sqlite:///{tmp_path}/ispyb.sqlite3")
    with writing(engine) as connection:
        connection.execute(text("UPDATE DataCollection SET endTime = NULL, runStatus = NULL"))
    found = Progress(engine).collection(993677)
    assert found is not None
    assert [one.text for one in found.events()] == ["collection begins i03 mx37124-8"]
    engine.dispose()


def test_a_database_that_is_none_or_away(tmp_path: Path) -> None:
    empty = connect(f"sqlite:///{tmp_path}/empty.sqlite3", create=True)
    with pytest.raises(Misconfigured):
        Progress(empty).collection(1)
    with pytest.raises(Unavailable):
        Progress(connect("mysql://nobody@127.0.0.1:1/ispyb")).jobs(dcid=1)
