"""Prometheus' figures where the store of held jobs is away, or hangs."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest

from dlstbx_cli.services.errors import NotReady, Rejected, Unavailable
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.meter import Levels
from dlstbx_cli.transport import metrics
from dlstbx_cli.transport.driver import Way, run
from dlstbx_cli.transport.metrics import PrometheusMeter, Scrapes
from dlstbx_cli.transport.pipe import Pipe
from dlstbx_cli.transport.stop import Stop
from tests.servers.ports import free_ports


class Store:
    """What can be asked, but is away, hangs, or answers."""

    def __init__(self) -> None:
        self.away = False
        self.free = threading.Event()
        self.free.set()

    def levels(self) -> Levels:
        self.free.wait(30)
        if self.away:
            raise Unavailable("the database is away")
        return Levels({"slurm": 7}, {"slurm": 12.5})


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.free.set()


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


HELD = 'dlstbx_held_jobs{cluster="slurm"} 7.0'


def test_levels_that_are_not_known_are_left_out(store: Store) -> None:
    meter = PrometheusMeter("backlog-release", "mimas.held", store)
    meter.handled()
    (port,) = free_ports(1)
    with closing(Scrapes(meter, "127.0.0.1", port)):
        assert HELD in scrape(port)
        assert 'dlstbx_statistics_age_seconds{cluster="slurm"} 12.5' in scrape(port)
        store.away = True
        text = scrape(port)
        assert "dlstbx_held_jobs" not in text
        assert 'dlstbx_handled_total{command="backlog-release",queue="mimas.held"} 1.0' in text
        store.away = False
        assert HELD in scrape(port)


def test_a_store_that_hangs_holds_no_scrape(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PATIENCE", 0.3)
    meter = PrometheusMeter("backlog-release", "mimas.held", store)
    (port,) = free_ports(1)
    with closing(Scrapes(meter, "127.0.0.1", port)):
        store.free.clear()
        for _ in range(3):
            begin = time.monotonic()
            text = scrape(port)
            assert time.monotonic() - begin < 3
            assert "dlstbx_held_jobs" not in text
            assert "dlstbx_handled_total" in text
        store.free.set()
        time.sleep(0.2)
        assert HELD in scrape(port)


def test_scrapes_at_once_all_get_the_levels(store: Store) -> None:
    meter = PrometheusMeter("backlog-release", "mimas.held", store)
    (port,) = free_ports(1)
    texts: list[str] = []
    with closing(Scrapes(meter, "127.0.0.1", port)):
        threads = [
            threading.Thread(target=lambda: texts.append(scrape(port)), daemon=True)
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert [HELD in text for text in texts] == [True] * 8


class Stage:
    """Does what the message says."""

    name, queue, topics = "stage", "in", ("news",)

    def handle(self, message: Message) -> list[Message]:
        if message.body == "bad":
            raise Rejected("bad")
        if message.body == "away":
            raise Unavailable("away")
        if message.body == "later":
            raise NotReady(Message(Queue("in"), "good"), 0.05)
        time.sleep(0.02)
        return []

    def observe(self, message: Message) -> None:
        raise Rejected("nonsense")


def test_what_the_driver_tells() -> None:
    meter = PrometheusMeter("stage", "in")
    bodies = ["good", "bad", "later", "good", "away", "good"]
    lines = [json.dumps({"queue": "in", "message": body}).encode() + b"\n" for body in bodies]
    lines.insert(0, b'{"topic": "news", "message": 1}\n')
    with closing(Pipe("in", ("news",), lines, emit=lambda _: None, pass_on=lambda _: None)) as link:
        tally = run(Stage(), link, Way.FILTER, Stop(), meter=meter)

    def value(name: str) -> float | None:
        return meter.registry.get_sample_value(name, {"command": "stage", "queue": "in"})

    # What was postponed counts once, when it is done; what follows the failure not at all.
    assert (tally.handled, tally.rejected) == (3, 2)
    assert value("dlstbx_handled_total") == 3
    assert value("dlstbx_rejected_total") == 2
    assert value("dlstbx_failures_total") == 1
    assert value("dlstbx_handling_seconds_count") == 4  # a broadcast is not handled
    assert 0.06 < (value("dlstbx_handling_seconds_sum") or 0) < 5
