"""Messages as frames and back, by stomp.py's own writing and reading of frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.transport.envelope import dumps
from dlstbx_cli.transport.stomp import frames
from dlstbx_cli.transport.stomp.socket import Protocol12

from stomp.utils import Frame, convert_frame, parse_frame  # isort: skip

Q = Queue("q")
#: What would act if it came from a message.
RESERVED = (
    *("ack", "app-id", "auto-delete", "browser", "content-encoding", "content-length"),
    *("content-type", "correlation-id", "destination", "durable", "exclusive", "expiration"),
    *("expires", "id", "message-id", "persistent", "priority", "receipt", "redelivered"),
    *("reply-to", "selector", "subscription", "timestamp", "transaction", "transformation"),
    *("type", "user-id", "x-message-ttl", "AMQ_SCHEDULED_DELAY", "AMQ_SCHEDULED_CRON"),
    *("amqp-message-id", "activemq.prefetchSize", "JMSXGroupID", "Content-Length", "RECEIPT"),
)
#: The longest line that ActiveMQ takes, and how many.
LINE, LINES = 10 * 1024, 1000


def wire(headers: dict[str, str], body: str) -> bytes:
    """Return a frame as stomp.py writes it, without the NUL at its end."""
    escaped = dict(headers)
    Protocol12._escape_headers(None, escaped)
    return b"".join(convert_frame(Frame("MESSAGE", escaped, body))).removesuffix(b"\0")


def there_and_back(message: Message) -> Message:
    written = wire(frames.headers_of(message), frames.body_of(message))
    head, _, body = written.partition(b"\n\n")
    lines = head.split(b"\n")
    assert len(lines) < LINES
    assert max(map(len, lines)) < LINE
    assert all(line == line.strip() for line in lines)
    assert all(line.partition(b":")[2].strip() == line.partition(b":")[2] for line in lines)
    assert b"\0" not in written
    assert body.isascii()
    read, fault = frames.message_of(parse_frame(written), message.destination)
    assert fault is None
    return read


TEXT = st.text(max_size=30)
NAME = st.one_of(
    st.text(min_size=1, max_size=30),
    st.sampled_from([*RESERVED, "dlstbx-id", "dlstbx-headers", "dlstbx-headers-1", "a:b", "\\c"]),
)
VALUE = st.one_of(
    TEXT,
    st.sampled_from(["", " ", " x", "x\n", "\\n", "a:b", "\0", "\ud800", "é", "x" * 20_000]),
    st.sampled_from([":" * 8000, "é😀" * 4000, "\\ \n" * 3000, " " * 9000, "x" * 8000]),
)
BODY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(NAME, VALUE, max_size=8), BODY)
@example({"dlstbx-headers": '{"a": "b"}', "dlstbx-headers-1": "x", "dlstbx-headers-x": "y"}, 1)
@example({f"h{number}": str(number) for number in range(2000)}, None)
@example({"x" * 20_000: "1", " ": "2", "a\nb": "3", "": "4"}, "")
def test_headers_and_bodies_survive(headers: dict[str, str], body: Any) -> None:
    message = Message(Q, body, headers)
    read = there_and_back(message)
    assert read == message
    assert dumps(read.body) == dumps(body)  # 1 is not True, 1.0 is not 1


@given(st.sampled_from(RESERVED), st.text(min_size=1, max_size=20))
def test_a_reserved_header_never_acts(name: str, value: str) -> None:
    sent = frames.headers_of(Message(Q, 1, {name: value, "dlstbx-id": "i"}))
    assert set(sent) == {"persistent", "dlstbx-id", "dlstbx-headers"}
    assert sent["persistent"] == "true"
    assert json.loads(sent["dlstbx-headers"]) == {name: value}


@pytest.mark.parametrize("name", RESERVED)
def test_a_reserved_header_of_a_frame_is_not_the_messages(name: str) -> None:
    read, _ = frames.message_of(Frame("MESSAGE", {name: "x", "h": "1"}, b"{}"), Q)
    assert read.headers == {"h": "1"}


def test_usual_headers_travel_as_they_are() -> None:
    """Zocalo's own services are to see them."""
    headers = {"workflows-recipe": "True", "dlstbx-id": "i", "zocalo.go.user": "me", "é": "x"}
    sent = frames.headers_of(Message(Q, 1, headers))
    assert {**headers, "persistent": "true"}.items() - sent.items() == {("é", "x")}
    assert frames.headers_of(Message(Q, 1, {"h": "x: \\ é\ny"}))["h"] == "x: \\ é\ny"


@pytest.mark.parametrize(
    "value",
    ["nonsense", "[]", "1", '"x"', "{", '{"a": 1}', "[" * 100_000, ""],
)
def test_a_header_of_our_name_that_others_wrote_is_nothing(value: str) -> None:
    frame = Frame("MESSAGE", {"dlstbx-headers": value, "h": "1"}, b"{}")
    read, fault = frames.message_of(frame, Q)
    assert (read.headers, fault) == ({"h": "1"}, None)


@pytest.mark.parametrize(
    ("body", "shown", "fault"),
    [
        (b"", "", "not JSON: Expecting value at character 1"),
        (None, "", "not JSON"),
        (b"hello", "hello", "not JSON"),
        (b"{'a': 1}", "{'a': 1}", "not JSON"),
        (b"\xff\x00{", "\\xff\0{", "not JSON: not UTF-8 at byte 1"),
        (b'{"a": NaN}', '{"a": NaN}', "not JSON: NaN is not a number"),
        (b"[" * 300 + b"]" * 300, "[" * 300 + "]" * 300, "nested too deeply"),
        ("\ufeff{}".encode(), "\ufeff{}", "not JSON"),
        ("{}".encode("utf-16-le"), "{\0}\0", "not JSON"),
    ],
)
def test_what_is_no_json_is_kept_for_the_dead_letter(body: Any, shown: str, fault: str) -> None:
    read, told = frames.message_of(Frame("MESSAGE", {"h": "1"}, body), Q)
    assert read == Message(Q, shown, {"h": "1"})
    assert told is not None
    assert told.startswith(fault)


@given(st.binary(max_size=60))
def test_any_body_is_read_or_a_fault(body: bytes) -> None:
    read, fault = frames.message_of(Frame("MESSAGE", {}, body), Q)
    # Either way it can be written again.
    assert there_and_back(read) == read
    assert fault is None or isinstance(read.body, str)


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_came_back(text: str) -> None:
    assert frames.is_redelivered({"redelivered": text})
    assert not frames.is_redelivered({"redelivered": "false"})
    assert not frames.is_redelivered({})


@pytest.mark.parametrize("kind", [Queue, Topic])
@pytest.mark.parametrize("name", ["q", "mimas.held", "dlq.a-b_c", "é", "x" * 200, "a:b{}()@#;|"])
def test_names(kind: Any, name: str) -> None:
    assert frames.check(kind(name)) == name


@pytest.mark.parametrize("kind", [Queue, Topic])
@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a b", "a/b", "a,b", "*", "a.>", "a?b", "a%2Fb", 'a"b', "a'b", "a\\b", "a\nb"),
        *("x" * 201, "é" * 101, "\ud800", "a\0", "\u200b", None, 5),
    ],
)
def test_names_refused(kind: Any, name: Any) -> None:
    with pytest.raises(Rejected) as caught:
        frames.check(kind(name))
    assert str(caught.value).startswith(f"the {kind.__name__.lower()}")
    assert len(str(caught.value)) < 150
    assert str(caught.value).isprintable()
