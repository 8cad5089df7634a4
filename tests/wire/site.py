"""A site: a namespace of a broker, one Zocalo configuration, and programs that all read it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
import pytest
from zocalo.cli.configure_rabbitmq import (
    RabbitMQAPI,
    get_exchange_specs_for_group,
    get_queue_specs,
)

from dlstbx_cli.transport.broker import connect
from tests.conftest import TOP, start
from tests.servers.broker import PASSWORD, USER, Broker
from tests.servers.rabbitmq import RabbitMQ
from tests.wire.peer import PATIENCE, Peer, on_amqp, on_stomp

RECIPES = TOP / "dlstbx_cli" / "recipes"
#: Where their programs are: beside the Python that runs the tests.
SCRIPTS = Path(sys.executable).parent
#: Seconds in which a service has ended when it is told to, see dlstbx(5).
ENDING = 5.0


class Site:
    """The configuration, and what is started with it. Both sides know it by ZOCALO_CONFIG.

    :param plugins: of the configuration, by name, beside the storage.
    :param url: the broker, for looking into its queues.
    """

    def __init__(self, folder: Path, plugins: Mapping[str, Mapping[str, Any]], url: str) -> None:
        self.folder, self.url = folder, url
        self.drop = folder / "stored"
        self.drop.mkdir()
        storage = {
            "plugin": "storage",
            "zocalo.recipe_directory": str(RECIPES),
            "zocalo.go.fallback_location": str(self.drop),
        }
        written = {"storage": storage, **plugins}
        self.configuration = folder / "zocalo.yml"
        # All JSON is YAML.
        self.configuration.write_text(
            json.dumps({"version": 1, "environments": {"default": list(written)}, **written})
        )

    def zocalo(self, program: str, *arguments: str) -> str:
        """Run one of their programs to its end; return what it says."""
        done = subprocess.run(
            [SCRIPTS / program, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def service(self, name: str, *arguments: str) -> Iterator[None]:
        """Run one of their services, a process that has another one for its work."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [SCRIPTS / "zocalo.service", "-s", name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield
        except BaseException:
            print(log.read_text())
            raise
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextmanager
    def listening(self, *commands: Sequence[str]) -> Iterator[None]:
        """Run services of ours: (name, options); in the end SIGTERM ends them all, in time."""
        with ExitStack() as stack:
            running = {
                command[0]: stack.enter_context(self._listener(*command)) for command in commands
            }
            yield
            gone = {name: one.returncode for name, one in running.items() if one.poll() is not None}
            assert not gone, f"ended by themselves: {gone}"
            for process in running.values():
                process.terminate()
            deadline = time.monotonic() + ENDING
            for process in running.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.01, deadline - time.monotonic()))
            codes = {name: process.poll() for name, process in running.items()}
            for name in [name for name, code in codes.items() if code is None]:
                # It says where it hangs, and its log is shown.
                running[name].send_signal(signal.SIGABRT)
                running[name].wait(ENDING)
            assert set(codes.values()) == {0}, f"told to end, within {ENDING} s: {codes}"

    @contextmanager
    def _listener(self, name: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = start(
                name,
                "--listen",
                *options,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            )
        try:
            yield process
        except BaseException:
            print(log.read_text())
            raise
        finally:
            process.kill()
            process.wait()
        assert "Traceback" not in log.read_text()

    def waiting(self) -> dict[str, int]:
        """Return how many messages are in each queue, our own at least, in nobody's hand."""
        with closing(connect(self.url)) as broker:
            return {state.name: state.ready for state in broker.states() if state.ready}

    def await_waiting(self, queue: str, number: int) -> None:
        """Wait until so many messages are in a queue, in nobody's hand."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.waiting()).get(queue, 0) != number:
            assert time.monotonic() < deadline, f"{found}, not {number} in {queue}"
            time.sleep(0.1)


class StompSite(Site):
    """A site whose programs all speak STOMP.

    workflows names no virtual host: on RabbitMQ all that it does is in the usual one, so
    what keeps two tests apart is the namespace, there as on ActiveMQ.
    """

    def __init__(self, folder: Path, server: Broker) -> None:
        self.server, self.prefix = server, f"wire-{uuid4().hex[:8]}"
        plugin = {
            "plugin": "stomp",
            "host": server.host,
            "port": server.port,
            "username": USER,
            "password": PASSWORD,
            "prefix": self.prefix,
        }
        plugins = {"stomp": plugin, "transport": default_transport("StompTransport")}
        super().__init__(folder, plugins, server.url(prefix=self.prefix, **exact(server)))

    @contextmanager
    def peer(self, prefix: str | None = None) -> Iterator[Peer]:
        """Give a service of theirs, connected."""
        prefix = self.prefix if prefix is None else prefix
        peer = on_stomp(self.server.host, self.server.port, (USER, PASSWORD), prefix)
        peer.connect()
        with closing(peer):
            yield peer


class AmqpSite(Site):
    """A site whose own programs speak AMQP, in a virtual host of its own, without a namespace."""

    def __init__(self, folder: Path, server: RabbitMQ) -> None:
        self.server, self.vhost = server, server.vhost()
        plugin = {
            "plugin": "pika",
            "host": server.host,
            "port": server.amqp_port,
            "username": USER,
            "password": PASSWORD,
            "vhost": self.vhost,
        }
        plugins = {"pika": plugin, "transport": default_transport("PikaTransport")}
        super().__init__(folder, plugins, server.url(vhost=self.vhost))

    def declare(self, *groups: Mapping[str, Any]) -> None:
        """Declare groups of queues and exchanges as ``zocalo.configure_rabbitmq`` does.

        Not by that program: it takes away whatever else there is on the server.
        """
        interface = f"http://{self.server.host}:{self.server.management_port}/api"
        api = RabbitMQAPI(interface, USER, PASSWORD)
        for group in groups:
            mine = {"vhost": self.vhost, **group}
            if group["settings"].get("broadcast"):
                for exchange in get_exchange_specs_for_group(mine):
                    api.exchange_declare(exchange)
            else:
                for queue in get_queue_specs(mine):
                    api.queue_declare(queue)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """Give a channel of pika's, for what is no message."""
        where = pika.ConnectionParameters(
            self.server.host,
            self.server.amqp_port,
            self.vhost,
            pika.PlainCredentials(USER, PASSWORD),
        )
        with closing(pika.BlockingConnection(where)) as connection:
            yield connection.channel()

    def waiting(self) -> dict[str, int]:
        """Return how many messages are in each queue, in nobody's hand.

        Asked of the queues themselves: what the management tells of replicated ones may be
        some seconds old.
        """
        rows = self.server.management("GET", f"queues/{self.vhost}?disable_stats=true")
        with self.channel() as channel:
            found = {
                row["name"]: channel.queue_declare(row["name"], passive=True).method.message_count
                for row in rows
            }
        return {name: number for name, number in found.items() if number}

    @contextmanager
    def peer(self) -> Iterator[Peer]:
        """Give a service of theirs, connected."""
        peer = on_amqp(self.server.host, self.server.amqp_port, (USER, PASSWORD), self.vhost)
        peer.connect()
        with closing(peer):
            yield peer


def exact(server: Broker) -> dict[str, str]:
    """Return the settings by which a broker's queues can be counted quickly."""
    return {"management": server.management_url} if isinstance(server, RabbitMQ) else {}


def default_transport(name: str) -> dict[str, str]:
    """Return the plugin that says which transport their programs use."""
    return {"plugin": "transport", "default": name}


class OnRabbitMQ:
    """For tests of a site with a RabbitMQ."""

    @pytest.fixture
    def site(self, rabbitmq_server, home, tmp_path, monkeypatch):
        site = StompSite(tmp_path, rabbitmq_server)
        monkeypatch.setenv("ZOCALO_CONFIG", str(site.configuration))
        return site


class OnActiveMQ:
    """For tests of a site with an ActiveMQ."""

    @pytest.fixture
    def site(self, activemq_server, home, tmp_path, monkeypatch):
        site = StompSite(tmp_path, activemq_server)
        monkeypatch.setenv("ZOCALO_CONFIG", str(site.configuration))
        return site
