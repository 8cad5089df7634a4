"""A slurmrestd that says what it is told: what a real one cannot be made to say on demand."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass(frozen=True)
class Answer:
    """What is said to one request.

    :param hangs: nothing is said, until the server ends.
    :param drips: seconds from each byte of the body to the next.
    :param lacks: bytes at the end of the body that do not come.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    drips: float = 0.0
    lacks: int = 0


def as_json(value: Any, status: int = 200) -> Answer:
    """Return an answer that is a JSON value."""
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


def jobs(*states: Any, account: str = "gda2") -> Answer:
    """Return the answer that lists jobs: a state is a text, or since v0.0.40 a list of texts."""
    return as_json(
        {"errors": [], "jobs": [{"account": account, "job_state": state} for state in states]}
    )


def offer(*versions: str) -> Answer:
    """Return the specification of a server that offers these versions of the API."""
    paths = [f"/slurm/{version}/{what}" for version in versions for what in ("jobs", "nodes")]
    return as_json(
        {"openapi": "3.0.2", "paths": {path: {} for path in ["/slurmdb/v9.9.9/jobs", *paths]}}
    )


class Slurmrestd:
    """The server: it answers a path by ``answers[path]``, and others with 404.

    ``asked`` are the requests so far: each path and its headers.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.ended = threading.Event()
        self.scheme = "http"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """The URL that commands are given."""
        return f"{self.scheme}://127.0.0.1:{self._server.server_port}"

    def secure(self, cert: Any, key: Any) -> None:
        """Speak TLS, with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https"

    @contextmanager
    def running(self) -> Iterator[Slurmrestd]:
        """Let the server run."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._server.shutdown()
            self._server.server_close()


def _handler(server: Slurmrestd) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append((self.path, dict(self.headers)))
            answer = server.answers.get(self.path, Answer(b"Unable find requested URL.", 404))
            if answer.hangs:
                server.ended.wait()
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with suppress(OSError):
                self._say(answer)

        def _say(self, answer: Answer) -> None:
            if not answer.drips:
                self.wfile.write(answer.body[: len(answer.body) - answer.lacks])
                return
            for place in range(len(answer.body)):
                self.wfile.write(answer.body[place : place + 1])
                if server.ended.wait(answer.drips):
                    return

        def log_message(self, *_: Any) -> None:
            """Say nothing on stderr."""

    return Handler


@pytest.fixture
def slurmrestd() -> Iterator[Slurmrestd]:
    """A server of the test's own that speaks v0.0.40, and has no jobs."""
    with Slurmrestd().running() as server:
        server.answers["/openapi/v3"] = offer("v0.0.39", "v0.0.40")
        server.answers["/slurm/v0.0.40/jobs"] = jobs()
        yield server
