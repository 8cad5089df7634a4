"""The embedded broker: the contract of all brokers, and what is its own."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.message import Message, Topic
from dlstbx_cli.transport import sqlite_file, sqlite_rows
from dlstbx_cli.transport.sqlite import SqliteBroker
from tests.transport.broker_contract import SOON, BrokerContract, stage, take, to


class TestContract(BrokerContract):
    """The contract, and what only a broker in one file can promise: exact places."""

    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path}/home/queue.sqlite3"

    def test_a_killed_consumers_messages_are_in_their_place_at_once(self, url, broker, consume):
        broker.send([to("q", body) for body in range(100)])
        link = consume("q")
        for round_ in range(5):
            with stage("take", url, "q", "2") as child:
                held = [int(child.stdout.readline()) for _ in range(2)]
                assert held == [2 * round_, 2 * round_ + 1]
                child.kill()
            assert take(link, 2) == held

    def test_due_messages_stand_where_they_were_sent(self, broker, consume):
        broker.send([to("q", 1, delay=0.2), to("q", 2), to("q", 3, delay=0.1), to("q", 4)])
        time.sleep(0.3)
        assert [m.body for m in broker.peek("q")] == [1, 2, 3, 4]
        assert take(consume("q"), 4) == [1, 2, 3, 4]

    def test_topics_keep_their_last_value_by_cluster(self, broker, consume):
        def statistic(cluster, kind, value):
            return Message(
                Topic("t"),
                {"statistic-cluster": cluster, "statistic": kind, "PENDING": value},
            )

        slurm, iris, s3 = (
            statistic("slurm", "job-states", 1),
            statistic("iris", "job-states", 2),
            statistic("s3echo", "used-storage", 3),
        )
        newer = statistic("slurm", "job-states", 4)
        broker.send([slurm, iris, s3, newer, to("q", "message"), Message(Topic("u"), "other")])
        links = [consume("q", ["t"]), consume("q", ["t"])]
        for link in links:
            heard = [link.receive(SOON) for _ in range(3)]
            assert [d.message for d in heard] == [iris, s3, newer]
            assert all(d.broadcast for d in heard)
            for delivery in heard:
                link.commit(delivery, [])
        assert take(links[0], 1) == ["message"]
        assert links[1].receive(0) is None

    def test_peek_and_states(self, broker, consume):
        before = time.time()
        broker.send([to("b", body) for body in range(4)] + [to("a", 0, delay=60)])
        link = consume("b")
        link.receive(SOON)
        assert [m.body for m in broker.peek("b", 2)] == [1, 2]
        assert [m.body for m in broker.peek("b")] == [1, 2, 3]
        assert broker.peek("nothing") == []
        states = broker.states()
        assert [(s.name, s.ready, s.in_hand, s.delayed) for s in states] == [
            ("a", 0, 0, 1),
            ("b", 3, 1, 0),
        ]
        assert all(before - 1 <= s.oldest <= time.time() + 1 for s in states)

    def test_every_newer_broadcast_comes_once_and_before_messages(self, broker, consume):
        link, deaf = consume("q", ["t", "u"]), consume("r")
        assert [link.receive(0), deaf.receive(0)] == [None, None]
        broker.send([Message(Topic("t"), 1), Message(Topic("t"), 2), Message(Topic("u"), 3)])
        broker.send([to("q", "message")])
        assert take(link, 4) == [1, 2, 3, "message"]
        assert link.receive(0) is None
        assert deaf.receive(0) is None

    def test_a_broadcast_given_back_comes_before_another_topics(self, broker, consume):
        link = consume("q", ["t", "u"])
        assert link.receive(0) is None
        broker.send([Message(Topic("t"), 1), Message(Topic("u"), 2)])
        link.give_back(link.receive(SOON))
        assert take(link, 2) == [1, 2]

    def test_the_last_broadcasts_are_kept(self, broker, consume):
        broker.send([Message(Topic("t"), 1), Message(Topic("t"), 2), Message(Topic("u"), 3)])
        assert take(consume("r", ["t", "u"]), 2) == [2, 3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "queue.sqlite3"


@pytest.fixture
def broker(path):
    with closing(SqliteBroker(path, timeout=0.2)) as broker:
        yield broker


def test_the_directory_is_for_its_owner_alone(broker, path):
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_many_may_make_the_file_at_once(path):
    url = f"sqlite:///{path}"
    children = [stage("send", url, "q", str(number), "3") for number in range(6)]
    assert [child.wait(30) for child in children] == [0] * 6
    for child in children:
        child.stdout.close()
    with closing(SqliteBroker(path)) as broker:
        assert len(broker.peek("q")) == 18


def test_signs_of_life_are_swept_away(broker, path):
    signs = path.with_name("queue.sqlite3-consumers")
    url = f"sqlite:///{path}"
    with stage("take", url, "q", "1") as child:
        while not signs.exists() or not list(signs.iterdir()):
            time.sleep(0.01)
        child.kill()
    assert len(list(signs.iterdir())) == 1
    with closing(broker.consumer("q")):
        assert len(list(signs.iterdir())) == 1
    assert not list(signs.iterdir())


def test_states_put_back_what_a_killed_consumer_had(broker, path):
    broker.send([to("q", 1)])
    with stage("take", f"sqlite:///{path}", "q", "1") as child:
        child.stdout.readline()
        assert [(s.ready, s.in_hand) for s in broker.states()] == [(0, 1)]
        child.kill()
    assert [(s.ready, s.in_hand) for s in broker.states()] == [(1, 0)]


def test_a_body_nested_too_deeply_is_delivered_as_faulty(broker):
    body = []
    for _ in range(300):
        body = [body]
    broker.send([to("q", body, headers={"h": "x"})])
    with closing(broker.consumer("q")) as link:
        delivery = link.receive(SOON)
    assert "nested too deeply" in delivery.fault
    assert delivery.message == to("q", "[" * 301 + "]" * 301, headers={"h": "x"})


def test_what_is_no_longer_ours_is_not_committed(broker, path):
    broker.send([to("q", 1)])
    with closing(broker.consumer("q")) as link:
        delivery = link.receive(SOON)
        link.give_back(delivery)
        with pytest.raises(Unavailable, match="no longer ours"):
            link.commit(delivery, [to("r", 2)])
    assert broker.peek("r") == []


@pytest.mark.parametrize("kind", ["other", "version", "text", "directory", "below a file"])
def test_a_file_that_cannot_be_used(tmp_path, kind):
    path = tmp_path / "queue.sqlite3"
    if kind == "other":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE t (x)")
    elif kind == "version":
        SqliteBroker(path).close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    elif kind == "text":
        path.write_text("not a database " * 100)
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_text("")
        path /= "queue.sqlite3"
    with pytest.raises(Misconfigured) as caught:
        SqliteBroker(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def of_the_layout_before(path):
    """Make the file what the program before made: layout 1, without deaths."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE messages DROP COLUMN deaths")
        connection.execute("PRAGMA user_version = 1")


def test_a_file_of_the_layout_before_is_taken_over(path):
    with closing(SqliteBroker(path)) as broker:
        broker.send([to("q", body, headers={"h": "x"}) for body in range(3)])
        broker.send([to("q", "late", delay=3600), Message(Topic("t"), "news")])
    with stage("take", f"sqlite:///{path}", "q", "1") as child:
        child.stdout.readline()
        child.kill()
    of_the_layout_before(path)
    with closing(SqliteBroker(path)) as broker, closing(broker.consumer("q", ["t"])) as link:
        assert [m.body for m in broker.peek("q")] == [0, 1, 2, "late"]
        assert take(link, 4) == ["news", 0, 1, 2]
        broker.send([to("q", "new")])
        with stage("take", f"sqlite:///{path}", "q", "1") as child:
            child.stdout.readline()
            child.kill()
        delivery = link.receive(SOON)
        assert (delivery.message.body, delivery.attempts) == ("new", 2)


def test_many_may_take_it_over_at_once(path):
    with closing(SqliteBroker(path)) as broker:
        broker.send([to("q", 0)])
    of_the_layout_before(path)
    children = [stage("send", f"sqlite:///{path}", "q", str(number), "3") for number in range(6)]
    assert [child.wait(30) for child in children] == [0] * 6
    for child in children:
        child.stdout.close()
    with closing(SqliteBroker(path)) as broker:
        assert len(broker.peek("q")) == 19


def test_an_upgrade_that_is_interrupted_is_done_again(path, monkeypatch):
    with closing(SqliteBroker(path)) as broker:
        broker.send([to("q", 1)])
    of_the_layout_before(path)
    broken = sqlite_file._UPGRADE.replace("PRAGMA", "SELECT nothing; PRAGMA")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "_UPGRADE", broken)
        with pytest.raises(Misconfigured, match="nothing"):
            SqliteBroker(path)
    with closing(SqliteBroker(path)) as broker:
        assert [m.body for m in broker.peek("q")] == [1]


def test_a_locked_file_is_unavailable(broker, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"queue\.sqlite3: database is locked"):
            broker.send([to("q", 1)])
        other.execute("ROLLBACK")
    broker.send([to("q", 1)])


def test_a_full_disk_is_unavailable_and_loses_nothing(path):
    with closing(SqliteBroker(path)) as broker:
        broker.send([to("q", 1)])
        connection = broker._file.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(Unavailable, match="full"):
            broker.send([to("q", "x" * 100_000)])
        assert [m.body for m in broker.peek("q")] == [1]


def test_a_consumer_that_cannot_close_properly_is_taken_for_dead(broker, path):
    broker.send([to("q", 1)])
    link = broker.consumer("q")
    link.receive(SOON)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        link.close()
    with closing(broker.consumer("q")) as heir:
        assert take(heir, 1) == [1]


def test_superseded_broadcasts_do_not_pile_up(broker, monkeypatch):
    monkeypatch.setattr(sqlite_rows, "_KEEP_BROADCAST", 0.0)
    for number in range(20):
        broker.send([Message(Topic("t"), number)])
    (count,) = broker._file.connection.execute("SELECT count(*) FROM broadcasts").fetchone()
    assert count <= 2


def test_signs_of_life_that_cannot_be_given(broker, path):
    path.with_name("queue.sqlite3-consumers").write_text("in the way")
    with pytest.raises(Misconfigured, match="File exists"):
        broker.consumer("q")


@pytest.mark.parametrize(
    ("query", "arguments", "index"),
    [
        (sqlite_rows.READY, ("q", 1), "INDEX ready (queue=?)"),
        (sqlite_rows.HAS_DUE, ("q", 1.0), "INDEX delayed (queue=? AND due<?)"),
        (sqlite_rows.MAKE_READY, ("q", 1.0), "INDEX delayed (queue=? AND due<?)"),
        (sqlite_rows.PUT_BACK, (1,), "INDEX in_hand (consumer=?)"),
    ],
)
def test_no_query_reads_a_whole_queue(broker, query, arguments, index):
    connection = broker._file.connection
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", arguments)]
    assert len(plan) == 1, "a sort of its own reads everything"
    assert index in plan[0]


def test_the_states_read_no_message_but_the_first(broker):
    plan = [
        row[3]
        for row in broker._file.connection.execute(f"EXPLAIN QUERY PLAN {sqlite_rows.STATES}")
    ]
    assert not [step for step in plan if step == "SCAN messages"]


def test_waiting_is_cheap(broker):
    with closing(broker.consumer("q", ["t"])) as link, closing(broker.consumer("q")):
        # This thread alone: those of other tests may still be busy.
        before = resource.getrusage(resource.RUSAGE_THREAD)
        assert link.receive(1.0) is None
        after = resource.getrusage(resource.RUSAGE_THREAD)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.1


def test_sending_loads_neither_sqlalchemy_nor_stomp(path):
    program = (
        "import sys; from dlstbx_cli.transport.broker import connect;"
        f"connect('sqlite:///{path}').send([]);"
        "sys.exit(bool({'sqlalchemy', 'stomp', 'rich', 'workflows'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
