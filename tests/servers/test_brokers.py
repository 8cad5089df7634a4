"""The brokers of the tests, by stomp.py alone: that they are what other tests take them for."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import stomp

from tests.servers import activemq

PERSISTENT = {"persistent": "true"}
#: Seconds until something that must come counts as lost, on a machine that is busy.
PATIENCE = 30.0


class Heard(stomp.ConnectionListener):
    """What a broker says, in the order in which it does: (command, headers, body)."""

    def __init__(self) -> None:
        self._frames: queue.Queue[tuple[str, dict[str, str], Any]] = queue.Queue()

    def on_message(self, frame: Any) -> None:
        self._frames.put(("MESSAGE", frame.headers, frame.body))

    def on_receipt(self, frame: Any) -> None:
        self._frames.put(("RECEIPT", frame.headers, frame.body))

    def on_error(self, frame: Any) -> None:
        self._frames.put(("ERROR", frame.headers, frame.body))

    def on_disconnected(self) -> None:
        self._frames.put(("AWAY", {}, None))

    def next(self) -> tuple[str, dict[str, str], Any]:
        return self._frames.get(timeout=PATIENCE)


class Client:
    """A connection to where a URL says."""

    def __init__(self, url: str, host: str | None = None, **tls: Any) -> None:
        parts = urlsplit(url)
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.heard = Heard()
        address = (host or str(parts.hostname), int(parts.port or 0))
        self.connection = stomp.Connection12(
            [address], vhost=self.query.get("vhost", "/"), reconnect_attempts_max=1
        )
        if parts.scheme == "stomp+ssl":
            self.connection.set_ssl([address], ca_certs=self.query.get("ca"), **tls)
        self.connection.set_listener("heard", self.heard)
        login = [unquote(one) if one else None for one in (parts.username, parts.password)]
        self.connection.connect(*login, wait=True)

    def _destination(self, name: str) -> str:
        prefix = self.query.get("prefix")
        return f"/queue/{prefix}.{name}" if prefix else f"/queue/{name}"

    def send(self, body: str, name: str = "q") -> tuple[str, dict[str, str], Any]:
        """Send, and return what the broker says to it."""
        self.connection.send(self._destination(name), body, receipt=body, headers=PERSISTENT)
        return self.heard.next()

    def receive(self, name: str = "q") -> Any:
        """Subscribe, take one message, and acknowledge it."""
        self.connection.subscribe(self._destination(name), id="1", ack="client-individual")
        command, headers, body = self.heard.next()
        assert command == "MESSAGE", headers
        self.connection.ack(headers["ack"])
        return body


@contextmanager
def client(url: str, **options: Any) -> Iterator[Client]:
    one = Client(url, **options)
    try:
        yield one
    finally:
        with suppress(stomp.exception.StompException, OSError):
            one.connection.disconnect()


def accepted(answer: tuple[str, dict[str, str], Any]) -> bool:
    return answer[0] == "RECEIPT"


@pytest.fixture(params=["activemq_server", "rabbitmq_server"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_what_is_sent_is_received(server: Any) -> None:
    with client(server.url(**server.place())) as one:
        assert accepted(one.send("hello"))
        assert one.receive() == "hello"


def test_places_are_apart(server: Any) -> None:
    first, second = (server.url(**server.place()) for _ in range(2))
    with client(first) as one, client(second) as two:
        assert accepted(one.send("first"))
        assert accepted(two.send("second"))
        assert [two.receive(), one.receive()] == ["second", "first"]


def test_a_confirmed_message_survives_sigkill(server: Any) -> None:
    url = server.url(**server.place())
    with client(url) as one:
        assert accepted(one.send("first"))
        # A RabbitMQ that dies may forget a queue declared in its last two seconds, and all
        # that it has confirmed to it (see dlstbx_cli.transport.stomp.done).
        time.sleep(3.0)
        assert accepted(one.send("kept"))
        server.kill()
        assert one.heard.next()[0] == "AWAY"
    with pytest.raises(stomp.exception.ConnectFailedException):
        Client(url)
    server.start()
    with client(url) as one:
        assert [one.receive(), one.heard.next()[2]] == ["first", "kept"]


def test_a_server_that_hangs_goes_on(server: Any) -> None:
    url = server.url(**server.place())
    with client(url) as one:
        server.pause()
        try:
            one.connection.send(one._destination("q"), "late", receipt="r", headers=PERSISTENT)
            with pytest.raises(queue.Empty):
                one.heard._frames.get(timeout=0.5)
        finally:
            server.resume()
        assert accepted(one.heard.next())


def test_tls_with_the_authority(server: Any) -> None:
    for host in ("127.0.0.1", "localhost"):
        with client(server.tls_url(**server.place()), host=host) as one:
            assert accepted(one.send("sealed"))


def test_the_certificate_is_good_for_this_machine_and_this_authority_alone(server: Any) -> None:
    def connect(ca: Path, name: str) -> str | None:
        context = ssl.create_default_context(cafile=ca)
        with (
            socket.create_connection((server.host, server.tls_port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=name) as sealed,
        ):
            return sealed.version()

    for name in ("127.0.0.1", "localhost"):
        assert connect(server.certificates.ca, name)
    for ca, name in ((server.certificates.other_ca, "localhost"), (server.certificates.ca, "b")):
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(ca, name)


def test_a_wrong_password_is_refused(server: Any) -> None:
    with pytest.raises(stomp.exception.ConnectFailedException):
        Client(server.url_as("dlstbx", "wrong"))


def test_anonymous_is_accepted_by_activemq(activemq_server: Any) -> None:
    with client(activemq_server.anonymous_url(**activemq_server.place())) as one:
        assert accepted(one.send("who"))


def test_anonymous_is_refused_by_rabbitmq(rabbitmq_server: Any) -> None:
    with pytest.raises(stomp.exception.ConnectFailedException):
        Client(rabbitmq_server.anonymous_url())


def test_an_activemq_may_refuse_anonymous(activemq_server: Any) -> None:
    with activemq.serving(activemq_server.certificates, anonymous=False) as strict:
        with pytest.raises(stomp.exception.ConnectFailedException):
            Client(strict.anonymous_url())
        with client(strict.url()) as one:
            assert accepted(one.send("known"))


def test_the_reader_of_activemq_may_not_write(activemq_server: Any) -> None:
    place = activemq_server.place()
    with (
        client(activemq_server.url(**place)) as one,
        client(activemq_server.reader_url(**place)) as reader,
    ):
        assert accepted(one.send("open"))
        assert reader.send("closed")[0] == "ERROR"
        assert reader.receive() == "open"


def test_activemq_delays(activemq_server: Any) -> None:
    with client(activemq_server.url(**activemq_server.place())) as one:
        begin = time.monotonic()
        headers = {**PERSISTENT, "AMQ_SCHEDULED_DELAY": "700"}
        one.connection.send(one._destination("q"), "later", headers=headers)
        assert one.receive() == "later"
        assert time.monotonic() - begin > 0.6


def test_a_user_of_rabbitmq_may_do_what_it_is_allowed(rabbitmq_server: Any) -> None:
    vhost = rabbitmq_server.vhost()
    rabbitmq_server.add_user("writer", "s/p", "^mine$", ".*", "", vhost=vhost)
    with client(rabbitmq_server.url_as("writer", "s/p", vhost=vhost)) as one:
        assert accepted(one.send("hello", "mine"))
        assert one.send("hello", "yours")[0] == "ERROR"


def test_rabbitmq_sees_the_certificate_of_a_client(rabbitmq_server: Any) -> None:
    made = rabbitmq_server.certificates
    place = rabbitmq_server.place()
    with client(
        rabbitmq_server.tls_url(**place), cert_file=made.client_cert, key_file=made.client_key
    ):
        deadline = time.monotonic() + PATIENCE
        subjects: set[str] = set()
        while "CN=client,O=dlstbx tests" not in subjects and time.monotonic() < deadline:
            time.sleep(0.2)
            path = f"vhosts/{place['vhost']}/connections"
            known = rabbitmq_server.management("GET", path)
            subjects = {str(one.get("peer_cert_subject")) for one in known}
        assert subjects == {"CN=client,O=dlstbx tests"}


def test_the_management_of_rabbitmq_knows_the_depth_of_a_queue(rabbitmq_server: Any) -> None:
    import requests

    vhost = rabbitmq_server.vhost()
    with client(rabbitmq_server.url(vhost=vhost)) as one:
        assert accepted(one.send("one"))
        deadline = time.monotonic() + PATIENCE
        found = None
        while found != 1 and time.monotonic() < deadline:
            answer = requests.get(
                f"{rabbitmq_server.management_url}/api/queues/{vhost}/q", timeout=9
            )
            found = answer.json().get("messages_ready")
        assert found == 1
    rabbitmq_server.remove(vhost)


def _of(folder: str) -> list[int]:
    """Processes that name a folder in their command or their environment."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(folder.encode() in (one / name).read_bytes() for name in _TOLD):
                found.append(int(one.name))
    return found


_TOLD = ("cmdline", "environ")
_SERVES = """
from tests.servers.{module} import serving
with serving() as server:
    print(server._folder, flush=True)
    input()
"""


def _left(folder: Path) -> list[int]:
    """Processes of a server that are still there after a while; these are ended as well."""
    deadline = time.monotonic() + PATIENCE
    while _of(str(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = _of(str(folder))
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return left


def test_nothing_of_a_server_outlives_its_tests(server: Any) -> None:
    module = type(server).__module__.rpartition(".")[2]
    child = subprocess.Popen(
        [sys.executable, "-c", _SERVES.format(module=module)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    folder = Path(child.stdout.readline().strip())
    started = _of(str(folder))
    child.kill()
    child.communicate()
    left = _left(folder)
    shutil.rmtree(folder)
    assert started
    assert not left


def test_a_server_that_is_done_leaves_no_process_and_no_folder(server: Any) -> None:
    with sys.modules[type(server).__module__].serving() as another:
        folder = another._folder
        assert another.port != server.port
        assert _of(str(folder))
    assert not _left(folder)
    assert not folder.exists()
