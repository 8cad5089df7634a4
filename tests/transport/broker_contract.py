"""What every broker must do. A subclass gives the fixture ``url`` of a fresh, empty broker."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue, Topic, dead_letter
from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.link import Broker, Link

#: Seconds within which an idle consumer must have what is there for it.
SOON = 5.0


def to(queue, body, **more):
    return Message(Queue(queue), body, **more)


def stage(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.transport.stage", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def depths(broker: Broker) -> dict[str, int]:
    """Return how many messages there are in each queue, whoever has them."""
    return {s.name: s.ready + s.in_hand + s.delayed for s in broker.states()}


def comes_to(broker: Broker, wanted: dict[str, int]) -> bool:
    """Tell whether the queues come to hold so much, soon: a network broker takes its time."""
    end = time.monotonic() + SOON
    while depths(broker) != wanted:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def take(link: Link, number: int) -> list:
    """Take and acknowledge so many messages; return their bodies."""
    bodies = []
    for _ in range(number):
        delivery = link.receive(SOON)
        assert delivery is not None
        bodies.append(delivery.message.body)
        link.commit(delivery, [])
    return bodies


class BrokerContract:
    #: Whether a consumer killed at a bad moment may leave a result twice, with one identity.
    repeats = False
    #: Whether a look at messages keeps them from nobody.
    browses = True
    #: Whether its messages say when they came: they may wait here for those before them.
    says_arrival = False

    @pytest.fixture
    def broker(self, url: str) -> Iterator[Broker]:
        with closing(connect(url)) as broker:
            yield broker

    @pytest.fixture
    def consume(self, broker) -> Iterator:
        with ExitStack() as stack:
            yield lambda *given: stack.enter_context(closing(broker.consumer(*given)))

    def test_queues_are_listed_by_the_beginning_of_their_names(self, broker):
        broker.send([to("q", 1), to("r", 2)])
        assert comes_to(broker, {"q": 1, "r": 1})
        assert [state.name for state in broker.states("q")] == ["q"]
        assert broker.states("x") == []

    def test_it_says_whether_a_look_keeps_messages_from_others(self, broker):
        assert broker.browses() is self.browses

    def test_messages_come_in_the_order_of_their_sending(self, broker, consume):
        for body in range(5):
            broker.send([to("q", body)])
        broker.send([to("q", body) for body in range(5, 10)])
        link = consume("q")
        assert take(link, 10) == list(range(10))
        assert link.receive(0) is None
        assert comes_to(broker, {})

    @pytest.mark.parametrize(
        "body",
        [
            None,
            "",
            0,
            [],
            {},
            {"a": [1, 2.5, True, None]},
            "NUL \0 surrogate \ud800 é 😀",
            {"\0": "\n"},
            "x" * 1_000_000,
            10**4000,
        ],
        ids=lambda body: repr(body)[:20],
    )
    def test_bodies_and_headers_survive(self, broker, consume, body):
        headers = {"dlstbx-id": "i", "workflows-recipe": "True", "odd": "é\n\ud800 : x"}
        broker.send([to("q", body, headers=headers, notes={"rule": "r"})])
        (peeked,) = broker.peek("q")
        message = consume("q").receive(SOON).message
        for seen in (peeked, message):
            assert seen == to("q", body, headers=headers)
            assert seen.identity == "i"

    def test_messages_say_when_they_came(self, broker, consume):
        link, before = consume("q"), time.monotonic()
        broker.send([to("q", body) for body in range(3)])
        first = link.receive(SOON).message
        time.sleep(0.3)  # the others come meanwhile
        later = time.monotonic()
        messages = [first, *(link.receive(SOON).message for _ in range(2))]
        if self.says_arrival:
            assert all(before < message.arrived < later for message in messages)
        else:
            assert {message.arrived for message in messages} == {None}

    def test_a_send_is_all_or_nothing(self, broker):
        for wrong in (to("", 1), to("a\nb", 1), Message(Topic("\ud800"), 1)):
            with pytest.raises(Rejected):
                broker.send([to("q", 1), wrong])
        with pytest.raises(ValueError, match="JSON"):
            broker.send([to("q", 1), to("q", float("nan"))])
        assert depths(broker) == {}

    def test_a_commit_is_all_or_nothing(self, broker, consume):
        broker.send([to("q", 1)])
        link = consume("q")
        delivery = link.receive(SOON)
        with pytest.raises(Rejected):
            link.commit(delivery, [to("r", 2), to("", 3)])
        assert link.receive(0) is None
        assert comes_to(broker, {"q": 1})
        link.commit(delivery, [to("r", 2)])
        assert link.receive(0) is None
        assert comes_to(broker, {"r": 1})

    def test_two_consumers_share_and_never_duplicate(self, broker, consume):
        broker.send([to("q", body) for body in range(40)])
        links = [consume("q"), consume("q")]
        hands = [link.receive(SOON) for _ in range(20) for link in links]
        assert sorted(d.message.body for d in hands) == list(range(40))
        assert links[0].receive(0) is None
        for index, delivery in enumerate(hands):
            links[index % 2].commit(delivery, [])
        assert [link.receive(0) for link in links] == [None, None]
        assert comes_to(broker, {})

    def test_given_back_is_in_its_place_again(self, broker, consume):
        broker.send([to("q", body) for body in range(4)])
        link = consume("q")
        first, second, third = (link.receive(SOON) for _ in range(3))
        link.commit(second, [])
        link.give_back(third)
        link.give_back(first)
        assert take(link, 3) == [0, 2, 3]

    def test_closing_gives_back(self, broker, consume):
        broker.send([to("q", body) for body in range(4)])
        with closing(broker.consumer("q")) as link:
            assert [link.receive(SOON).message.body for _ in range(2)] == [0, 1]
        assert take(consume("q"), 4) == [0, 1, 2, 3]

    def test_an_idle_consumer_gets_what_a_killed_one_had(self, url, broker, consume):
        broker.send([to("q", 1)])
        with stage("take", url, "q", "1") as child:
            child.stdout.readline()
            link = consume("q")
            assert link.receive(0.2) is None
            threading.Timer(0.2, child.kill).start()
            assert link.receive(SOON).message.body == 1

    def test_kill_at_any_moment_loses_and_doubles_nothing(self, url, broker):
        number = 300
        broker.send([to("in", body) for body in range(number)])
        for delay in (0.0, 0.003, 0.01, 0.02, 0.03):
            with stage("work", url) as child:
                child.stdout.readline()
                time.sleep(delay)
                child.send_signal(signal.SIGKILL)
        with stage("work", url) as last:
            assert last.wait(60) == 0
        messages = broker.peek("out")
        first = {message.identity: message.body for message in reversed(messages)}
        assert sorted(first.values()) == list(range(number))
        if not self.repeats:
            assert [message.body for message in messages] == list(range(number))

    def test_a_killed_consumers_messages_come_again_first(self, url, broker, consume):
        broker.send([to("q", body) for body in range(50)])
        with stage("take", url, "q", "2") as child:
            assert [int(child.stdout.readline()) for _ in range(2)] == [0, 1]
            child.kill()
        assert take(consume("q"), 50) == list(range(50))

    def test_a_message_that_kills_its_consumers_is_counted(
        self, url, broker, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
        broker.send([to("q", "poison"), *(to("q", body) for body in range(5))])
        for _ in range(3):
            with stage("take", url, "q", "1") as child:
                assert child.stdout.readline() == "poison\n"
                child.kill()
        with (
            closing(connect(url, scratch=tmp_path / "scratch")) as other,
            closing(other.consumer("q")) as link,
        ):
            delivery = link.receive(SOON)
            assert (delivery.message.body, delivery.attempts) == ("poison", 4)
            link.commit(delivery, [])
            innocent = [link.receive(SOON) for _ in range(5)]
            assert [one.message.body for one in innocent] == list(range(5))
            # Those behind it came back as well, but nobody had begun with them.
            assert max(one.attempts for one in innocent) <= 2

    def test_several_stages_at_once(self, url, broker):
        number = 300
        broker.send([to("in", body) for body in range(number)])
        children = [stage("work", url) for _ in range(3)]
        assert [child.wait(60) for child in children] == [0, 0, 0]
        for child in children:
            child.stdout.close()
        assert sorted(m.body for m in broker.peek("out")) == list(range(number))
        assert comes_to(broker, {"out": number})

    def test_several_senders_at_once(self, url, broker, consume):
        names, number = ["a", "b", "c"], 50
        children = [stage("send", url, "q", name, str(number)) for name in names]
        bodies = take(consume("q"), len(names) * number)
        assert [child.wait(60) for child in children] == [0, 0, 0]
        for child in children:
            child.stdout.close()
        for name in names:
            assert [count for who, count in bodies if who == name] == list(range(number))

    def test_a_waiting_consumer_is_quick(self, broker, consume):
        link = consume("q")
        assert link.receive(0) is None
        times = []
        for body in range(10):
            timer = threading.Timer(0.05, lambda: times.append(time.monotonic()))
            timer.start()
            timer.join()
            broker.send([to("q", body)])
            assert take(link, 1) == [body]
            times[-1] = time.monotonic() - times[-1]
        assert sorted(times)[5] < 0.1

    def test_a_message_sent_while_waiting_arrives(self, url, consume):
        def send():
            with closing(connect(url)) as other:
                other.send([to("q", 1)])

        link = consume("q")
        threading.Timer(0.3, send).start()
        assert link.receive(None).message.body == 1

    def test_delayed_messages(self, broker, consume):
        began = time.monotonic()
        broker.send([to("q", "late", delay=3), to("q", "later", delay=3600), to("q", "now")])
        assert [m.body for m in broker.peek("q")] == ["now", "late", "later"]
        assert 3590 < broker.peek("q")[2].delay <= 3600
        assert sum(state.delayed for state in broker.states()) == 2
        link = consume("q")
        assert take(link, 1) == ["now"]
        assert link.receive(0) is None
        assert take(link, 1) == ["late"]
        assert 3 <= time.monotonic() - began < 6
        assert link.receive(0.1) is None

    def test_a_delay_survives_the_consumer_that_waits(self, url, broker, consume):
        broker.send([to("q", 1), to("q", 2, delay=1.0, headers={"h": "x"})])
        with stage("take", url, "q", "1") as child:
            assert child.stdout.readline() == "1\n"
            child.kill()
        link = consume("q")
        assert sorted(take(link, 2)) == [1, 2]

    def test_results_may_go_to_the_same_queue(self, broker, consume):
        broker.send([to("q", 1), to("q", 2)])
        link = consume("q")
        link.commit(link.receive(SOON), [to("q", 3)])
        assert take(link, 2) == [2, 3]

    def test_every_newer_broadcast_comes_once(self, broker, consume):
        """In its topic's order: a network broker promises none between topics and queues."""
        link, deaf = consume("q", ["t", "u"]), consume("r")
        assert [link.receive(0), deaf.receive(0)] == [None, None]
        broker.send([Message(Topic("t"), 1), Message(Topic("t"), 2), Message(Topic("u"), 3)])
        broker.send([to("q", "message")])
        bodies = take(link, 4)
        assert sorted(bodies, key=str) == [1, 2, 3, "message"]
        assert bodies.index(1) < bodies.index(2)
        assert link.receive(0) is None
        assert deaf.receive(0) is None

    def test_a_broadcast_given_back_comes_again(self, broker, consume):
        link = consume("q", ["t"])
        assert link.receive(0) is None
        broker.send([Message(Topic("t"), 1), Message(Topic("t"), 2)])
        link.give_back(link.receive(SOON))
        assert take(link, 2) == [1, 2]

    def test_dead_letters_are_an_ordinary_queue(self, broker, consume):
        broker.send([to("q", {"a": 1}, headers={"h": "x"})])
        link = consume("q")
        delivery = link.receive(SOON)
        link.commit(delivery, [dead_letter(delivery.message, "q", "bad\nluck", "stage", 0.0)])
        assert link.receive(0) is None
        (letter,) = broker.peek("dlq.q")
        assert letter.body == {"a": 1}
        assert letter.headers["dlstbx-error"] == "bad luck"
        assert letter.headers["dlstbx-rejected-by"] == "stage"
        assert letter.headers["dlstbx-id"] == delivery.message.identity
        assert letter.headers["h"] == "x"

    def test_peek_takes_nothing(self, broker, consume):
        broker.send([to("b", body) for body in range(4)] + [to("a", 0, delay=60)])
        assert [m.body for m in broker.peek("b", 2)] == [0, 1]
        assert [m.body for m in broker.peek("b")] == [0, 1, 2, 3]
        assert broker.peek("nothing") == []
        assert [m.body for m in broker.peek("a")] == [0]
        assert take(consume("b"), 4) == [0, 1, 2, 3]

    def test_it_answers(self, broker):
        broker.check()
