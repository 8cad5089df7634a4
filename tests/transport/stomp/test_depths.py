"""Which queues there are: counted one by one, or told by RabbitMQ's management."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.transport.link import QueueState
from dlstbx_cli.transport.stomp import management
from dlstbx_cli.transport.stomp.depths import states
from dlstbx_cli.transport.stomp.settings import settings


def never(queue: str) -> int:
    raise AssertionError(queue)


def test_own_queues_and_those_of_the_setting_are_looked_into() -> None:
    asked = []

    def count(queue: str) -> int:
        asked.append(queue)
        return {"mimas": 3, "dlq.mine": 1, "dlstbx.delayed": 2, "dlq.queue-put": 4}.get(queue, 0)

    found = states(settings("stomp://h/?queues=mine"), count)
    assert found == [
        QueueState("dlq.mine", 1, 0, 0, None),
        QueueState("dlq.queue-put", 4, 0, 0, None),
        QueueState("dlstbx.delayed", 0, 0, 2, None),
        QueueState("mimas", 3, 0, 0, None),
    ]
    queues = {"processing_recipe", "mimas", "mimas.held", "ispyb_connector", "mine"}
    wanted = queues | {"dlstbx.delayed"} | {f"dlq.{name}" for name in queues}
    assert set(asked) == wanted | {"dlq.dlstbx.delayed", "dlq.queue-put"}


def test_no_queue_is_looked_into_that_is_not_asked_for() -> None:
    asked = []

    def count(queue: str) -> int:
        asked.append(queue)
        return 1

    found = states(settings("stomp://h/?queues=mine"), count, "dlq.")
    assert [state.name for state in found] == sorted(asked)
    assert {name.partition(".")[0] for name in asked} == {"dlq"}


class Server:
    """A management that answers what it is told to."""

    def __init__(self) -> None:
        self.code, self.body, self.asked = 200, b"[]", []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers["Authorization"]))
                self.send_response(outer.code)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_port

    def settings(self, **more: str) -> Any:
        query = "&".join(f"{name}={value}" for name, value in more.items())
        url = f"http%3A%2F%2Fmonitor%3As3cr3t%2540%40127.0.0.1%3A{self.port}"
        return settings(f"stomp://h/?management={url}&timeout=1&{query}")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def test_the_management_is_asked_for_all(server: Server) -> None:
    rows = [
        {"name": "z.mimas", "messages_ready": 2, "messages_unacknowledged": 1},
        {"name": "z.empty", "messages_ready": 0, "messages_unacknowledged": 0},
        {"name": "z.dlstbx.delayed", "messages_ready": 1, "messages_unacknowledged": 4},
        {"name": "other", "messages_ready": 7},
        {"name": "z.a"},
        {"name": "z.b", "messages_ready": 5},
    ]
    server.body = json.dumps(rows).encode()
    assert states(server.settings(prefix="z", vhost="a/b"), never) == [
        QueueState("b", 5, 0, 0, None),
        QueueState("dlstbx.delayed", 0, 0, 5, None),
        QueueState("mimas", 2, 1, 0, None),
    ]
    ((path, login),) = server.asked
    assert urlsplit(path).path == "/api/queues/a%2Fb"
    assert parse_qs(urlsplit(path).query)["enable_queue_totals"] == ["true"]
    assert login.startswith("Basic ")
    assert "other" in [state.name for state in states(server.settings(), never)]


@pytest.mark.parametrize(
    ("code", "body", "told"),
    [(401, b"", "Unauthorized"), (404, b"", "Not Found"), (500, b"x", "Internal"), (200, b"<", "")],
)
def test_a_management_that_does_not_tell(server: Server, code: int, body: bytes, told: str) -> None:
    server.code, server.body = code, body
    with pytest.raises(Unavailable) as caught:
        states(server.settings(), never)
    assert f"management of http://127.0.0.1:{server.port}: {told}" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_management_that_is_away() -> None:
    url = "http%3A%2F%2Fmonitor%3As3cr3t%40127.0.0.1%3A1"
    with pytest.raises(Unavailable, match="ConnectionError") as caught:
        states(settings(f"stomp://h/?management={url}"), never)
    assert "s3cr3t" not in str(caught.value)


def test_whether_a_queue_is_there(server: Server) -> None:
    server.body = b"{}"
    assert management.is_there(server.settings(), "a/b")
    assert urlsplit(server.asked[0][0]).path == "/api/queues/%2F/a%2Fb"
    server.code = 404
    assert not management.is_there(server.settings(), "q")
    server.code = 503
    with pytest.raises(Unavailable):
        management.is_there(server.settings(), "q")
