"""A STOMP broker that misbehaves as it is told to, for what no real one does on demand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from tests.servers.ports import free_ports

#: What to answer to a frame; None: nothing.
Answer = Callable[[str, dict[str, str]], bytes | None]

CONNECTED = b"CONNECTED\nversion:1.2\nserver:Fake/1\n\n\0\n"


def silent(command: str, headers: dict[str, str]) -> bytes | None:
    """Take the connection, and never say a word."""
    del command, headers
    return None


def deaf(command: str, headers: dict[str, str]) -> bytes | None:
    """Answer CONNECTED, and nothing more."""
    del headers
    return CONNECTED if command == "STOMP" else None


def polite(command: str, headers: dict[str, str]) -> bytes | None:
    """Confirm everything."""
    if command == "STOMP":
        return CONNECTED
    receipt = headers.get("receipt")
    return f"RECEIPT\nreceipt-id:{receipt}\n\n\0\n".encode() if receipt else None


class Fake:
    """One such broker, as long as the context.

    :param reads: False: it takes the connection and reads no byte of it.
    """

    def __init__(self, answer: Answer, *, reads: bool = True) -> None:
        self._answer = answer
        self._reads = reads
        self._connections: list[socket.socket] = []
        self.commands: list[str] = []

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.url = f"stomp://127.0.0.1:{self.port}/"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        for one in (self._server, *self._connections):
            one.close()

    def hang_up(self) -> None:
        """End all connections, without a word."""
        for one in self._connections:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def push(self, data: bytes) -> None:
        """Send something over the last connection, in one piece."""
        self._connections[-1].sendall(data)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self._connections.append(connection)
                if self._reads:
                    threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        left = b""
        with suppress(OSError):
            while chunk := connection.recv(1 << 16):
                *frames, left = (left + chunk).split(b"\0")
                for frame in frames:
                    answer = self._answer(*self._parsed(frame))
                    if answer:
                        connection.sendall(answer)

    def _parsed(self, frame: bytes) -> tuple[str, dict[str, str]]:
        command, *lines = frame.lstrip(b"\n").partition(b"\n\n")[0].decode().split("\n")
        self.commands.append(command)
        return command, dict(line.split(":", 1) for line in lines)


class Door:
    """A port of its own that leads to a broker, once it is opened."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._connections: list[socket.socket] = []
        (self.port,) = free_ports(1)

    def open(self) -> None:
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more, and end all connections, without a word."""
        for one in (self._server, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                inside, _ = self._server.accept()
                try:
                    outside = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    inside.close()
                    continue
                self._connections += inside, outside
                for ends in ((inside, outside), (outside, inside)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(1 << 16):
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
