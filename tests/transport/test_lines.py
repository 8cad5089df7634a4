"""Lines as they come: what ends them, and what a wait for one does not delay."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator

import pytest

from dlstbx_cli.transport.lines import raw_lines


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, int]]:
    reader, writer = os.pipe()
    with io.FileIO(reader) as stream:
        yield stream, writer


def never() -> bool:
    return False


def test_every_line_and_what_is_left_without_an_end(pipe: tuple[io.FileIO, int]) -> None:
    stream, writer = pipe
    os.write(writer, b"one\n\ntw")
    found = raw_lines(stream, never)
    assert [next(found), next(found)] == [b"one\n", b"\n"]
    os.write(writer, b"o\nthree")
    os.close(writer)
    assert list(found) == [b"two\n", b"three"]


def test_a_stop_is_obeyed_while_no_line_comes(pipe: tuple[io.FileIO, int]) -> None:
    stream, writer = pipe
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begun = time.monotonic()
    assert list(raw_lines(stream, stop.is_set)) == []
    assert time.monotonic() - begun < 2
    os.close(writer)


def test_a_stream_without_a_descriptor() -> None:
    assert list(raw_lines(io.BytesIO(b"a\nb"), never)) == [b"a\n", b"b"]
