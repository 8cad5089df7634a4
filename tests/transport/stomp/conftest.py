"""The real brokers, and that our own client is quiet whatever happens to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.link import Broker


@pytest.fixture(params=["rabbitmq_server", "activemq_server"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    server = request.getfixturevalue(request.param)
    yield server
    server.resume()


@pytest.fixture
def place(server: Any) -> dict[str, str]:
    """The settings of an empty part of the broker."""
    return {**server.place(), "idle": "0.1"}


@pytest.fixture
def url(server: Any, place: dict[str, str]) -> str:
    return str(server.url(**place))


@pytest.fixture
def opened() -> Iterator[Callable[..., Broker]]:
    """Connects to a URL; all are closed with the test."""
    with ExitStack() as stack:
        yield lambda url, *given: stack.enter_context(closing(connect(url, *given)))


@pytest.fixture
def broker(url: str, opened: Callable[..., Broker]) -> Broker:
    return opened(url)


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither stomp.py nor a thread of it prints anything."""
    errors: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    yield
    assert capfd.readouterr() == ("", "")
    assert errors == []
