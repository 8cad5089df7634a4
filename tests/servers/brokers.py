"""The fixtures for brokers: those that a run of tests wants start together, and once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.servers import activemq, process, rabbitmq
from tests.servers.activemq import ActiveMQ
from tests.servers.certificates import Certificates, make
from tests.servers.rabbitmq import RabbitMQ

_SERVERS: dict[str, Any] = {"activemq_server": activemq, "rabbitmq_server": rabbitmq}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for all brokers of the session."""
    return make(tmp_path_factory.mktemp("tls") / "certificates")


@pytest.fixture(scope="session")
def _running(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """A function from a fixture's name to its server.

    When the first is asked for, all that other tests have in their arguments start as well.
    """
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    starting: dict[str, Future[Any]] = {}
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(name: str) -> None:
            if name not in starting and not _SERVERS[name].lacking():
                serving = _SERVERS[name].serving(request.getfixturevalue("certificates"))
                starting[name] = pool.submit(stack.enter_context, serving)

        def running(name: str) -> Any:
            missing = _SERVERS[name].lacking()
            if missing:
                process.lacking(missing)
            for one in (name, *sorted(_SERVERS.keys() & wanted)):
                start(one)
            return starting[name].result()

        yield running


@pytest.fixture(scope="session")
def rabbitmq_server(_running: Callable[[str], Any]) -> RabbitMQ:
    """A running RabbitMQ. Skips where there is none to be started; fails if CI=true."""
    server: RabbitMQ = _running("rabbitmq_server")
    return server


@pytest.fixture(scope="session")
def activemq_server(_running: Callable[[str], Any]) -> ActiveMQ:
    """A running ActiveMQ. Skips where there is none to be started; fails if CI=true."""
    server: ActiveMQ = _running("activemq_server")
    return server
