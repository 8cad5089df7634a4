"""Messages of other programs: of Zocalo's services, of Java, of people with a script."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from dlstbx_cli.services.message import Message, Queue, dead_letter
from dlstbx_cli.transport.link import Broker, Delivery
from dlstbx_cli.transport.stomp.session import Session, open_session
from dlstbx_cli.transport.stomp.settings import settings
from tests.transport.broker_contract import take, to
from tests.transport.stomp.test_frames import RESERVED

Open = Callable[..., Broker]
SOON = 20.0


@pytest.fixture
def peer(url: str) -> Iterator[Session]:
    """A connection that sends and receives frames as they are."""
    with closing(open_session(settings(url))) as session:
        yield session


def destination(url: str, queue: str) -> str:
    return f"/queue/{settings(url).named(queue)}"


@pytest.fixture
def sends(peer: Session, url: str) -> Callable[..., None]:
    def send(body: Any, **headers: str) -> None:
        named = {name.replace("__", "-"): value for name, value in headers.items()}
        peer.confirm("SEND", {"destination": destination(url, "q"), **named}, body)

    return send


def received(broker: Broker, queue: str = "q") -> Delivery:
    """Take one message as a service would, and acknowledge it."""
    with closing(broker.consumer(queue)) as link:
        delivery = link.receive(SOON)
        assert delivery is not None
        link.commit(delivery, [])
        assert link.receive(0) is None
    return delivery


@pytest.mark.parametrize(
    ("body", "shown", "fault"),
    [
        ("hello", "hello", "not JSON"),
        ("", "", "not JSON"),
        (b"\x80\x02}q\x00.\x00", "\\x80\x02}q\0.\0", "not UTF-8 at byte 1"),
        ("[" * 300 + "]" * 300, "[" * 300 + "]" * 300, "nested too deeply"),
        ("é" * 100_000, "é" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_json_is_a_fault_and_can_be_a_dead_letter(
    broker: Broker, sends: Callable[..., None], body: Any, shown: str, fault: str
) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    sends(body, content__length=str(len(raw)), content__type="x/y")
    with closing(broker.consumer("q")) as link:
        delivery = link.receive(SOON)
        assert delivery is not None
        assert fault in str(delivery.fault)
        assert delivery.message.body == shown
        link.commit(delivery, [dead_letter(delivery.message, "q", str(delivery.fault), "me", 0)])
        assert link.receive(0) is None
    (letter,) = broker.peek("dlq.q")
    assert letter.body == shown
    assert set(letter.headers) <= {
        *("dlstbx-id", "dlstbx-error", "dlstbx-rejected-by", "dlstbx-rejected-at")
    }


@pytest.mark.parametrize("length", [True, False])
def test_a_length_makes_it_bytes_for_activemq(
    broker: Broker, sends: Callable[..., None], length: bool
) -> None:
    """Of a peer that says it, as stomp.py does by itself; and of Java, which does not."""
    body = json.dumps({"a": "é"}, ensure_ascii=False)
    more = {"content__length": str(len(body.encode()))} if length else {}
    sends(body, **more, workflows__recipe="True", Mixed__Case="x", é="y")
    delivery = received(broker)
    assert delivery.fault is None
    assert delivery.message == Message(
        Queue("q"), {"a": "é"}, {"workflows-recipe": "True", "Mixed-Case": "x", "é": "y"}
    )


def test_our_messages_are_text_for_java(broker: Broker, peer: Session, url: str) -> None:
    """A length would make them bytes for ActiveMQ's other clients."""
    broker.send([to("q", {"a": "é\n"}, headers={"dlstbx-id": "i", "zocalo.go.user": "me"})])
    early = peer.confirm(
        "SUBSCRIBE", {"id": "1", "ack": "client-individual", "destination": destination(url, "q")}
    )
    frame = early[0] if early else peer.next(SOON)
    assert frame.body == b'{"a": "\\u00e9\\n"}'
    assert frame.headers["dlstbx-id"] == "i"
    assert frame.headers["zocalo.go.user"] == "me"
    if peer.dialect.browses:  # ActiveMQ
        assert "content-length" not in frame.headers
        assert frame.headers["persistent"] == "true"


def test_a_delayed_message_of_zocalo(activemq_server: Any, opened: Open) -> None:
    """Its delay is over when it comes, and its results are not delayed again."""
    url = activemq_server.url(**activemq_server.place(), idle=0.2)
    broker, begin = opened(url), time.monotonic()
    with closing(open_session(settings(url))) as peer:
        headers = {"destination": destination(url, "q"), "AMQ_SCHEDULED_DELAY": "1000"}
        peer.confirm("SEND", {**headers, "persistent": "true"}, "{}")
    with closing(broker.consumer("q")) as link:
        assert link.receive(0) is None
        delivery = link.receive(SOON)
        assert 0.9 < time.monotonic() - begin < 5
        assert delivery is not None
        assert dict(delivery.message.headers) == {}
        link.commit(delivery, [Message(Queue("r"), 1, delivery.message.headers)])
    assert [message.body for message in broker.peek("r")] == [1]


def test_what_expires_is_not_handed_on_as_such(
    server: Any, broker: Broker, sends: Callable[..., None]
) -> None:
    """A dead letter, or a result, stays; what has expired before it was taken is gone."""
    soon = {"expires": str(int(1000 * (time.time() + 1))), "expiration": "1000"}
    sends('"expires"', **soon)
    sends('"stays"')
    with closing(broker.consumer("q")) as link:
        delivery = link.receive(SOON)
        assert delivery is not None
        assert (delivery.message.body, dict(delivery.message.headers)) == ("expires", {})
        link.commit(delivery, [Message(Queue("r"), "result", delivery.message.headers)])
    sends('"expires"', **soon)
    time.sleep(1.2)
    assert [message.body for message in broker.peek("r")] == ["result"]
    with closing(broker.consumer("q")) as link:
        assert take(link, 1) == ["stays"]
        assert link.receive(0) is None


@pytest.mark.parametrize(
    "headers",
    [
        dict.fromkeys(RESERVED, "1") | {"durable": "false", "destination": "/queue/x"},
        {"exclusive": "true", "auto-delete": "true", "durable": "false"},
        {"long": "x" * 30_000, "signs": ":\\\n" * 4000, "wide": "é😀" * 4000},
        {f"h{number}": "x" for number in range(1500)}
        | {"\ud800": "\ud800", "a:b": "\0\r\n ", " ": " ", "n" * 9000: "n"},
    ],
    ids=lambda headers: "+".join(headers)[:30].encode("ascii", "replace").decode(),
)
def test_no_header_of_a_message_acts_on_the_broker(
    broker: Broker, url: str, opened: Open, headers: dict[str, str]
) -> None:
    """It is there, and the same, for the next service as for one who looks."""
    messages = [to("q", body, headers=headers) for body in range(2)]
    broker.send(messages)
    broker.send([to("q", 2)])
    broker.close()
    assert broker.peek("q") == [*messages, to("q", 2)]
    with closing(broker.consumer("q")) as link:
        for body in range(2):
            delivery = link.receive(SOON)
            assert delivery is not None
            assert delivery.message == messages[body]
            link.commit(delivery, [Message(Queue("r"), body, headers)])
        assert take(link, 1) == [2]
        assert link.receive(0) is None
    assert broker.peek("r") == [to("r", body, headers=headers) for body in range(2)]


NAMES = ["é", "a:b", "{}", "()[]<!=&+~$#@;|", "x" * 200, "é" * 100, "mimas.held"]


def test_whatever_may_be_a_name_is_one(broker: Broker) -> None:
    broker.send([to(name, name) for name in NAMES])
    for name in NAMES:
        with closing(broker.consumer(name)) as link:
            assert take(link, 1) == [name]


def test_a_look_sees_all(broker: Broker) -> None:
    """ActiveMQ would show the first 500."""
    broker.send([to("q", body) for body in range(1100)])
    assert [message.body for message in broker.peek("q")] == list(range(1100))
    assert [message.body for message in broker.peek("q", 3)] == [0, 1, 2]


def test_looking_is_quick(activemq_server: Any, opened: Open) -> None:
    """ActiveMQ waits for the kernel's acknowledgement between two small frames: 40 ms each."""
    broker = opened(activemq_server.url(**activemq_server.place()))
    broker.send([to("q", 1)])
    times = []
    for _ in range(10):
        begin = time.monotonic()
        assert [message.body for message in broker.peek("q")] == [1]
        times.append(time.monotonic() - begin)
    assert min(times) < 0.04
