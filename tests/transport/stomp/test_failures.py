"""Real brokers that refuse, hang, die and come back: nothing is lost, and it is said why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.message import Message, Topic
from dlstbx_cli.transport import driver
from dlstbx_cli.transport.driver import Way
from dlstbx_cli.transport.link import Broker, Delivery, Link
from dlstbx_cli.transport.stomp import consumer
from dlstbx_cli.transport.stop import Stop
from tests.conftest import start
from tests.servers.broker import PASSWORD
from tests.transport.broker_contract import take, to
from tests.transport.stage import Echo
from tests.transport.stomp.fake import Door, Fake, deaf, silent

Open = Callable[..., Broker]
#: Seconds that a busy machine may need for what should be at once.
SOON = 20.0
#: What a stage of ``tests.transport.stage`` takes its time for, and says so.
LONG = {"sleep": 1, "say": "asleep"}


def bodies(broker: Broker, queue: str) -> list[Any]:
    return [message.body for message in broker.peek(queue)]


def until(condition: Callable[[], Any], seconds: float = SOON) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.05)
    return found


def refusal(link: Link, delivery: Delivery, results: list[Message]) -> str:
    """Commit, and return what the broker has against it: it may say so only later."""
    with pytest.raises(Unavailable) as caught:  # noqa: PT012
        link.commit(delivery, results)
        until(lambda: link.receive(0.1) and False)
    return str(caught.value)


# --- who we are ----------------------------------------------------------------------


def test_a_wrong_password(server: Any, opened: Open) -> None:
    with pytest.raises(Misconfigured, match="dlstbx") as caught:
        opened(server.url_as("dlstbx", "s3cr3t@/:")).check()
    assert "s3cr3t" not in str(caught.value)
    assert str(server.port) in str(caught.value)


def test_the_right_password_is_not_shown_either(server: Any, opened: Open) -> None:
    broker = opened(server.url())
    broker.check()
    server_of = (str(vars(broker)), repr(broker), str(broker._settings))  # type: ignore[attr-defined]
    assert not any(PASSWORD in text for text in server_of)


def test_anonymous(rabbitmq_server: Any, activemq_server: Any, opened: Open) -> None:
    with pytest.raises(Misconfigured, match=r"Access refused .*\(user anonymous\)"):
        opened(rabbitmq_server.anonymous_url()).check()
    opened(activemq_server.anonymous_url(**activemq_server.place())).send([to("q", 1)])


def test_an_unknown_virtual_host(rabbitmq_server: Any, opened: Open) -> None:
    with pytest.raises(Misconfigured, match="Virtual host 'nowhere' access denied"):
        opened(rabbitmq_server.url(vhost="nowhere")).check()


def may_not_write(server: Any, place: dict[str, str]) -> str:
    """Return the URL of a user who may only read."""
    if hasattr(server, "reader_url"):
        return str(server.reader_url(**place))
    server.add_user("reader", "pw", ".*", "", ".*", vhost=place["vhost"])
    return str(server.url_as("reader", "pw", **place))


def test_what_one_may_not_send(
    server: Any, place: dict[str, str], broker: Broker, opened: Open
) -> None:
    refused = opened(may_not_write(server, place))
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"not authorized to write|ACCESS_REFUSED"):
            refused.send([to("q", 1), to("q", 2)])
    refused.check()
    assert bodies(broker, "q") == []


def test_a_result_that_is_refused_costs_no_message(
    server: Any, place: dict[str, str], broker: Broker, opened: Open
) -> None:
    broker.send([to("q", body, headers={"dlstbx-id": f"i{body}"}) for body in (1, 2)])
    with closing(opened(may_not_write(server, place)).consumer("q")) as link:
        for _ in range(2):
            delivery = link.receive(SOON)
            assert delivery is not None
            # What ActiveMQ rolls back comes again behind what it had sent meanwhile.
            assert delivery.message.identity == f"i{delivery.message.body}"
            told = refusal(link, delivery, [to("r", "result")])
            assert "authorized to write" in told or "ACCESS_REFUSED" in told
    until(lambda: sorted(bodies(broker, "q")) == [1, 2])
    assert bodies(broker, "r") == []


def test_a_refusal_that_comes_late_costs_no_message(rabbitmq_server: Any, opened: Open) -> None:
    """Of an exchange that is not there, RabbitMQ tells after the message was sent."""
    place = rabbitmq_server.place()
    broker = opened(rabbitmq_server.url(**place, topic_form="/exchange/{}", idle=0.2))
    broker.send([to("q", body) for body in (1, 2, 3)])
    with closing(broker.consumer("q")) as link:
        delivery = link.receive(SOON)
        assert delivery is not None
        told = refusal(link, delivery, [Message(Topic("nowhere"), "news")])
        assert "no exchange 'nowhere'" in told
        assert take(link, 3) == [1, 2, 3]
        assert link.receive(0) is None
    # If it comes as late as the end, it is not taken for done.
    broker.send([to("q", 4)])
    link = broker.consumer("q")
    delivery = link.receive(SOON)
    assert delivery is not None
    link.commit(delivery, [Message(Topic("nowhere"), "news")])
    with pytest.raises(Unavailable, match="no exchange 'nowhere'"):
        link.close()
    assert bodies(broker, "q") == [4]


# --- TLS -----------------------------------------------------------------------------


def test_tls(server: Any, place: dict[str, str], opened: Open) -> None:
    made = server.certificates
    for settings in ({}, {"ca": None, "verify": "no"}, {"ca": made.other_ca, "verify": "no"}):
        broker = opened(server.tls_url(**settings, **place))
        broker.send([to("q", "x" * 300_000), to("q", 2)])
        assert bodies(broker, "q") == ["x" * 300_000, 2]
        with closing(broker.consumer("q")) as link:
            assert take(link, 2) == ["x" * 300_000, 2]
            assert link.receive(0) is None


def test_tls_with_a_certificate_that_is_not_trusted(server: Any, opened: Open) -> None:
    made = server.certificates
    plain_port = server.tls_url().replace(str(server.tls_port), str(server.port))
    for url, told in (
        (server.tls_url(ca=made.other_ca), "certificate verify failed"),
        (server.tls_url(ca=None), "certificate verify failed"),
        (plain_port + "&timeout=1", "SSL|timed out|EOF|end|lost"),
    ):
        with pytest.raises(Unavailable, match=told) as caught:
            opened(url).check()
        assert PASSWORD not in str(caught.value)
    with pytest.raises(Unavailable, match=r"lost|answer"):
        opened(server.url(timeout=1).replace(str(server.port), str(server.tls_port))).check()


def test_tls_files_that_are_none(server: Any, opened: Open, tmp_path: Any) -> None:
    (tmp_path / "ca.pem").write_text("this is no certificate")
    with pytest.raises(Misconfigured, match=r"ca=.*/ca\.pem: "):
        opened(server.tls_url(ca=tmp_path / "ca.pem")).check()
    with pytest.raises(Misconfigured, match=r"cert=.*/client\.key"):
        opened(server.tls_url(cert=server.certificates.client_key)).check()


def test_tls_with_a_certificate_of_ours(rabbitmq_server: Any, opened: Open) -> None:
    made, place = rabbitmq_server.certificates, rabbitmq_server.place()
    url = rabbitmq_server.tls_url(cert=made.client_cert, key=made.client_key, **place)
    opened(url).check()
    path = f"vhosts/{place['vhost']}/connections"

    def seen() -> bool:
        known = rabbitmq_server.management("GET", path)
        return any(one.get("peer_cert_subject") == "CN=client,O=dlstbx tests" for one in known)

    until(seen)


def test_the_second_host_over_tls(server: Any, place: dict[str, str], opened: Open) -> None:
    url = server.tls_url(**place).replace("127.0.0.1", "127.0.0.1:1,localhost", 1)
    broker = opened(url)
    broker.send([to("q", 1)])
    assert bodies(broker, "q") == [1]


@pytest.mark.parametrize("tls", [False, True])
def test_the_end_of_a_connection_is_noticed_at_once(
    server: Any, place: dict[str, str], opened: Open, tls: bool
) -> None:
    """Without waiting for heart-beats, and without asking again and again until then."""
    door = Door(server.tls_port if tls else server.port)
    door.open()
    url = server.tls_url(**place) if tls else server.url(**place)
    url = url.replace(str(server.tls_port if tls else server.port), str(door.port), 1)
    broker = opened(url)
    broker.check()
    with closing(broker.consumer("q")) as link:
        assert link.receive(0) is None
        door.close()
        begin, used = time.monotonic(), time.process_time()
        with pytest.raises(Unavailable, match="lost"):
            link.receive(5)
        with pytest.raises(Unavailable, match=r"refused|lost"):
            broker.send([to("q", 1)])
        assert time.monotonic() - begin < 3
        time.sleep(1)
        assert time.process_time() - used < 0.6


#: RabbitMQ's heart-beats are slow: once is enough.
HANGING = [("activemq_server", False), ("activemq_server", True), ("rabbitmq_server", True)]


@pytest.mark.parametrize(("server", "tls"), HANGING, indirect=["server"])
def test_a_broker_that_hangs(server: Any, place: dict[str, str], opened: Open, tls: bool) -> None:
    """Sending ends in time, a consumer notices by itself, and closing ends as well."""
    settings = {**place, "timeout": "1", "heartbeat": "0.4"}
    url = server.tls_url(**settings) if tls else server.url(**settings)
    broker, other = opened(url), opened(url)
    broker.send([to("r", "known"), *(to("q", body) for body in range(3))])
    link, idle = broker.consumer("q"), other.consumer("r")
    delivery = link.receive(SOON)
    assert delivery is not None
    assert take(idle, 1) == ["known"]
    assert idle.receive(0) is None
    server.pause()
    begin = time.monotonic()
    with pytest.raises(Unavailable, match=r"confirm|answer|lost"):
        # So many frames that they do not fit into the pipe to the thread that writes.
        broker.send([to("q", 9)] * 500)
    assert time.monotonic() - begin < 2.5
    link.commit(delivery, [to("r", "result")])
    with pytest.raises(Unavailable, match="lost"):
        until(lambda: idle.receive(0.1) and False, 6)
    begin = time.monotonic()
    with pytest.raises(Unavailable, match=r"lost|confirm"):
        link.close()
    idle.close()
    assert time.monotonic() - begin < 4.5
    server.resume()
    # Whether the broker takes what had reached its socket is open; nothing else is.
    with closing(broker.consumer("q")) as again:
        seen = [again.receive(SOON) for _ in range(2)]
        assert [one and one.message.body for one in seen][-1] in (1, 2)


# --- what is in hand -----------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3])
def test_the_window(server: Any, place: dict[str, str], opened: Open, window: int) -> None:
    broker = opened(server.url(**place, window=window))
    broker.send([to("q", body) for body in range(12)])
    with closing(broker.consumer("q")) as first, closing(broker.consumer("q")) as second:
        delivery = first.receive(SOON)
        assert delivery is not None
        assert delivery.message.body == 0
        # The other one gets what stands behind the first one's window.
        assert take(second, 1) == [window]
        first.commit(delivery, [to("r", 0)])
    seen = []
    with closing(broker.consumer("q")) as link:
        while (delivery := link.receive(0)) is not None:
            seen.append(delivery.message.body)
            # Not waited for: the next one is there, or comes, meanwhile.
            link.commit(delivery, [to("r", [seen[-1], place]) for place in range(3)])
    assert sorted(seen) == [body for body in range(1, 12) if body != window]
    assert bodies(broker, "q") == []
    assert len(bodies(broker, "r")) == 1 + 3 * 10


def test_all_may_be_kept_in_hand(server: Any, place: dict[str, str], opened: Open) -> None:
    """A service that has no room for any of the first ones still gets to see the others."""
    broker = opened(server.url(**place, window=4))
    broker.send([to("q", body) for body in range(50)])
    with closing(broker.consumer("q")) as link:
        kept = [link.receive(SOON) for _ in range(49)]
        assert [one and one.message.body for one in kept] == list(range(49))
        assert take(link, 1) == [49]
        assert link.receive(0) is None
        assert kept[7] is not None
        link.commit(kept[7], [])
        assert link.receive(0) is None
    left = [body for body in range(49) if body != 7]
    assert sorted(bodies(broker, "q")) == left


def test_dead_letters_go_back_in_their_order(
    server: Any, place: dict[str, str], opened: Open
) -> None:
    broker = opened(server.url(**place, window=4))
    broker.send([to("dlq.q", body) for body in range(50)])
    for _ in range(3):
        with closing(broker.consumer("dlq.q")) as link:
            kept = [link.receive(SOON) for _ in range(50)]
            assert [one and one.message.body for one in kept] == list(range(50))
            assert link.receive(0) is None
    assert bodies(broker, "dlq.q") == list(range(50))


def test_what_is_in_hand_for_too_long_goes_back(
    url: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = opened(url)
    # What the second queue is called is known: nothing is waited for below.
    broker.send([to("r", "known"), *(to("q", body) for body in range(3))])
    with closing(broker.consumer("q")) as link:
        first, second = link.receive(SOON), link.receive(SOON)
        assert first is not None
        assert second is not None
        monkeypatch.setattr(consumer, "_LONGEST", 0.2)
        time.sleep(0.3)
        # What has just been handled is not handled once more.
        link.commit(first, [to("r", 0)])
        with pytest.raises(Unavailable, match="too long"):
            link.receive(1)
        with pytest.raises(Unavailable, match="no longer ours"):
            link.commit(second, [to("r", 1)])
        link.give_back(second)
        with closing(opened(url).consumer("q")) as other:
            assert take(other, 2) == [1, 2]
        assert bodies(broker, "r") == ["known", 0]


def test_idle_connections_stay(server: Any, place: dict[str, str], opened: Open) -> None:
    broker = opened(server.url(**place, heartbeat=0.4))
    with closing(broker.consumer("q")) as link:
        begin = time.monotonic()
        assert link.receive(0) is None
        session = link._session  # type: ignore[attr-defined]
        sending = broker._connected()  # type: ignore[attr-defined]
        while time.monotonic() - begin < 1.5:
            assert link.receive(0.1) is None
        broker.send([to("q", 1)])
        assert take(link, 1) == [1]
        assert link._session is session  # type: ignore[attr-defined]
        assert broker._connected() is sending  # type: ignore[attr-defined]


# --- it goes and comes back ----------------------------------------------------------


@contextmanager
def listening(broker: Broker, service: Echo) -> Iterator[threading.Thread]:
    """Run a stage in a thread, as ``--listen`` does."""
    stop = Stop()

    def work() -> None:
        with stop, closing(broker.consumer(service.queue, service.topics)) as link:
            driver.run(service, link, Way.LISTEN, stop)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        stop.request()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that tries again soon."""
    monkeypatch.setattr(driver, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(driver, "_LONGEST_WAIT", 0.3)


class Slow(Echo):
    """A stage that takes its time, and notes what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, str]] = []

    def handle(self, message: Message) -> Any:
        self.seen.append((message.body, message.identity))
        time.sleep(0.005)
        return super().handle(message)

    def observe(self, message: Message) -> None:
        self.seen.append((message.body, ""))


def test_a_broker_that_is_away_and_dies(
    server: Any, place: dict[str, str], opened: Open, impatient: None
) -> None:
    """Away at the start, then killed: each result is there, once or again."""
    service, number, door = Slow(), 150, Door(server.port)
    url = server.url(**place, timeout=3).replace(f":{server.port}", f":1,127.0.0.1:{door.port}")
    broker = opened(server.url(**place))
    with closing(door), listening(opened(url), service) as thread:
        broker.send([to("in", body, headers={"dlstbx-id": str(body)}) for body in range(number)])
        time.sleep(0.3)
        assert thread.is_alive()
        assert not service.seen
        door.open()
        until(lambda: len(service.seen) > 30)
        server.kill()
        server.start()
        until(lambda: {body for body, _ in service.seen} == {*range(number)})
        # Subscribed again, to topics as well.
        broker.send([Message(Topic("news"), "news"), to("in", "last")])
        until(lambda: [body for body, _ in service.seen[-2:]] == ["news", "last"])
    assert {identity for body, identity in service.seen if body == 7} == {"7"}
    results = {message.identity: message.body for message in broker.peek("out")}
    assert [body for body in results.values() if body == "last"] == ["last"]
    assert sorted(body for body in results.values() if body != "last") == list(range(number))
    assert bodies(broker, "in") == []


def test_a_broker_that_hangs_for_a_while_is_listened_to_again(
    server: Any, place: dict[str, str], opened: Open, impatient: None
) -> None:
    service = Slow()
    url = server.url(**place, timeout=1, heartbeat=0.4)
    broker = opened(url)
    with listening(opened(url), service):
        broker.send([to("in", 1)])
        until(lambda: service.seen)
        server.pause()
        time.sleep(2)
        server.resume()
        until(lambda: not _fails(broker, to("in", 2)))
        until(lambda: service.seen[-1][0] == 2)


def _fails(broker: Broker, message: Message) -> bool:
    try:
        broker.send([message])
    except Unavailable:
        return True
    return False


def test_sigterm_lets_the_message_in_hand_be_finished(url: str, broker: Broker) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.transport.stage", "listen", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        broker.send([to("in", LONG), *(to("in", body) for body in range(5))])
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "asleep\n"]
        os.kill(child.pid, signal.SIGTERM)
        begin = time.monotonic()
        assert child.wait(SOON) == 0
        assert time.monotonic() - begin < 5
        assert child.stderr is not None
        assert child.stderr.read() == ""
    assert bodies(broker, "out") == [LONG]
    assert bodies(broker, "in") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("answer", "last"), [(silent, "STOMP"), (deaf, "SUBSCRIBE")], ids=["silent", "deaf"]
)
def test_sigterm_is_obeyed_while_the_broker_hangs(
    answer: Any, last: str, home: Path, processes: list[Any]
) -> None:
    with Fake(answer) as fake:
        service = start("ispyb-create-job", "--listen", "--broker", fake.url)
        processes.append(service)
        until(lambda: last in fake.commands)
        begin = time.monotonic()
        service.send_signal(signal.SIGTERM)
        assert service.wait(SOON) == 0
        # 5 s are promised; the rest is for a busy machine.
        assert time.monotonic() - begin < 6
