"""The one loop, in its three ways, with real links and small services."""

from __future__ import annotations

import logging
import threading
from contextlib import closing, contextmanager, nullcontext
from unittest import mock

import pytest

from dlstbx_cli.commands.logs import InHand
from dlstbx_cli.services.errors import (
    Misconfigured,
    NoRoom,
    NotReady,
    Rejected,
    Stuck,
    Unavailable,
)
from dlstbx_cli.services.message import Message, Queue, Topic, derived_id
from dlstbx_cli.services.service import Departure
from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.driver import Tally, Way, exit_code, run
from dlstbx_cli.transport.envelope import parse, render
from dlstbx_cli.transport.pipe import Pipe
from dlstbx_cli.transport.sqlite import SqliteBroker
from dlstbx_cli.transport.stop import Stop
from tests.transport.broker_contract import stage

WAYS = [Way.FILTER, Way.ONCE, Way.LISTEN]


class Service:
    """A stage from ``in`` to ``out`` that does what the message's body says."""

    name = "stage"
    queue = "in"
    topics = ("news",)

    def __init__(self):
        self.seen = []
        self.room = 0
        self.away = 0

    def handle(self, message):
        self.seen.append(message.body)
        what = message.body if isinstance(message.body, str) else "two"
        return getattr(self, what.partition(" ")[0])(message)

    def observe(self, message):
        self.seen.append(message.body)
        if message.body == "nonsense":
            raise Rejected("nonsense")
        if message.body == "bug":
            raise KeyError("bug")
        self.room = message.body

    def two(self, message):
        return [Message(Queue("out"), [message.body, place]) for place in (0, 1)]

    def none(self, message):
        return []

    def bad(self, message):
        raise Rejected("a\nbad message")

    def bug(self, message):
        raise TypeError("no such thing")

    def nan(self, message):
        return [Message(Queue("out"), float("nan"))]

    def deep(self, message):
        return self.deep(message)

    def nameless(self, message):
        return [Message(Queue("out"), 1), Message(Queue("\n"), 2)]

    def later(self, message):
        again = Message(message.destination, "two times", message.headers)
        raise NotReady(again, 0.05)

    def full(self, message):
        if not self.room:
            raise NoRoom
        self.room -= 1
        return [Message(Queue("out"), message.body)]

    def away_(self, message):
        if self.away:
            self.away -= 1
            raise Unavailable("the database")
        return [Message(Queue("out"), message.body)]

    def stuck(self, message):
        raise Stuck("the visit does not answer")

    def wrong(self, message):
        raise Misconfigured("the database")


class Waits(Stop):
    """A stop that takes no time to wait, and asks for the end after some idle looks."""

    def __init__(self, limit=20):
        super().__init__()
        self.waits = []
        self._limit = limit

    def wait(self, seconds):
        self.waits.append(seconds)
        if len(self.waits) >= self._limit:
            self.request()
        return self.requested


class Idle:
    """A link that asks for the end of the run when nothing is left to do."""

    def __init__(self, link, stop):
        self._link, self._stop = link, stop

    def receive(self, _timeout):
        delivery = self._link.receive(0)
        if delivery is None:
            self._stop.request()
        return delivery

    def __getattr__(self, name):
        return getattr(self._link, name)


@pytest.fixture
def broker(tmp_path):
    with closing(SqliteBroker(tmp_path / "queue.sqlite3")) as broker:
        yield broker


@contextmanager
def linked(way, messages, broker, stop):
    """Give a link that holds the messages, and what has come out of it in the end."""
    out = []
    if way is Way.FILTER:
        lines = [render(message) for message in messages]
        link = Pipe(
            "in",
            ("news",),
            lines,
            emit=lambda results: out.extend([parse(render(result)) for result in results]),
            pass_on=lambda line: out.append(parse(line)),
        )
        yield link, out
    else:
        broker.send(messages)
        consumer = broker.consumer("in", ("news",))
        link = Idle(consumer, stop) if way is Way.LISTEN else consumer
        with closing(link):
            yield link, out
        for state in broker.states():
            out.extend(broker.peek(state.name))


def drive(way, bodies, broker, service=None, stop=None):
    """Run the service on messages; return it, the tally and what came out."""
    service, stop = service or Service(), stop or Stop()
    messages = [
        body if isinstance(body, Message) else Message(Queue("in"), body, {"dlstbx-id": f"{body}"})
        for body in bodies
    ]
    with linked(way, messages, broker, stop) as (link, out):
        tally = run(service, link, way, stop)
    return service, tally, out


def bodies(messages, queue):
    return [m.body for m in messages if m.destination == Queue(queue)]


@pytest.mark.parametrize("way", WAYS)
def test_results_carry_ids_that_follow_from_their_parents(way, broker):
    _, tally, out = drive(way, ["two", "none", 5], broker)
    assert tally == Tally(handled=3)
    assert bodies(out, "out") == [["two", 0], ["two", 1], [5, 0], [5, 1]]
    assert [m.headers["dlstbx-id"] for m in out] == [
        derived_id(parent, place) for parent in ("two", "5") for place in (0, 1)
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("bad", "a bad message"),
        ("bug", "internal error: TypeError: no such thing"),
        ("unknown", "internal error: AttributeError: 'Service' object has no attribute 'unknown'"),
        ("nan", "internal error: ValueError: Out of range float values are not JSON compliant"),
        ("deep", "nested too deeply"),
    ],
)
def test_a_message_that_cannot_be_handled_stops_nothing(way, broker, body, reason):
    _, tally, out = drive(way, [body, "two"], broker)
    assert tally == Tally(handled=1, rejected=1)
    assert exit_code(tally) == 1
    assert len(bodies(out, "out")) == 2
    (letter,) = (m for m in out if m.destination == Queue("dlq.in"))
    assert letter.body == body
    assert letter.headers == {
        "dlstbx-id": body,
        "dlstbx-error": reason,
        "dlstbx-rejected-by": "stage",
        "dlstbx-rejected-at": mock.ANY,
    }


@pytest.mark.parametrize("way", [Way.ONCE, Way.LISTEN])
def test_a_result_that_the_broker_refuses_is_a_dead_letter(way, broker):
    _, tally, out = drive(way, ["nameless"], broker)
    assert tally == Tally(rejected=1)
    assert bodies(out, "out") == []
    assert bodies(out, "dlq.in") == ["nameless"]


@pytest.mark.parametrize("way", WAYS)
def test_not_ready(way, broker):
    stop = Waits(100)
    _, tally, out = drive(way, ["later", "none"], broker, stop=stop)
    if way is Way.FILTER:
        assert stop.waits == [0.05]
        assert tally == Tally(handled=2)
        assert [m.body for m in out] == [["two times", 0], ["two times", 1]]
        assert out[0].headers["dlstbx-id"] == derived_id("later", 0)
    else:
        assert tally.handled == 1
        (waiting,) = out
        assert waiting.destination == Queue("in")
        assert waiting.body == "two times"
        assert waiting.identity == "later"
        assert 0 <= waiting.delay <= 0.05


def test_a_filter_stopped_while_waiting_passes_the_line_on(broker):
    _, tally, out = drive(Way.FILTER, ["later"], broker, stop=Waits(1))
    assert tally == Tally()
    assert bodies(out, "in") == ["later"]


@pytest.mark.parametrize("way", WAYS)
def test_no_room(way, broker):
    given = ["full 1", "full 2", "none", "full 3"]
    service, tally, out = drive(way, given, broker)
    assert tally == Tally(handled=1, kept=3)
    assert exit_code(tally) == 0
    assert bodies(out, "in") == ["full 1", "full 2", "full 3"]
    assert service.seen == given


@pytest.mark.parametrize("way", [Way.ONCE, Way.LISTEN])
def test_what_had_no_room_goes_first_when_there_is_some(way, broker):
    class Announcing(Service):
        def none(self, message):
            broker.send([Message(Topic("news"), 2)])
            return []

    given = ["full 1", "full 2", "none", "full 3"]
    service, tally, out = drive(way, given, broker, Announcing())
    assert tally == Tally(handled=3, kept=1)
    assert bodies(out, "out") == ["full 1", "full 2"]
    assert bodies(out, "in") == ["full 3"]
    assert service.seen == ["full 1", "full 2", "none", 2, "full 1", "full 2", "full 3"]


def test_listening_sets_aside_what_hangs_and_goes_on(broker, caplog):
    service, stop = Service(), Waits(1)
    _, tally, out = drive(Way.LISTEN, ["stuck 1", "two", "stuck 2", "none"], broker, service, stop)
    assert tally == Tally(handled=2)
    assert stop.waits == []
    assert service.seen == ["stuck 1", "two", "stuck 2", "none"]
    assert bodies(out, "out") == [["two", 0], ["two", 1]]
    waiting = [message for message in out if message.destination == Queue("in")]
    assert [message.body for message in waiting] == ["stuck 1", "stuck 2"]
    assert [message.identity for message in waiting] == ["stuck 1", "stuck 2"]
    assert all(9 < message.delay <= 10 for message in waiting)
    first, _ = (record for record in caplog.records if record.action == "set aside")
    assert first.getMessage().endswith("the visit does not answer; looked at again in 10 s")


@pytest.mark.parametrize("way", [Way.FILTER, Way.ONCE])
def test_what_hangs_is_a_failure_where_nobody_looks_again(way, broker):
    _, tally, out = drive(way, ["two", "stuck", "two"], broker)
    assert tally == Tally(handled=1, unavailable="the visit does not answer")
    assert exit_code(tally) == 75
    assert bodies(out, "in") == ["stuck", "two"]


def test_a_filter_unavailable_passes_the_rest_on_untouched(broker):
    service = Service()
    service.away = 1
    given = ["two", "away_ 1", "two", "bad"]
    _, tally, out = drive(Way.FILTER, given, broker, service)
    assert tally == Tally(handled=1, unavailable="the database")
    assert exit_code(tally) == 75
    assert bodies(out, "in") == given[1:]
    assert service.seen == given[:2]


def test_once_unavailable_leaves_the_rest(broker):
    service = Service()
    service.away = 1
    _, tally, out = drive(Way.ONCE, ["full", "two", "away_", "two"], broker, service)
    assert tally == Tally(handled=1, unavailable="the database")
    assert bodies(out, "in") == ["full", "away_", "two"]


def test_listening_waits_longer_and_longer(broker):
    service, stop = Service(), Waits()
    service.away = 8
    _, tally, out = drive(Way.LISTEN, ["full", "away_ 1", "away_ 2"], broker, service, stop)
    assert stop.waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert tally == Tally(handled=2, kept=1)
    assert bodies(out, "out") == ["away_ 1", "away_ 2"]
    assert bodies(out, "in") == ["full"]


def test_listening_can_be_stopped_while_it_waits(broker):
    service, stop = Service(), Waits(2)
    service.away = 100
    _, tally, out = drive(Way.LISTEN, ["away_"], broker, service, stop)
    assert tally == Tally()
    assert bodies(out, "in") == ["away_"]


@pytest.mark.parametrize("way", WAYS)
def test_misconfigured_loses_nothing_either(way, broker):
    service, stop = Service(), Stop()
    messages = [Message(Queue("in"), body) for body in ("two", "wrong", "two")]
    with linked(way, messages, broker, stop) as (link, out), pytest.raises(Misconfigured):
        run(service, link, way, stop)
    assert bodies(out, "in") == ["wrong", "two"]
    assert service.seen == ["two", "wrong"]


@pytest.mark.parametrize("way", WAYS)
def test_broadcasts(way, broker):
    given = [Message(Topic("news"), body) for body in ("bug", {"statistic": 1}, 2)]
    service, tally, out = drive(way, [*given, "two"], broker)
    heard = ["bug", {"statistic": 1}, 2] if way is Way.FILTER else [{"statistic": 1}, 2]
    assert service.seen == [*heard, "two"]
    assert tally == Tally(handled=1, rejected=1 if way is Way.FILTER else 0)
    assert out[: len(given)] == given if way is Way.FILTER else len(out) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_broadcast_without_sense_counts_as_rejected(way, broker):
    _, tally, out = drive(way, [Message(Topic("news"), "nonsense"), "two"], broker)
    assert tally == Tally(handled=1, rejected=1)
    assert bodies(out, "dlq.in") == []


@pytest.mark.parametrize("way", WAYS)
def test_the_message_in_hand_is_finished(way, broker):
    stop = Stop()

    class Stopping(Service):
        def two(self, message):
            stop.request()
            return super().two(message)

    _, tally, out = drive(way, ["two", "none", "two"], broker, Stopping(), stop)
    assert tally.handled == 1
    assert bodies(out, "out") == [["two", 0], ["two", 1]]
    if way is not Way.FILTER:  # a filter leaves what it has not read where it is
        assert bodies(out, "in") == ["none", "two"]


@pytest.mark.parametrize("way", WAYS)
def test_an_error_beyond_exceptions_gives_everything_back(way, broker):
    class Interrupted(Service):
        def two(self, message):
            raise KeyboardInterrupt

    stop = Stop()
    messages = [Message(Queue("in"), body) for body in ("full", "two")]
    with linked(way, messages, broker, stop) as (link, out), pytest.raises(KeyboardInterrupt):
        run(Interrupted(), link, way, stop)
    assert bodies(out, "in") == ["full", "two"]


def test_listening_outside_the_main_thread(broker, tmp_path):
    stop, tallies = Stop(), []

    def listen():
        with (
            stop,
            closing(SqliteBroker(tmp_path / "queue.sqlite3")) as own,
            closing(own.consumer("in")) as link,
        ):
            tallies.append(run(Service(), link, Way.LISTEN, stop))

    thread = threading.Thread(target=listen)
    thread.start()
    broker.send([Message(Queue("in"), "two")])
    with closing(broker.consumer("out")) as link:
        assert link.receive(5).message.body == ["two", 0]
    stop.request()
    thread.join(5)
    assert tallies == [Tally(handled=1)]


def test_what_is_logged(broker, caplog):
    body = {"environment": {"ID": "e"}, "payload": {"parameters": {"dcid": 7}}}

    class Strict(Service):
        def two(self, message):
            raise Rejected("no\ngood")

    # As start_logging does it: what is known of the message in hand is added to each record.
    caplog.handler.addFilter(in_hand := InHand())
    with caplog.at_level(logging.INFO, "dlstbx_cli"):
        drive(Way.FILTER, ["none", Message(Queue("in"), body)], broker, Strict())
    caplog.handler.removeFilter(in_hand)
    handled, rejected = caplog.records
    assert (handled.action, handled.place) == ("handle", "line 1")
    assert rejected.getMessage() == "line 2: no good"
    assert rejected.action == "reject"
    assert (rejected.queue, rejected.place) == ("in", "line 2")
    assert (rejected.recipe_id, rejected.dcid) == ("e", 7)


class Eager(Service):
    """Keeps what it is given, and sends it of its own accord, two at a time."""

    def __init__(self, patience=0):
        super().__init__()
        self.kept, self.confirmed, self.patience, self.going = [], [], patience, []

    def handle(self, message):
        self.kept.append(message)
        return []

    def due(self):
        self.going, self.kept = self.kept[:2], self.kept[2:]
        return [Departure(one, [self.made(one)]) for one in self.going]

    def made(self, message):
        name = "\n" if message.body == "bad" else "out"
        return Message(Queue(name), message.body, {"dlstbx-id": message.identity})

    def sending(self):
        return nullcontext()

    def sent(self):
        self.confirmed += [one.body for one in self.going]
        self.going = []

    def expects(self):
        self.patience -= 1
        return self.patience >= 0


def test_once_sends_all_that_is_due_before_it_ends(broker):
    service = Eager(patience=2)
    _, tally, messages = drive(Way.ONCE, ["a", "b", "c", "d", "e"], broker, service)
    assert bodies(messages, "out") == ["a", "b", "c", "d", "e"]
    assert service.confirmed == ["a", "b", "c", "d", "e"]
    assert service.patience == -1
    assert exit_code(tally) == 0


def test_sending_is_surrounded_whatever_becomes_of_it(broker):
    steps = []

    class Careful(Eager):
        @contextmanager
        def sending(self):
            steps.append(f"begin {[one.body for one in self.going]}")
            yield
            steps.append(f"end, confirmed {self.confirmed}")

    drive(Way.ONCE, ["a", "bad"], broker, Careful())
    assert steps[:2] == ["begin ['a', 'bad']", "end, confirmed []"]


def test_what_the_broker_refuses_keeps_nothing_else(broker):
    service = Eager()
    _, tally, out = drive(Way.ONCE, ["a", "bad", "c"], broker, service)
    assert bodies(out, "out") == ["a", "c"]
    (letter,) = [message for message in out if message.destination == Queue("dlq.in")]
    assert letter.body == "bad"
    assert letter.identity == "bad"
    assert service.confirmed == ["a", "bad", "c"]
    assert exit_code(tally) == 1


def test_what_cannot_even_be_made_is_a_dead_letter(broker):
    class Clumsy(Eager):
        def due(self):
            return [Departure(one.origin, (), "no way") for one in super().due()]

    _, tally, out = drive(Way.ONCE, ["a"], broker, Clumsy())
    assert [(m.body, m.headers["dlstbx-error"]) for m in out] == [("a", "no way")]
    assert tally.rejected == 1


def test_what_is_due_and_cannot_be_sent_is_not_confirmed(broker):
    service = Eager()
    with mock.patch(
        "dlstbx_cli.transport.sqlite.SqliteConsumer.send", side_effect=Unavailable("x")
    ):
        _, tally, _ = drive(Way.ONCE, ["a"], broker, service)
    assert tally.unavailable == "x"
    assert service.confirmed == []


@pytest.mark.parametrize("kind", ["sqlite", "rabbitmq_server", "activemq_server"])
def test_a_message_that_kills_its_consumer_is_given_up(kind, request, tmp_path, monkeypatch):
    """Those around it, which the dead had in hand as well, are all handled."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/queue.sqlite3"
    else:
        server = request.getfixturevalue(kind)
        # A dead consumer's messages take a moment to come back: an empty queue is not the end.
        url = server.url(**server.place(), idle=1)
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    poison = {"die": True, "environment": {"ID": "e"}}
    given = [0, 1, poison, *range(3, 9), {"die": True, "second": True}, 10]
    with closing(connect(url)) as broker:
        broker.send([Message(Queue("in"), body, {"dlstbx-id": f"i{body}"}) for body in given])
        codes = []
        while not codes or (codes[-1] < 0 and len(codes) < 10):
            with stage("listen", url, "3", "once") as child:
                codes.append(child.wait(20))
        # Three deaths by each. But a network broker does not tell whether the second one,
        # received ahead, was begun: a death of the first one counts for it.
        assert codes == [-9] * (6 if kind == "sqlite" else 5) + [1]
        letters = broker.peek("dlq.in")
        assert [letter.body for letter in letters] == [poison, given[9]]
        for letter in letters:
            assert letter.headers["dlstbx-id"] == f"i{letter.body}"
            assert letter.headers["dlstbx-attempt"] == "3"
            assert letter.headers["dlstbx-error"] == "it has ended its consumer 3 times"
        results = {message.identity: message.body for message in broker.peek("out")}
        innocent = [body for body in given if not isinstance(body, dict)]
        assert sorted(results.values()) == innocent
        assert set(results) == {derived_id(f"i{body}", 0) for body in innocent}
        assert broker.peek("in") == []
    if kind != "sqlite":
        assert list((tmp_path / "scratch" / "attempts").iterdir()) == []


@pytest.mark.parametrize(
    ("tally", "code"),
    [
        (Tally(), 0),
        (Tally(handled=3, kept=1), 0),
        (Tally(handled=3, rejected=1), 1),
        (Tally(rejected=1, unavailable="x"), 75),
        (Tally(unavailable=""), 75),
    ],
)
def test_exit_codes(tally, code):
    assert exit_code(tally) == code
