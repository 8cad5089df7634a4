"""The envelope, line by line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.transport.envelope import MAX_DEPTH, parse, render, salvage


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"queue": "q", "message": null}', Message(Queue("q"), None)),
        (b'{"topic": "t", "message": {"a": 1}}\n', Message(Topic("t"), {"a": 1})),
        (b' {"message": [], "queue": "a b.c"} \r\n', Message(Queue("a b.c"), [])),
        (
            b'{"queue": "q", "message": 1, "headers": {"a": "x", "b": true, "c": 1, "d": null}}',
            Message(Queue("q"), 1, {"a": "x", "b": "True", "c": "1"}),
        ),
        (b'{"queue": "q", "message": 1, "delay": 2}', Message(Queue("q"), 1, delay=2.0)),
        (
            b'{"queue": "q", "message": 1, "rule": "r", "x": [1]}',
            Message(Queue("q"), 1, notes={"rule": "r", "x": [1]}),
        ),
        (rb'{"queue": "q", "message": "\ud800\u0000"}', Message(Queue("q"), "\ud800\0")),
        ('{"queue": "é", "message": "😀"}'.encode(), Message(Queue("é"), "😀")),
    ],
)
def test_parse(line, message):
    assert parse(line) == message
    assert parse(render(message)) == message


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON: Expecting value at character 1"),
        (b'{"queue": "q", "message": NaN}', "not JSON: NaN is not a number"),
        (b'{"queue": "q", "message": -Infinity}', "not JSON: -Infinity"),
        (b'{"queue": "q", "message": 1e999}', "not JSON: a number is too large"),
        (b'{"queue": "q", "message": ' + b"1" * 5000 + b"}", "not JSON: Exceeds the limit"),
        (b'{"queue": "q", "message": "\0"}', "not JSON: Invalid control character"),
        (b'\xff{"queue": "q", "message": 1}', "not UTF-8 at byte 1"),
        ('{"queue": "q", "message": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"queue": "q", "message": 1}'.encode("utf-16-le"), "not JSON"),
        (nested(100_000).encode(), "nested too deeply"),
        (f'{{"queue": "q", "message": {nested(MAX_DEPTH)}}}'.encode(), "nested too deeply"),
        (b"[]", "a line must be a JSON object"),
        (b"null", "a line must be a JSON object"),
        (b'"queue"', "a line must be a JSON object"),
        (b"{}", "neither queue nor topic"),
        (b'{"message": 1}', "neither queue nor topic"),
        (b'{"queue": "q", "topic": "t", "message": 1}', "both queue and topic"),
        (b'{"queue": "q", "topic": null, "message": 1}', "both queue and topic"),
        (b'{"queue": "", "message": 1}', "the queue must be a name, not ''"),
        (b'{"topic": ["t"], "message": 1}', "the topic must be a name"),
        (b'{"queue": null, "message": 1}', "the queue must be a name, not None"),
        (rb'{"queue": "a\nb", "message": 1}', "the queue must be a printable name"),
        (rb'{"queue": "\ud800", "message": 1}', "the queue must be a printable name"),
        (b'{"queue": "q"}', "the key 'message' is missing"),
        (b'{"queue": "q", "message": 1, "headers": []}', "the headers must be an object"),
        (b'{"queue": "q", "message": 1, "headers": null}', "the headers must be an object"),
        (b'{"queue": "q", "message": 1, "headers": {"a": {}}}', "the header 'a' must be a text"),
        (b'{"queue": "q", "message": 1, "headers": {"": "x"}}', "the header '' must be a text"),
        (b'{"queue": "q", "message": 1, "delay": "1"}', "the delay must be seconds"),
        (b'{"queue": "q", "message": 1, "delay": true}', "the delay must be seconds"),
        (b'{"queue": "q", "message": 1, "delay": -1}', "the delay must be seconds"),
        (b'{"queue": "q", "message": 1, "delay": 1' + b"0" * 400 + b"}", "the delay must be"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_rejected(line, reason):
    with pytest.raises(Rejected) as caught:
        parse(line)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    saved = salvage(line, "mimas")
    assert saved.destination == Queue("mimas")
    assert parse(render(saved)) == saved


@pytest.mark.parametrize(
    ("line", "body", "header"),
    [
        (b"oops\xff\n", "oops\\xff", None),
        (b'{"queue": 1, "message": {"a": 1}, "headers": {"h": 1, "i": []}}\n', {"a": 1}, "1"),
        (b'{"queue": 1, "message": null, "headers": 5}', None, None),
        (b'{"queue": 1}\r\n', '{"queue": 1}', None),
        (nested(300).encode(), nested(300), None),
    ],
)
def test_what_is_saved_of_an_unparsable_line(line, body, header):
    saved = salvage(line, "q")
    assert saved.body == body
    assert saved.headers.get("h") == header


def test_the_order_of_keys():
    message = Message(Topic("t"), 1, {"h": "x"}, 2.5, {"rule": "r", "queue": "no", "delay": 3})
    assert render(message) == (
        b'{"topic": "t", "message": 1, "headers": {"h": "x"}, "delay": 2.5, "rule": "r"}\n'
    )
    assert render(Message(Queue("q"), 1)) == b'{"queue": "q", "message": 1}\n'


@pytest.mark.parametrize("depth", [1, MAX_DEPTH - 1])
def test_nesting_below_the_bound(depth):
    line = f'{{"queue": "q", "message": {nested(depth)}}}'.encode()
    assert render(parse(line)).rstrip() == line


def test_many_brackets_are_not_deep():
    body = [[]] * 10_000
    assert parse(render(Message(Queue("q"), body))).body == body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)  # fmt: skip
KEYS = st.sampled_from(["queue", "topic", "message", "headers", "delay", "rule"])


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(KEYS, JSON).map(lambda value: json.dumps(value).encode())
)
def test_any_line_is_a_message_or_rejected(line):
    try:
        message = parse(line)
    except Rejected:
        message = salvage(line, "q")
    rendered = render(message)
    assert rendered.isascii()
    assert rendered.count(b"\n") == 1
    assert parse(rendered) == message
