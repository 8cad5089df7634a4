"""A connection, with brokers that misbehave: it ends in time, and says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.link import Broker
from dlstbx_cli.transport.stomp.session import Session, open_session
from dlstbx_cli.transport.stomp.settings import settings
from tests.transport.stomp.fake import CONNECTED, Fake, deaf, polite, silent

Open = Callable[..., Broker]
ONE = Message(Queue("q"), 1)


def opened_session(fake: Fake, query: str = "") -> Session:
    return open_session(settings(f"{fake.url}?{query}"))


def took(begin: float) -> float:
    return time.monotonic() - begin


def test_a_port_that_nobody_serves(opened: Open) -> None:
    with pytest.raises(Unavailable, match=r"^broker stomp://127\.0\.0\.1:1: Connection refused$"):
        opened("stomp://127.0.0.1:1/").check()


def test_a_name_that_nobody_has(opened: Open) -> None:
    with pytest.raises(Unavailable, match=r"^broker stomp://no\.such\.invalid:61613: \w"):
        opened("stomp://no.such.invalid/").check()


def test_one_that_takes_the_connection_and_is_silent(opened: Open) -> None:
    begin = time.monotonic()
    with Fake(silent) as fake, pytest.raises(Unavailable, match="does not answer") as caught:
        opened(fake.url + "?timeout=0.3").send([ONE])
    assert took(begin) < 0.6
    assert str(fake.port) in str(caught.value)


def test_one_that_does_not_confirm(opened: Open) -> None:
    begin = time.monotonic()
    with Fake(deaf) as fake, pytest.raises(Unavailable, match="does not confirm"):
        opened(fake.url + "?timeout=0.3").send([ONE])
    assert took(begin) < 1
    assert fake.commands == ["STOMP", "SEND"]


def test_one_that_no_longer_reads(opened: Open) -> None:
    """The buffers on the way are full then: not even the writing ends."""

    class NoLonger(Fake):
        def _serve(self, connection: Any) -> None:
            connection.recv(1000)
            connection.sendall(CONNECTED)

    begin = time.monotonic()
    with NoLonger(silent) as fake, pytest.raises(Unavailable, match="takes nothing more"):
        opened(fake.url + "?timeout=0.3&heartbeat=0").send([Message(Queue("q"), "x" * 20_000_000)])
    assert took(begin) < 3


def test_closing_is_quick_whatever_the_broker_does() -> None:
    with Fake(deaf) as fake:
        broker = connect(fake.url)
        broker.check()
        link = broker.consumer("q")
        begin = time.monotonic()
        link.close()
        broker.close()
        assert took(begin) < 2


def test_a_frame_after_several_heart_beats_is_not_lost() -> None:
    """A process that was stopped for a while finds several of them before it."""
    frame = b"MESSAGE\nsubscription:a\nack:1\ncontent-length:3\n\nx\0y\0\n"
    with Fake(polite) as fake, closing(opened_session(fake)) as session:
        for before in (b"", b"\n", b"\n\n", b"\n\n\n\n", b"\r\n\r\n", b"\n\n" + frame + b"\n\n"):
            fake.push(before + frame)
            for _ in range(1 + before.count(b"MESSAGE")):
                got = session.next(2)
                assert got is not None, before
                assert (got.cmd, got.headers["ack"], got.body) == ("MESSAGE", "1", b"x\0y")
        # In pieces, cut at every place: what looks like heart-beats in a body is none.
        frame = b"MESSAGE\na:1\ncontent-length:7\n\n\n\n\0\n\n\n\n\0"
        for cut in range(1, len(frame)):
            fake.push(b"\n\n" + frame[:cut])
            assert session.next(0.003) is None
            fake.push(frame[cut:])
            got = session.next(2)
            assert got is not None, cut
            assert got.body == b"\n\n\0\n\n\n\n"


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (b"ERROR\nmessage:no\n\n\0", "no"),
        (b"ERROR\nmessage:no\n\nno\n\0", "no"),
        (b"ERROR\nmessage:short\n\n\n  long\n\tat java\n\0", "short: long"),
        (b"ERROR\n\n\0", "ERROR"),
        (b"ERROR\nmessage:x\n\n" + b"y" * 9000 + b"\0", f"x: {'y' * 497}"),
        (b"ERROR\nmessage:x\ncontent-length:4\n\n\xff\0z\n\0", "x: \ufffdz"),
    ],
)
def test_what_a_broker_says_is_told_in_one_line(frame: bytes, told: str) -> None:
    with Fake(lambda command, _: CONNECTED if command == "STOMP" else frame) as fake:
        session = opened_session(fake)
        with pytest.raises(Unavailable) as caught:
            session.confirm("SEND", {"destination": "/queue/q"})
        assert str(caught.value) == f"broker stomp://127.0.0.1:{fake.port}: {told}"
        with pytest.raises(Unavailable, match=r"^broker"):
            session.send("SEND", {})


def test_an_end_without_a_word() -> None:
    with Fake(polite) as fake, closing(opened_session(fake)) as session:
        fake.hang_up()
        with pytest.raises(Unavailable, match="the connection is lost"):
            session.next(2)


def test_the_next_host_gets_its_time(opened: Open) -> None:
    """Of a host without power, or one that hangs, nothing comes back at all."""
    begin = time.monotonic()
    with Fake(silent) as hangs, Fake(polite) as serves:
        hosts = f"127.0.0.1:1,127.0.0.1:{hangs.port},127.0.0.1:{serves.port}"
        opened(f"stomp://{hosts}/?timeout=1").send([ONE])
        assert 0.4 < took(begin) < 0.9
        assert serves.commands[-1] == "SEND"
        with pytest.raises(Unavailable, match=f":{hangs.port}: it takes the connection"):
            opened(f"stomp://127.0.0.1:1,127.0.0.1:{hangs.port}/?timeout=0.2").check()


def test_first_messages_go_to_the_host_that_answered(opened: Open) -> None:
    """On the connection that there is: a second one is for refusals alone."""
    begin = time.monotonic()
    with Fake(silent) as hangs, Fake(polite) as serves:
        hosts = f"127.0.0.1:{hangs.port},127.0.0.1:{serves.port}"
        opened(f"stomp://{hosts}/?timeout=1&broker=rabbitmq").send([ONE])
        assert took(begin) < 0.9
        assert serves.commands.count("STOMP") == 1


@pytest.mark.parametrize("login", ["me:a%0Apersistent:x", "me%0D:x", "me:%00"])
def test_a_line_break_in_the_login_is_refused(opened: Open, login: str) -> None:
    with Fake(polite) as fake:
        with pytest.raises(Misconfigured, match="line break"):
            opened(fake.url.replace("//", f"//{login}@")).check()
        assert fake.commands == []


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with Fake(polite) as fake:
        for _ in range(5):
            with closing(opened_session(fake, "heartbeat=1")) as session:
                session.confirm("SEND", {"destination": "/queue/q"})
    end = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_silence_is_noticed_by_the_heart_beats() -> None:
    connected = CONNECTED.replace(b"server", b"heart-beat:100,100\nserver")
    with (
        Fake(lambda command, _: connected if command == "STOMP" else None) as fake,
        closing(opened_session(fake, "heartbeat=0.1")) as session,
    ):
        begin = time.monotonic()
        while took(begin) < 0.5:
            fake.push(b"\n")
            assert session.next(0.05) is None
        begin = time.monotonic()
        with pytest.raises(Unavailable, match="the connection is lost"):
            session.next(5)
        assert took(begin) < 1
