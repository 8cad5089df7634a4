"""The store of held jobs and the backlog on it, in a file and on a real MariaDB."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from freezegun import freeze_time
from sqlalchemy import insert

from dlstbx_cli.database import held
from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.held import LEASE, HeldJobs
from dlstbx_cli.database.held_lists import HeldLists
from dlstbx_cli.database.held_tables import JOBS, PAUSES
from dlstbx_cli.services.backlog import STATISTICS_TOPIC, StoredBacklog
from dlstbx_cli.services.errors import Rejected, Unavailable
from dlstbx_cli.services.held.values import SETTLING, Held, Limits, Pause, Statistic
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.services.service import Departure

NOW = "2026-11-25T12:00:00"
LIMIT = 10


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.sqlite3"
    server = request.getfixturevalue("mariadb_server")
    return str(server.state_url())


@pytest.fixture
def store(url: str) -> Iterator[HeldJobs]:
    engine = connect(url, create=True)
    yield HeldJobs(engine)
    engine.dispose()


def message(number: int, **parameters: Any) -> Message:
    body = {"parameters": {"ispyb_process": number, **parameters}}
    return Message(Queue("mimas.held"), body, {"dlstbx-id": f"held-{number}"})


def job(number: int, **more: Any) -> tuple[Held, Message]:
    return Held(0, more.pop("cluster", "slurm"), job=number, **more), message(number)


def statistic(waiting: int, cluster: str = "slurm", timestamp: float | None = None) -> Message:
    body = {
        "statistic-group": "cluster",
        "statistic": "job-states",
        "statistic-cluster": cluster,
        "statistic-timestamp": time.time() if timestamp is None else timestamp,
        "PENDING": waiting,
    }
    return Message(Topic(STATISTICS_TOPIC), body)


def backlog(store: HeldJobs, **options: Any) -> StoredBacklog:
    limits = Limits(options.pop("waiting", {"slurm": LIMIT}), **options)
    return StoredBacklog(store, limits, time.time)


def jobs(departures: list[Departure]) -> list[int]:
    return [
        message.body["parameters"]["ispyb_process"]
        for departure in departures
        for message in departure.messages
    ]


def test_a_job_is_held_once(store: HeldJobs) -> None:
    assert store.hold(*job(1, visit="v", beamline="i03", recipe="r", dcid=5))
    assert not store.hold(*job(1))
    (entry,) = store.entries()
    assert entry.state == "held"
    assert entry.message == message(1)
    assert (entry.job.visit, entry.job.dcid, entry.job.job) == ("v", 5, 1)
    assert store.clusters() == {"slurm": 1}


def test_a_statistic_is_the_newest_one(store: HeldJobs) -> None:
    store.note(Statistic("slurm", 5, 100.0))
    store.note(Statistic("slurm", 7, 99.0))
    store.note(Statistic("iris", 1, 50.0))
    store.note(Statistic("slurm", 6, 101.5))
    assert store.statistics() == {
        "slurm": Statistic("slurm", 6, 101.5),
        "iris": Statistic("iris", 1, 50.0),
    }


def test_held_jobs_go_when_there_is_room(store: HeldJobs) -> None:
    with freeze_time(NOW) as clock:
        service = backlog(store)
        for number in range(20):
            assert service.handle(message(number)) == []
        assert service.due() == []  # nothing before the first statistic
        service.observe(statistic(4))
        assert jobs(service.due()) == list(range(6))
        service.sent()
        assert service.due() == []
        clock.tick(30)
        service.observe(statistic(4))  # taken before Slurm can have seen them
        assert service.due() == []
        clock.tick(SETTLING)
        service.observe(statistic(0))
        assert jobs(service.due()) == list(range(6, 16))
        service.sent()
        assert store.clusters() == {"slurm": 4}
        clock.tick(400)
        assert service.due() == []  # its last statistic is too old


def test_what_is_released_keeps_its_identity(store: HeldJobs) -> None:
    with freeze_time(NOW) as clock:
        service = backlog(store, capacity={"slurm": 1})
        service.handle(message(1))
        ((first,),) = (departure.messages for departure in service.due())
        assert first.destination == Queue("processing_recipe")
        # Killed before it could say that they were sent: another one sends the same.
        clock.tick(LEASE - 1)
        assert backlog(store, capacity={"slurm": 9}).due() == []
        clock.tick(2)
        takes_over = backlog(store, capacity={"slurm": 0})
        ((again,),) = (departure.messages for departure in takes_over.due())
        assert again.identity == first.identity


def test_a_capacity_is_used_once(store: HeldJobs) -> None:
    service = backlog(store, capacity={"slurm": 3})
    for number in range(5):
        service.handle(message(number))
    assert jobs(service.due()) == [0, 1, 2]
    service.sent()
    assert service.due() == []
    assert store.clusters() == {"slurm": 2}


def test_two_releasers_together_keep_the_limit(url: str, store: HeldJobs) -> None:
    for number in range(100):
        store.hold(*job(number))
    store.note(Statistic("slurm", 0, time.time()))
    found: list[int] = []
    start = threading.Barrier(4)

    def work() -> None:
        engine = connect(url)
        service = StoredBacklog(HeldJobs(engine), Limits({"slurm": 25}), time.time)
        start.wait()
        found.extend(jobs(service.due()))
        service.sent()
        engine.dispose()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(25))


def test_a_slow_broker_lets_nobody_else_send_the_same(
    url: str, store: HeldJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "LEASE", 0.4)
    for number in range(1, 6):
        store.hold(*job(number))
    slow = backlog(store, capacity={"slurm": 5})
    begun = time.time()
    assert jobs(list(slow.due())) == [1, 2, 3, 4, 5]
    other = HeldJobs.at(url)
    with slow.sending():
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert other.abandoned() == []
            time.sleep(0.05)
    releases = sorted(store.seen("slurm").releases)
    # They count from when they were sent, one after the other as before.
    assert releases[0] > begun + 1
    assert len(set(releases)) == 5
    assert releases[-1] - releases[0] < 0.1
    slow.sent()
    time.sleep(0.5)
    assert other.abandoned() == []
    assert {entry.state for entry in other.entries()} == {"released"}


def test_a_claim_that_nobody_renews_is_taken_over(
    store: HeldJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "LEASE", 0.4)
    store.hold(*job(1))
    failing = backlog(store, capacity={"slurm": 5})
    failing.due()
    with pytest.raises(Unavailable), failing.sending():
        raise Unavailable("the broker is away")
    time.sleep(0.5)
    assert [entry.job.job for entry in store.abandoned()] == [1]


def test_a_service_says_that_it_is_blind_and_when_it_sees_again(
    store: HeldJobs, caplog: pytest.LogCaptureFixture
) -> None:
    def said() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    with freeze_time(NOW) as clock:
        service = backlog(store, timeout=300)
        clock.tick(1000)
        assert service.due() == []
        assert said() == []  # nothing is held
        store.hold(*job(1))
        for _ in range(2):
            clock.tick(200)
            service.due()
        assert said() == []
        clock.tick(200)
        service.due()
        assert said() == [
            "cluster slurm: there is no statistic yet: its jobs stay held;"
            " is cluster-stats --listen running?"
        ]
        clock.tick(2000)
        service.due()
        assert said() == []
        service.observe(statistic(99))
        service.due()
        assert said() == ["cluster slurm: statistics come again"]
        for seconds in (290, 20, 290, 20):
            clock.tick(seconds)
            service.due()
        assert "its last statistic is 620 s old" in said()[0]


def test_a_store_that_is_removed_loses_nothing_more(tmp_path: Any) -> None:
    store = HeldJobs.at(f"sqlite:///{tmp_path}/state.sqlite3")
    store.hold(*job(1))
    for path in tmp_path.glob("state.sqlite3*"):
        path.unlink()
    assert store.hold(*job(2))
    other = HeldJobs.at(f"sqlite:///{tmp_path}/state.sqlite3")
    assert [entry.job.job for entry in other.entries()] == [2]


def test_what_was_sent_while_the_store_was_away_is_noted_before_more_goes(
    store: HeldJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with freeze_time(NOW) as clock:
        store.hold(*job(1))
        service = backlog(store, capacity={"slurm": 5})
        assert jobs(list(service.due())) == [1]
        with monkeypatch.context() as context:
            context.setattr(store, "released", mock.Mock(side_effect=Unavailable("locked")))
            for _ in range(2):
                with pytest.raises(Unavailable):
                    service.sent()
        clock.tick(LEASE + 1)
        assert service.due() == []
        assert [entry.state for entry in store.entries()] == ["released"]


def test_visits_take_turns_over_time(store: HeldJobs) -> None:
    for number in range(50):
        store.hold(*job(number, visit="big"))
    for number in range(50, 53):
        store.hold(*job(number, visit="small"))
    orders = []
    for _ in range(3):
        service = backlog(store, capacity={"slurm": 1})
        orders += jobs(service.due())
        service.sent()
        time.sleep(0.005)
    assert orders == [0, 50, 1]


def test_pauses_keep_and_end(store: HeldJobs) -> None:
    with freeze_time(NOW) as clock:
        store.hold(*job(1, visit="a"))
        store.hold(*job(2, visit="b"))
        pause = Pause("visit", "a", time.time() + 60, "me", "users asleep")
        number = store.pause(pause)
        (seen,) = store.pauses()
        assert (seen.number, seen.owner, seen.reason) == (number, "me", "users asleep")
        service = backlog(store, capacity={"slurm": 2})
        assert jobs(service.due()) == [2]
        service.sent()
        clock.tick(61)
        assert store.pauses() == []
        assert jobs(backlog(store, capacity={"slurm": 2}).due()) == [1]


def test_a_pause_can_be_ended(store: HeldJobs) -> None:
    store.pause(Pause("visit", "a", time.time() + 60, "me", ""))
    store.pause(Pause("beamline", "i03", time.time() + 60, "me", ""))
    (ended,) = store.resume("adam", PAUSES.c.name == "a")
    assert ended.name == "a"
    assert [pause.name for pause in store.pauses()] == ["i03"]
    assert [pause.name for pause in store.seen("slurm").pauses] == ["i03"]
    assert store.resume("eve", PAUSES.c.name == "a") == []


def test_who_has_ended_a_pause_and_when_is_kept(url: str) -> None:
    with freeze_time(NOW) as clock:
        store = HeldLists.at(url)
        begun = time.time()
        store.pause(Pause("visit", "a", begun + 3600, "me", "asleep"))
        store.pause(Pause("visit", "b", begun + 60, "me", "short"))
        clock.tick(90)
        store.resume("adam")
        first, second = store.pauses_since(None)
        assert (first.begun, first.until) == (begun, begun + 3600)
        assert (first.ended, first.ended_by) == (begun + 90, "adam")
        assert (second.begun, second.ended, second.ended_by) == (begun, None, "")
        assert [pause.name for pause in store.pauses_since(begun + 61)] == ["a"]
        assert store.pauses_since(begun + 91) == []


def test_a_store_of_an_older_version_is_completed(url: str) -> None:
    engine = connect(url, create=True)
    columns = "(id INTEGER PRIMARY KEY, kind VARCHAR(12), name VARCHAR(100), until BIGINT,"
    columns += " owner VARCHAR(100), reason VARCHAR(255))"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE dlstbx_pause {columns}")
        values = f"(1, 'visit', 'a', {int(1000 * time.time()) + 60_000}, 'me', 'r')"
        connection.exec_driver_sql(f"INSERT INTO dlstbx_pause VALUES {values}")
    (seen,) = HeldJobs(engine).pauses()
    assert (seen.name, seen.begun) == ("a", None)
    (ended,) = HeldJobs(engine).resume("adam")
    assert ended.name == "a"
    engine.dispose()


def test_letter_case_counts_where_the_field_says_so(store: HeldJobs) -> None:
    """Slurm is another cluster than slurm, to MariaDB as well; MX1-1 is the visit mx1-1."""
    with freeze_time(NOW):
        store.hold(*job(1, cluster="Slurm"))
        store.hold(*job(2, visit="MX1-1", beamline="I03"))
        store.hold(*job(3, visit="mx1-1", beamline="i03"))
        store.hold(*job(4, visit="mx2-1", beamline="i04"))
        store.note(Statistic("slurm", 5, time.time()))
        store.note(Statistic("Slurm", 99, time.time()))
        assert store.clusters() == {"slurm": 3, "Slurm": 1}
        assert {name: one.waiting for name, one in store.statistics().items()} == {
            "slurm": 5,
            "Slurm": 99,
        }
        service = backlog(store, waiting={"slurm": 7})
        assert jobs(list(service.due())) == [2, 4]
        service.sent()
        assert store.seen("slurm").served.keys() == {"mx1-1", "mx2-1"}
        assert [entry.job.visit for entry in store.entries()][1:3] == ["MX1-1", "mx1-1"]
        pause = Pause("beamline", "I03", time.time() + 60, "me", "")
        store.pause(pause)
        assert [one.name for one in store.pauses()] == ["I03"]
        assert jobs(list(backlog(store, capacity={"slurm": 9}).due())) == []


def test_a_person_releases_and_cancels(store: HeldJobs) -> None:
    for number in range(4):
        store.hold(*job(number))
    first, second, third, _ = [held.number for held in store.held()]
    (entry,) = store.take([first], "me", "urgent")
    assert entry.message == message(0)
    store.released([first])
    assert store.take([first], "me", "again") == []
    assert store.cancel([first, second], "me", "not wanted") == [second]
    states = {entry.job.number: (entry.state, entry.owner) for entry in store.entries()}
    assert states[first] == ("released", "me")
    assert states[second] == ("cancelled", "me")
    assert [held.number for held in store.held(JOBS.c.id <= third)] == [third]


def test_wrong_messages_are_rejected_and_not_held(store: HeldJobs) -> None:
    wrong = Message(Queue("mimas.held"), {"parameters": {"statistic-cluster": 5}})
    with pytest.raises(Rejected):
        backlog(store).handle(wrong)
    assert store.clusters() == {}


def test_a_run_that_ends_may_wait_for_a_statistic(store: HeldJobs) -> None:
    service = StoredBacklog(store, Limits(), time.time, time.time() + 60)
    assert not service.expects()  # nothing is held
    service.handle(message(1))
    assert service.expects()
    service.observe(statistic(0))
    assert not service.expects()


def test_thousands_are_ordered_quickly(store: HeldJobs) -> None:
    store.clusters()  # makes the tables
    rows = [
        {
            "identity": f"i{number}",
            "cluster": "slurm",
            "beamline": "i03",
            "visit": f"v{number % 7}",
            "recipe": "r",
            "dcid": number,
            "job": number,
            "taken": number,
            "state": "held",
            "changed": 0,
            "owner": "",
            "reason": "",
            "headers": "{}",
            "body": json.dumps(message(number).body),
        }
        for number in range(10_000)
    ]
    with store._engine.begin() as connection:
        connection.execute(insert(JOBS), rows)
    service = backlog(store, waiting={"slurm": 200})
    service.observe(statistic(0))
    began = time.monotonic()
    messages = service.due()
    service.sent()
    assert len(messages) == 200
    assert time.monotonic() - began < 2
