from __future__ import annotations

import signal
from dataclasses import replace
from itertools import count

import pytest
from freezegun import freeze_time
from sqlalchemy import text

from dlstbx_cli.database.connection import connect, reading, writing
from dlstbx_cli.database.demo import ProcessingJob, processing_jobs
from dlstbx_cli.database.jobs import IspybJobs
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.database.state import Entry, JobState
from dlstbx_cli.services.errors import Rejected, Unavailable
from dlstbx_cli.services.ispyb_job import Job, Made, Sweep, Window
from tests.database.building import COLLECTION, ROWS, counted, empty, ispyb
from tests.database.children import Child, create_and_be_killed

OTHER = {**COLLECTION, "dataCollectionId": 101, "startImageNumber": 0, "numberOfImages": None}
JOB = Job(
    dcid=100,
    automatic=True,
    recipe="autoprocessing-xia2-dials",
    displayname="xia2 dials",
    comments="ä",
    parameters=(("b", "1"), ("a", "x"), ("b", "2")),
    sweeps=(Sweep(100, 1, 3600), Sweep(101, 0, 0)),
)
TABLES = ("ProcessingJob", "ProcessingJobParameter", "ProcessingJobImageSweep")


@pytest.fixture
def engine(tmp_path):
    return ispyb(tmp_path, {**ROWS, "DataCollection": [COLLECTION, OTHER]})


@pytest.fixture
def state(tmp_path):
    return f"sqlite:///{tmp_path}/new/state.sqlite3"


def jobs_of(engine, state):
    return IspybJobs(engine, JobState.at(state))


def created(engine, state, identity, job=JOB):
    """Create a job and return its id."""
    return jobs_of(engine, state).create(identity, job).job_id


def reserve(store, identity, job_id, known=None):
    return store.reserve(identity, job_id, known=known, alive=lambda: None)


def written(engine):
    with reading(engine) as connection:
        return tuple(connection.scalar(text(f"SELECT count(*) FROM {t}")) for t in TABLES)


def test_a_job(engine, state):
    job_id = created(engine, state, "id-1", JOB)
    assert written(engine) == (1, 3, 2)
    parameters = Lookup(engine)({"parameters": {"ispyb_process": job_id}})["parameters"]
    row = parameters["ispyb_processing_job"]
    assert row.pop("recordTimestamp").startswith("20")
    assert row == {
        "processingJobId": job_id,
        "dataCollectionId": 100,
        "displayName": "xia2 dials",
        "comments": "ä",
        "recipe": "autoprocessing-xia2-dials",
        "automatic": 1,
    }
    assert parameters["ispyb_processing_parameters"] == {"b": ["1", "2"], "a": ["x"]}
    assert [sweep.rpartition("/")[2] for sweep in parameters["ispyb_images"].split(",")] == [
        "tlys_1_0001.cbf:1:3600",
        "tlys_1_0000.cbf:0:0",
    ]


def test_jobs_are_listed(engine, state):
    job_id = created(engine, state, "id-1", JOB)
    created(engine, state, "id-2", replace(JOB, automatic=False, parameters=()))
    first, second = processing_jobs(engine)
    assert first == ProcessingJob(
        job=job_id,
        dcid=100,
        recipe="autoprocessing-xia2-dials",
        displayname="xia2 dials",
        automatic=True,
        parameters=("b:1", "a:x", "b:2"),
        sweeps=("100:1:3600", "101:0:0"),
    )
    assert (second.automatic, second.parameters, len(second.sweeps)) == (False, (), 2)


def test_a_job_without_parameters(engine, state):
    created(engine, state, "id-1", replace(JOB, parameters=()))
    assert written(engine) == (1, 0, 2)


@pytest.mark.parametrize("identity", ["id-1", "ä" * 300, "\ud800", ""])
def test_one_job_for_one_identity(engine, state, identity):
    first = created(engine, state, identity, JOB)
    other = created(engine, state, "another", JOB)
    assert first != other
    assert created(engine, state, identity, JOB) == first
    assert created(engine, state, "another", JOB) == other
    assert written(engine) == (2, 6, 4)


def test_image_range(engine, state):
    jobs = jobs_of(engine, state)
    assert jobs.image_range(100) == (1, 3600)
    assert jobs.image_range(101) == (0, None)
    for unknown in (102, 2**40, 10**30, 0):
        with pytest.raises(Rejected):
            jobs.image_range(unknown)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dcid": 102}, "DCID 102 is not in ISPyB"),
        ({"dcid": 10**30}, "DCID must be"),
        ({"sweeps": (Sweep(100, 1, 2), Sweep(555, 1, 2), Sweep(77, 1, 2))}, "DCID 77, 555 is not"),
        ({"sweeps": tuple(Sweep(n, 1, 2) for n in range(1000, 4000))}, "DCID 1000, 1001"),
        ({"sweeps": (Sweep(10**30, 1, 2),)}, "a sweep's DCID must be"),
        ({"sweeps": (Sweep(100, 1, 10**8),)}, "cannot have the images 1 to 100000000"),
        ({"sweeps": (Sweep(100, 3, 2),)}, "cannot have the images 3 to 2"),
        ({"displayname": "\ud800"}, "cannot hold this job"),
        ({"parameters": (("a", "\udfff"),)}, "cannot hold this job"),
    ],
)
def test_nothing_of_a_job_that_cannot_be_written(engine, state, change, words):
    statements = counted(engine)
    with pytest.raises(Rejected, match=words):
        created(engine, state, "id-1", replace(JOB, **change))
    if "hold" not in words:
        assert not [statement for statement in statements if "INSERT" in statement]
    assert written(engine) == (0, 0, 0)


def test_a_refused_row_leaves_nothing_behind(engine, state):
    with writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON ProcessingJobImageSweep"
            " WHEN new.dataCollectionId = 101 BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with pytest.raises(Rejected, match="refused"):
        created(engine, state, "id-1", JOB)
    assert written(engine) == (0, 0, 0)


def test_a_job_that_was_given_the_id_of_one_that_never_came_to_be(engine, state):
    assert reserve(JobState.at(state), "id-1", 1)
    assert created(engine, state, "id-2", JOB) == 1
    assert created(engine, state, "id-1", JOB) == 2
    assert created(engine, state, "id-2", JOB) == 1


def test_a_strangers_job_with_the_reserved_id(engine, state):
    reserve(JobState.at(state), "id-1", 1)
    stranger = JobState.at(state.replace("state", "other"))
    IspybJobs(engine, stranger).create("id-3", replace(JOB, recipe="another"))
    assert created(engine, state, "id-1", JOB) == 2


def test_a_reservation_is_only_replaced_by_who_knows_it(state):
    store = JobState.at(state)
    assert store.entry("a") is None
    assert reserve(store, "a", 1)
    assert not reserve(store, "a", 2)
    assert reserve(store, "a", 2, known=Entry(1, None))
    assert not reserve(store, "a", 3, known=Entry(1, None))
    assert reserve(store, "b", 2)
    assert store.entry("a") is None
    assert store.entry("b") == Entry(2, None)


def test_a_lost_transaction_voids_nobody_s_reservation(state):
    store = JobState.at(state)
    assert reserve(store, "a", 1)

    def lost():
        raise Unavailable("lost")

    with pytest.raises(Unavailable):
        store.reserve("b", 1, known=None, alive=lost)
    assert store.entry("a") == Entry(1, None)


def test_the_same_content_within_the_window_is_a_duplicate(engine, state):
    window = Window("x" * 64, 60)
    jobs = jobs_of(engine, state)
    first = jobs.create("id-1", JOB, window)
    assert jobs.create("id-2", JOB, window) == Made(first.job_id, duplicate=True)
    assert jobs.create("id-2", JOB, window) == Made(first.job_id, duplicate=True)
    assert jobs.create("id-1", JOB, window) == first
    assert not jobs.create("id-3", JOB, Window("y" * 64, 60)).duplicate
    assert not jobs.create("id-4", JOB).duplicate
    assert written(engine) == (3, 9, 6)


def test_after_the_window_it_is_a_job_again(engine, state):
    window = Window("x" * 64, 60)
    with freeze_time("2026-11-23T10:00:00") as clock:
        jobs = jobs_of(engine, state)
        first = jobs.create("id-1", JOB, window)
        clock.tick(61)
        second = jobs.create("id-2", JOB, window)
        assert second != Made(first.job_id, duplicate=True)
        clock.tick(59)
        assert jobs.create("id-3", JOB, window) == Made(second.job_id, duplicate=True)
    assert written(engine) == (2, 6, 4)


def test_what_is_old_is_forgotten(state):
    with freeze_time("2026-01-01"):
        assert reserve(JobState.at(state), "a", 1)
    with freeze_time("2026-03-30"):
        assert JobState.at(state).entry("a") == Entry(1, None)
    with freeze_time("2026-04-05"):
        assert JobState.at(state).entry("a") is None


def test_a_locked_ispyb(engine, state, monkeypatch):
    monkeypatch.setattr("dlstbx_cli.database.connection.PATIENCE", 0.1)
    with writing(engine), pytest.raises(Unavailable, match="locked"):
        jobs_of(connect(str(engine.url)), state).create("id-1", JOB)
    assert written(engine) == (0, 0, 0)


# --- killed ----------------------------------------------------------------------------


@pytest.mark.parametrize("between", [False, True])
def test_killed_at_any_instant(tmp_path, between):
    """A child dies; perhaps another request is handled; then the first one comes again."""
    died = 0
    for instant in count(1):
        directory = tmp_path / str(instant)
        directory.mkdir()
        engine = ispyb(directory, {**ROWS, "DataCollection": [COLLECTION, OTHER]})
        url, state = str(engine.url), f"sqlite:///{directory}/state.sqlite3"
        engine.dispose()
        killed = Child(create_and_be_killed, url, state, instant, "id-1", JOB).killed()
        assert killed in (0, signal.SIGKILL)
        assert written(engine) in ((0, 0, 0), (1, 3, 2))
        expected = {"id-1": jobs_of(engine, state)}
        if between:
            expected = {"id-2": jobs_of(engine, state), **expected}
        ids = {identity: jobs.create(identity, JOB).job_id for identity, jobs in expected.items()}
        n = len(ids)
        assert len(set(ids.values())) == n
        assert written(engine) == (n, 3 * n, 2 * n)
        assert created(engine, state, "id-1", JOB) == ids["id-1"]
        if not killed:
            break
        died += 1
    assert died > 15


def create_two(url: str, state: str) -> list[int]:
    jobs = jobs_of(connect(url), state)
    return [jobs.create(identity, JOB).job_id for identity in ("id-1", "id-2")]


def test_several_at_once(tmp_path, engine, state):
    """Four processes are given the same two requests: two jobs."""
    url = str(engine.url)
    engine.dispose()
    children = [Child(create_two, url, state) for _ in range(4)]
    first, *others = [child.result() for child in children]
    assert len(set(first)) == 2
    assert others == [first] * 3
    assert written(engine) == (2, 6, 4)


def test_an_ispyb_without_the_collection(tmp_path, state):
    with pytest.raises(Rejected, match="DCID 100, 101 is not in ISPyB"):
        jobs_of(empty(tmp_path), state).create("id-1", JOB)
