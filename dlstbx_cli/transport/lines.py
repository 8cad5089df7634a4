"""Standard input, line by line and never further than asked; standard output, line by line."""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import Message
from dlstbx_cli.transport.envelope import render
from dlstbx_cli.transport.link import EndOfInput, OutputClosed

_CHUNK = 1 << 16
#: Seconds that a reader may wait for a line before it looks whether it is to stop.
_GLANCE = 0.1


class Source(Protocol):
    """Where a filter's lines come from."""

    def read(self, timeout: float | None) -> bytes | Message | None:
        """Return the next line, None if it does not come in time. Raises EndOfInput."""

    def rest(self) -> list[bytes]:
        """Return what has been read of the input, but not handed out."""


def source(lines: Iterable[bytes | Message]) -> Source:
    """Return the source for a stream, or for anything that gives lines or messages.

    A stream with a file descriptor is read below its buffer: nothing may have been read
    from it before.
    """
    try:
        descriptor = lines.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return _Items(lines)
    return _Descriptor(descriptor)


def raw_lines(stream: Any, stopped: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the lines of a stream as they come, until it ends or *stopped* says so.

    A signal is answered within a glance, however long the next line is not there. Nothing
    may have been read from the stream before. Raises Unavailable.
    """
    reader = source(stream)
    while not stopped():
        try:
            line = reader.read(_GLANCE)
        except EndOfInput:
            return
        if isinstance(line, bytes):
            yield line


class _Items:
    def __init__(self, lines: Iterable[bytes | Message]) -> None:
        self._lines: Iterator[bytes | Message] = iter(lines)

    def read(self, _timeout: float | None) -> bytes | Message:
        for line in self._lines:
            return line
        raise EndOfInput

    def rest(self) -> list[bytes]:
        return []


class _Descriptor:
    """Lines of a file descriptor; a wait for one ends in time, whatever the signals do."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._begun: list[bytes] = []
        self._ended = False

    def read(self, timeout: float | None) -> bytes | None:
        while not self._lines:
            if self._ended:
                raise EndOfInput
            try:
                if not select.select([self._descriptor], [], [], timeout)[0]:
                    return None
                chunk = os.read(self._descriptor, _CHUNK)
            except OSError as error:
                raise Unavailable(f"standard input: {error.strerror}") from error
            self._feed(chunk)
        return self._lines.popleft()

    def rest(self) -> list[bytes]:
        rest = [*self._lines, *self._begun]
        self._lines.clear()
        self._begun.clear()
        return rest

    def _feed(self, chunk: bytes) -> None:
        # A long line is joined once, at its end: joining at each chunk would take the
        # square of its length.
        *whole, begun = chunk.split(b"\n")
        for line in whole:
            self._lines.append(b"".join([*self._begun, line, b"\n"]))
            self._begun.clear()
        if begun:
            self._begun.append(begun)
        if not chunk:
            self._ended = True
            if self._begun:
                self._lines.append(b"".join(self._begun))
                self._begun.clear()


class Output:
    """Standard output, each write of which arrives at once.

    :param stream: by default the standard output.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = sys.stdout.buffer if stream is None else stream

    def write(self, line: bytes) -> None:
        """Write a line as it is. Raises OutputClosed if nobody reads it, Unavailable."""
        try:
            self._stream.write(line)
            self._stream.flush()
        except BrokenPipeError:
            _discard(self._stream)
            raise OutputClosed from None
        except OSError as error:
            _discard(self._stream)
            raise Unavailable(f"standard output: {error.strerror}") from error

    def emit(self, messages: Sequence[Message]) -> None:
        """Write messages as lines, all or none if one cannot be rendered."""
        if messages:
            self.write(b"".join([render(message) for message in messages]))


def _discard(stream: BinaryIO) -> None:
    """Let what the stream still holds go nowhere.

    Python flushes at its end once more, and would complain of the pipe for a second time.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
