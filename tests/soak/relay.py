"""A relay between a client and its STOMP broker that counts the frames of both directions.

Neither broker tells over STOMP what one client sends and gets; a relay sees all of it.
"""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

_LENGTH = re.compile(rb"^content-length:(\d+)\r?$", re.MULTILINE)
_DESTINATION = re.compile(rb"^destination:(.*?)\r?$", re.MULTILINE)


class Frames:
    """Takes a stream of frames in pieces, and counts them in a counter that it is given."""

    def __init__(self, counter: Counter[tuple[str, str]]) -> None:
        self._counter = counter
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        data = self._rest + data
        place = _skip(data, 0)
        while (end := self._count(data, place)) is not None:
            place = _skip(data, end)
        self._rest = data[place:]

    def _count(self, data: bytes, place: int) -> int | None:
        """Count the frame that begins at *place*; return where it ends, None if not yet."""
        body = data.find(b"\n\n", place) + 2
        if body < 2:
            return None
        head = data[place:body]
        length = _LENGTH.search(head)
        end = body + int(length[1]) if length else data.find(b"\0", body)
        if not body <= end < len(data):
            return None
        found = _DESTINATION.search(head)
        destination = found[1].decode() if found else ""
        command = head.partition(b"\n")[0].strip().decode()
        self._counter[command, destination.rpartition("/")[2]] += 1
        return end + 1


def _skip(data: bytes, place: int) -> int:
    """Return where the next frame begins: heart-beats are empty lines between frames."""
    while data[place : place + 1] in (b"\n", b"\r"):
        place += 1
    return place


class Relay:
    """Listens on a port of its own, and passes everything on to another one.

    :param sent: frames from the clients, by command and last part of the destination.
    :param received: those to them.
    """

    def __init__(self, port: int) -> None:
        self.sent: Counter[tuple[str, str]] = Counter()
        self.received: Counter[tuple[str, str]] = Counter()
        self._target = port
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut all connections."""
        for one in [self._server, *self._sockets]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def counts(self) -> Counter[tuple[str, str]]:
        """Return all frames so far, of both directions."""
        return self.sent + self.received

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, broker]
                self._start(client, broker, Frames(self.sent))
                self._start(broker, client, Frames(self.received))

    def _start(self, *arguments: Any) -> None:
        threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, frames: Frames) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
                frames.feed(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
