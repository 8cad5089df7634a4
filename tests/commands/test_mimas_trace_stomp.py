"""``mimas-trace`` on RabbitMQ and ActiveMQ: what a look shows, and that it takes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import make_dead_letters, run
from tests.servers.activemq import ActiveMQ
from tests.servers.rabbitmq import RabbitMQ

DCID = 993677


def trigger() -> None:
    assert run("dlstbx.go", "-r", "mimas", "-s", "event=end", DCID).code == 0
    outcome = run("recipe-dispatch", "--once")
    assert outcome.code == 0, outcome.err


def depths(wanted: dict[str, int]) -> dict[str, int]:
    """Return the depths of the queues, as soon as they are those that are wanted."""
    end = time.monotonic() + 10
    while True:
        found = {line["queue"]: line["ready"] for line in run("queue-ls").lines}
        if found == wanted or time.monotonic() > end:
            return found
        time.sleep(0.1)


def test_on_activemq(
    activemq_server: ActiveMQ, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLSTBX_BROKER", activemq_server.url(**activemq_server.place(), idle=0.2))
    trigger()
    make_dead_letters()
    outcome = run("mimas-trace", DCID)
    stages = [line["stage"] for line in outcome.lines if "stage" in line]
    assert stages == ["collected", "collected", "waiting"]
    assert outcome.lines[-1]["verdict"] == "1 message waits in the queue mimas (queue-ls)"
    dead = run("mimas-trace", 404).lines
    assert (dead[0]["stage"], dead[0]["id"]) == ("dead", "bbb-3")
    there = {"mimas": 1, "dlq.mimas": 2, "dlq.processing_recipe": 1}
    assert depths(there) == there


def test_on_rabbitmq(
    rabbitmq_server: RabbitMQ, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = rabbitmq_server.url(
        **rabbitmq_server.place(), idle=0.2, management=rabbitmq_server.management_url
    )
    monkeypatch.setenv("DLSTBX_BROKER", url)
    trigger()
    make_dead_letters()
    outcome = run("mimas-trace", DCID)
    assert outcome.code == 0
    stages = [line["stage"] for line in outcome.lines if "stage" in line]
    assert stages == ["collected", "collected"]
    assert "cannot be browsed" in outcome.err
    assert "queues" in {line["source"] for line in outcome.lines if "unavailable" in line}
    # Nothing is said of what could not be looked at: it may well have been triggered.
    assert "queues" in outcome.lines[-1]["verdict"]
    dead = run("mimas-trace", 404).lines
    assert (dead[0]["stage"], dead[0]["id"]) == ("dead", "bbb-3")
    there = {"mimas": 1, "dlq.mimas": 2, "dlq.processing_recipe": 1}
    assert depths(there) == there
