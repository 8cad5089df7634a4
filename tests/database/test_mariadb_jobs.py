"""Jobs on a MariaDB, by the stored procedures and with the rights of production."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from dlstbx_cli.database.connection import connect, reading, writing
from dlstbx_cli.database.jobs import IspybJobs
from dlstbx_cli.database.state import JobState
from dlstbx_cli.services.errors import Misconfigured, Rejected, Unavailable
from dlstbx_cli.services.ispyb_job import Job, Sweep
from tests.conftest import run
from tests.database.building import COLLECTION, ROWS, add
from tests.database.children import Child, create_and_be_killed
from tests.database.test_jobs import written

JOB = Job(
    dcid=100,
    automatic=True,
    recipe="autoprocessing-xia2-dials",
    displayname="xia2 dials",
    comments="ä",
    parameters=(("b", "1"), ("a", "x"), ("b", "2 ' \\ \" ; --")),
    sweeps=(Sweep(100, 1, 3600), Sweep(101, 0, 0)),
)


@dataclass
class Site:
    """An ISPyB on the server, and the two kinds of state stores."""

    server: Any
    name: str
    states: dict[str, str]

    @property
    def url(self) -> str:
        return str(self.server.service_url(self.name))

    def jobs(self, kind: str) -> IspybJobs:
        return IspybJobs(connect(self.url), JobState.at(self.states[kind]))

    def written(self) -> tuple[int, int, int]:
        engine = connect(self.server.url(self.name))
        try:
            return written(engine)  # type: ignore[no-any-return]
        finally:
            engine.dispose()


def made(server: Any, tmp_path: Path, charset: str = "utf8mb4") -> Site:
    name = server.ispyb(charset)
    owner = connect(server.url(name))

    @event.listens_for(owner, "connect")
    def _(connection: Any, _record: Any) -> None:
        # Rows of a few tables, without all the others that they belong to.
        connection.cmd_query("SET foreign_key_checks = 0")

    add(owner, {**ROWS, "DataCollection": [COLLECTION, {**COLLECTION, "dataCollectionId": 101}]})
    owner.dispose()
    states = {"sqlite": f"sqlite:///{tmp_path}/state.sqlite3", "mariadb": server.state_url()}
    return Site(server, name, states)


@pytest.fixture
def site(mariadb_server: Any, tmp_path: Path) -> Site:
    return made(mariadb_server, tmp_path)


@pytest.fixture(params=["sqlite", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    """Where the state store is."""
    return str(request.param)


def test_a_job_by_the_procedures(site: Site, kind: str) -> None:
    job_id = site.jobs(kind).create("id-1", JOB).job_id
    assert site.written() == (1, 3, 2)
    with reading(connect(site.url)) as connection:
        row = connection.execute(text("SELECT * FROM ProcessingJob")).mappings().one()
        parameters = connection.execute(
            text("SELECT parameterKey, parameterValue FROM ProcessingJobParameter ORDER BY 1, 2")
        ).all()
    assert (row["processingJobId"], row["automatic"], row["comments"]) == (job_id, 1, "ä")
    assert [tuple(one) for one in parameters] == sorted(JOB.parameters)
    assert site.jobs(kind).create("id-1", JOB).job_id == job_id
    assert site.written() == (1, 3, 2)


def test_the_role_really_has_no_more_rights(site: Site) -> None:
    with pytest.raises(Misconfigured), writing(connect(site.url)) as connection:
        connection.execute(text("INSERT INTO ProcessingJobImageSweep (processingJobId) VALUES (1)"))
    with pytest.raises(Misconfigured), writing(connect(site.url)) as connection:
        connection.execute(text("CREATE TABLE ours (x INTEGER)"))


def test_many_parameters_and_sweeps(site: Site) -> None:
    many = replace(
        JOB,
        parameters=tuple((f"k{n}", "v" * 1024) for n in range(450)),
        sweeps=tuple(Sweep(100, n, n) for n in range(250)),
    )
    site.jobs("sqlite").create("id-1", many)
    assert site.written() == (1, 450, 250)


@pytest.mark.parametrize(
    ("charset", "change", "words"),
    [
        ("utf8mb4", {"displayname": "😀"}, None),
        ("utf8mb3", {"displayname": "😀"}, "displayname holds"),
        ("latin1", {"comments": "Ω"}, "comment holds"),
        ("latin1", {"comments": "ü"}, None),
        ("latin1", {"parameters": (("k", "Ω"),)}, "the value of parameters holds"),
        ("utf8mb4", {"dcid": 404}, "DCID 404 is not in ISPyB"),
        ("utf8mb4", {"sweeps": (Sweep(404, 1, 2),)}, "DCID 404 is not in ISPyB"),
        ("utf8mb4", {"sweeps": (Sweep(100, 1, 2**24),)}, "16777216"),
    ],
)
def test_what_does_not_fit_is_rejected_before_anything_is_written(
    mariadb_server: Any, tmp_path: Path, charset: str, change: dict[str, Any], words: str | None
) -> None:
    site = made(mariadb_server, tmp_path, charset)
    if words is None:
        site.jobs("sqlite").create("id-1", replace(JOB, **change))
        return
    with pytest.raises(Rejected, match=words):
        site.jobs("sqlite").create("id-1", replace(JOB, **change))
    assert site.written() == (0, 0, 0)


def test_killed_at_any_instant(site: Site, kind: str) -> None:
    """A child dies at each event in turn; handled again, there is one whole job."""
    died, before = 0, (0, 0, 0)
    state = site.states[kind]
    site.jobs(kind).create("id-0", replace(JOB, recipe="first"))
    for instant in count(1):
        before = site.written()
        identity = f"id-{instant}"
        killed = Child(create_and_be_killed, site.url, state, instant, identity, JOB).killed()
        site.jobs(kind).create(identity, JOB)
        site.jobs(kind).create(identity, JOB)
        assert site.written() == tuple(a + b for a, b in zip(before, (1, 3, 2), strict=True))
        if not killed:
            break
        died += 1
    assert died > 12


def test_a_connection_lost_inside_leaves_nothing_and_goes_on_nowhere(site: Site, kind: str) -> None:
    """KILL by another connection, before each statement in turn."""
    for instant in count(1):
        engine = connect(site.url)
        seen = count(1)

        def lose(connection: Any, *_: object, at: int = instant, seen: Any = seen) -> None:
            if next(seen) == at:
                raw = connection.connection.dbapi_connection
                site.server.execute(f"KILL CONNECTION {raw.connection_id}")
                time.sleep(0.02)

        event.listen(engine, "before_cursor_execute", lose)
        before = site.written()
        identity = f"id-{instant}"
        jobs = IspybJobs(engine, JobState.at(site.states[kind]))
        try:
            jobs.create(identity, JOB)
            lost = False
        except Unavailable:
            lost = True
            assert site.written() == before
        assert site.jobs(kind).create(identity, JOB) == site.jobs(kind).create(identity, JOB)
        assert site.written() == tuple(a + b for a, b in zip(before, (1, 3, 2), strict=True))
        engine.dispose()
        if not lost and next(seen) <= instant:
            break
    assert instant > 3


def create_two(url: str, state: str, number: int) -> list[int]:
    jobs, made = IspybJobs(connect(url), JobState.at(state)), []
    for identity in (f"a{number}", f"b{number}"):
        for _ in range(20):
            try:
                made.append(jobs.create(identity, JOB).job_id)
                break
            except Unavailable:  # "try again later": so we do
                time.sleep(0.02)
    return made


def test_several_at_once(site: Site, kind: str) -> None:
    """Four processes are given the same two requests, again and again: two jobs each time."""
    for number in range(5):
        before = site.written()
        children = [Child(create_two, site.url, site.states[kind], number) for _ in range(4)]
        first, *others = [child.result() for child in children]
        assert len(set(first)) == 2
        assert others == [first] * 3
        assert site.written() == tuple(a + 2 * b for a, b in zip(before, (1, 3, 2), strict=True))


def test_the_credentials_file_with_both_sections(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    from sqlalchemy import make_url

    url = make_url(site.url)
    path = tmp_path / "credentials.cfg"
    path.write_text(
        "[ispyb_sqlalchemy]\n"
        f"username = {url.username}\npassword = p%40ss%2Fw%25rd%3A\nhost = 127.0.0.1\n"
        f"port = {url.port}\ndatabase = {site.name}\n"
        "[ispyb_mariadb_sp]\n"
        f"user = {url.username}\npw = {url.password}\nhost = 127.0.0.1\n"
        f"port = {url.port}\ndb = {site.name}\n"
    )
    monkeypatch.setenv("ISPYB_CREDENTIALS", str(path))
    outcome = run("ispyb-create-job", "--dcid=100", "--recipe=x", "--add-param=a:b")
    assert outcome.code == 0, outcome.err
    assert site.written() == (1, 1, 1)


def test_a_server_that_hangs_is_not_available(site: Site) -> None:
    jobs = site.jobs("sqlite")
    jobs.create("id-1", JOB)
    site.server.pause()
    try:
        begin = time.monotonic()
        with pytest.raises(Unavailable):
            jobs.create("id-2", JOB)
        assert time.monotonic() - begin < 30
    finally:
        site.server.resume()
    jobs.create("id-2", JOB)
    assert site.written() == (2, 6, 4)


def test_a_server_that_is_killed_and_comes_back(site: Site) -> None:
    jobs = site.jobs("mariadb")
    jobs.create("id-1", JOB)
    site.server.kill()
    with pytest.raises(Unavailable):
        jobs.create("id-2", JOB)
    site.server.start()
    jobs.create("id-2", JOB)
    assert site.written() == (2, 6, 4)
