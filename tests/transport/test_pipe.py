"""The pipe: in-process by tables, and as real processes at real pipes."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.transport.driver import Tally, Way, run
from dlstbx_cli.transport.envelope import parse, render
from dlstbx_cli.transport.pipe import EVERYTHING, Pipe
from dlstbx_cli.transport.sqlite import SqliteBroker
from dlstbx_cli.transport.stop import Stop
from tests.transport.stage import Echo

OURS = b'{"queue": "in", "message": 1}\n'
THEIRS = b'  {"rule":"r", "message" : 1.0,\t"queue":"\\u0065lse" }\r\n'
NEWS = b'{"topic": "news", "message": {"PENDING": 1}}\n'


def through(lines, queue="in", adopt=None):
    out = []
    pipe = Pipe(
        queue,
        ("news",),
        lines,
        emit=lambda results: out.extend(map(render, results)),
        pass_on=out.append,
        adopt=adopt,
    )
    with closing(pipe):
        tally = run(Echo(), pipe, Way.FILTER, Stop())
    return tally, out


def addresses(lines):
    return [(m.destination.name, m.body) for m in map(parse, lines)]


def test_results_stand_in_the_place_of_their_line_and_others_pass_untouched():
    tally, out = through([THEIRS, OURS, NEWS, b"oops\n", b'{"topic": "x", "message": 1}'])
    assert tally == Tally(handled=1, rejected=1)
    assert [out[0], out[2], out[4]] == [THEIRS, NEWS, b'{"topic": "x", "message": 1}']
    assert addresses([out[1], out[3]]) == [("out", 1), ("dlq.in", "oops")]
    assert parse(out[3]).headers["dlstbx-error"].startswith("not JSON")


@pytest.mark.parametrize("lines", [[], [b""], [b"\n", b" \r\n", b"\t"], io.BytesIO(b"")])
def test_nothing_in_nothing_out(lines):
    assert through([line for line in lines if line]) == (Tally(), [])


def test_a_stream_without_descriptor_and_a_last_line_without_newline():
    tally, out = through(io.BytesIO(OURS + b"\n" + THEIRS + OURS.rstrip()))
    assert tally == Tally(handled=2)
    assert out[1] == THEIRS
    assert addresses(out) == [("out", 1), ("else", 1.0), ("out", 1)]


def test_arguments_as_messages():
    other = Message(Queue("else"), 2, notes={"rule": "r"})
    _, out = through([Message(Queue("in"), 1), other, Message(Topic("news"), 3)])
    assert addresses(out) == [("out", 1), ("else", 2), ("news", 3)]
    assert parse(out[1]) == other


def test_bare_objects_are_adopted():
    def adopt(record):
        if "odd" in record:
            raise Rejected("odd one")
        return Message(Queue("in"), record) if "DCID" in record else None

    lines = [b'{"DCID": 1}\n', b'{"odd": 1}\n', b'{"x": 1}\n', b"[]\n", OURS]
    tally, out = through(lines, adopt=adopt)
    assert tally == Tally(handled=2, rejected=3)
    assert addresses(out)[0] == ("out", {"DCID": 1})
    reasons = [parse(line).headers["dlstbx-error"] for line in out[1:4]]
    assert reasons == ["odd one", "neither queue nor topic", "a line must be a JSON object"]


def test_everything_is_for_a_command_that_takes_all():
    tally, out = through([THEIRS, OURS, NEWS], queue=EVERYTHING)
    assert tally == Tally(handled=3)
    assert [name for name, _ in addresses(out)] == ["out"] * 3


def test_lines_are_counted_as_an_editor_counts_them():
    pipe = Pipe("in", (), [b"\n", OURS, THEIRS, b"oops"], pass_on=lambda _: None)
    deliveries = [pipe.receive(0) for _ in range(4)]
    assert [d and d.place for d in deliveries] == [None, "line 2", None, "line 4"]


def test_results_may_go_to_a_broker(tmp_path):
    passed = []
    with closing(SqliteBroker(tmp_path / "queue.sqlite3", timeout=0.1)) as broker:
        lines = [OURS, THEIRS, b"oops\n"]
        pipe = Pipe("in", (), lines, emit=broker.send, pass_on=passed.append)
        assert run(Echo(), pipe, Way.FILTER, Stop()) == Tally(handled=1, rejected=1)
        assert [(s.name, s.ready) for s in broker.states()] == [("dlq.in", 1), ("out", 1)]
        assert passed == [THEIRS]
        with closing(sqlite3.connect(tmp_path / "queue.sqlite3")) as other:
            other.execute("BEGIN IMMEDIATE")
            pipe = Pipe("in", (), lines, emit=broker.send, pass_on=passed.append)
            assert "locked" in run(Echo(), pipe, Way.FILTER, Stop()).unavailable
    assert passed == [THEIRS, *lines]


LINES = st.lists(
    st.binary(max_size=60).map(lambda line: line.replace(b"\n", b""))
    | st.sampled_from([OURS.strip(), THEIRS.strip(), NEWS.strip()])
    | st.dictionaries(
        st.sampled_from(["queue", "topic", "message", "headers", "delay", "x"]),
        st.sampled_from(["in", "out", "news", "", 1, None, {}, [], -1, "\ud800", {"a": 1}]),
    ).map(lambda record: json.dumps(record).encode()),
    max_size=20,
)


@given(LINES)
def test_every_line_is_accounted_for(lines):
    tally, out = through([line + b"\n" for line in lines])
    kept = [line for line in lines if line and not line.isspace()]
    assert len(out) == len(kept)
    dead = 0
    for line, result in zip(kept, out, strict=True):
        message = parse(result)
        dead += message.destination == Queue("dlq.in") and result != line + b"\n"
        assert result == line + b"\n" or message.destination in (Queue("out"), Queue("dlq.in"))
    assert tally.rejected == dead


# As real processes.


def stage(**more):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.transport.stage", "filter"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )


def wait_readable(stream, seconds=10):
    return bool(select.select([stream], [], [], seconds)[0])


def test_output_appears_line_by_line():
    with stage(bufsize=0) as process:
        for line in (OURS, THEIRS, NEWS, b"oops\n"):
            process.stdin.write(line)
            assert wait_readable(process.stdout)
            assert process.stdout.readline()
        # Half a line is no line yet.
        process.stdin.write(OURS[:10])
        assert not wait_readable(process.stdout, 0.2)
        process.stdin.write(OURS[10:])
        assert wait_readable(process.stdout)
        process.stdin.close()
        assert process.wait(10) == 1


def test_a_very_long_line():
    line = json.dumps({"queue": "in", "message": "x" * 10_000_000}).encode()
    bad = b"y" * 10_000_000
    began = time.monotonic()
    with stage() as process:
        out, err = process.communicate(line + b"\n" + bad + b"\n" + OURS)
    assert time.monotonic() - began < 10
    assert [len(str(body)) for _, body in addresses(out.splitlines())] == [10**7, 10**7, 1]
    assert len(err) < 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_filter_at_once(number):
    with stage(bufsize=0) as process:
        process.stdin.write(OURS)
        process.stdout.readline()
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 2
        assert process.stderr.read() == b""


def test_a_signal_lets_the_line_in_hand_finish_and_swallows_nothing():
    busy = b'{"queue": "in", "message": {"sleep": 0.5}}\n'
    with stage(bufsize=0) as process:
        process.stdin.write(OURS + busy + OURS + THEIRS + b"half a li")
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out = process.stdout.read()
        assert process.wait(10) == 0
    first, rest = out.split(b"\n", 1)
    assert addresses([first]) == [("out", {"sleep": 0.5})]
    assert rest == OURS + THEIRS + b"half a li"


def test_a_closed_pipe_ends_the_filter_quietly():
    with stage() as process:
        process.stdout.close()
        try:
            process.stdin.write(OURS * 10_000)
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def test_a_full_disk_is_not_available():
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "tests.transport.stage", "filter"],
            input=OURS * 3,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert process.returncode == 75
    assert b"Traceback" not in process.stderr
    assert b"Exception ignored" not in process.stderr


def test_a_standard_input_that_cannot_be_read_is_not_available():
    with Path(os.devnull).open("wb") as unreadable:
        process = subprocess.run(
            [sys.executable, "-m", "tests.transport.stage", "filter"],
            stdin=unreadable,
            capture_output=True,
            check=False,
        )
    assert (process.returncode, process.stdout) == (75, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_listener(tmp_path, number):
    url = f"sqlite:///{tmp_path}/queue.sqlite3"
    program = [sys.executable, "-m", "tests.transport.stage", "listen", url]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 2
