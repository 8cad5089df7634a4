"""Queues of RabbitMQ that somebody else has declared, or that we may not declare."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import requests

from dlstbx_cli.services.errors import Rejected, Unavailable
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.link import Broker
from dlstbx_cli.transport.stomp.session import open_session
from dlstbx_cli.transport.stomp.settings import settings
from tests.transport.broker_contract import take, to

Open = Callable[..., Broker]
SOON = 20.0


class Site:
    """A virtual host, as a site's administrator sees it."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.vhost = server.vhost()

    def url(self, **settings: object) -> str:
        return str(self.server.url(vhost=self.vhost, idle=0.1, **settings))

    def declare(self, queue: str, **arguments: object) -> None:
        body = {
            "durable": True,
            "arguments": {k.replace("_", "-"): v for k, v in arguments.items()},
        }
        self.server.management("PUT", f"queues/{self.vhost}/{queue}", body)

    def remove(self, queue: str) -> None:
        self.server.management("DELETE", f"queues/{self.vhost}/{queue}")

    def queues(self) -> set[str]:
        return {row["name"] for row in self.server.management("GET", f"queues/{self.vhost}")}

    def limited(
        self, configure: str = ".*", write: str = ".*", read: str = ".*", **more: object
    ) -> str:
        """Return the URL of a user with these rights."""
        self.server.add_user("some", "pw", configure, write, read, vhost=self.vhost)
        return str(self.server.url_as("some", "pw", vhost=self.vhost, idle=0.1, **more))


@pytest.fixture
def site(rabbitmq_server: Any) -> Site:
    return Site(rabbitmq_server)


def bodies(broker: Broker, queue: str) -> list[Any]:
    return [message.body for message in broker.peek(queue)]


def work(broker: Broker, source: str, target: str, number: int) -> list[Any]:
    """Take messages, one result each, and return their bodies."""
    seen = []
    with closing(broker.consumer(source, ["news"])) as link:
        for _ in range(number):
            delivery = link.receive(SOON)
            assert delivery is not None
            assert delivery.attempts == 1, "given back, and taken again"
            seen.append(delivery.message.body)
            link.commit(delivery, [to(target, [delivery.message.body])])
        assert link.receive(0) is None
    return seen


ARGUMENTS = [{"x_max_priority": 5}, {"x_message_ttl": 3_600_000, "x_queue_mode": "lazy"}]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_a_queue_of_the_site_is_used_as_it_is(
    site: Site, opened: Open, arguments: dict[str, object]
) -> None:
    for queue in ("in", "out", "dlq.in", "dlstbx.delayed"):
        site.declare(queue, **arguments)
    broker = opened(site.url())
    broker.send([to("in", body) for body in range(30)])
    assert bodies(broker, "in") == list(range(30))
    # The first result finds out what the queue is called: nothing in hand comes twice.
    assert work(opened(site.url()), "in", "out", 30) == list(range(30))
    assert bodies(broker, "out") == [[body] for body in range(30)]
    broker.send([to("dlq.in", "letter"), to("in", "later", delay=0.5)])
    assert bodies(broker, "dlq.in") == ["letter"]
    assert bodies(broker, "in") == ["later"]
    with closing(opened(site.url()).consumer("in")) as link:
        assert take(link, 1) == ["later"]


def test_a_quorum_queue(site: Site, opened: Open) -> None:
    site.declare("in", x_queue_type="quorum")
    broker = opened(site.url())
    broker.send([to("in", body) for body in range(5)])
    assert work(broker, "in", "out", 5) == list(range(5))


def test_a_user_who_may_not_declare(
    site: Site, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    for queue in ("in", "out", "dlq.in", "dlstbx.delayed"):
        site.declare(queue)
    broker = opened(site.limited(configure="^stomp-subscription-"))
    with caplog.at_level(logging.WARNING, "dlstbx_cli"):
        broker.send([to("in", body) for body in range(5)])
        assert work(broker, "in", "out", 5) == list(range(5))
    assert bodies(broker, "out") == [[body] for body in range(5)]
    doubts = [one.queue for one in caplog.records if one.action == "doubt"]  # type: ignore[attr-defined]
    assert sorted(doubts) == ["dlstbx.delayed", "in", "out"]
    assert site.queues() == {"in", "out", "dlq.in", "dlstbx.delayed"}


def test_with_the_management_a_queue_that_is_not_there_is_an_error(
    site: Site, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    for queue in ("in", "out", "dlq.in", "dlstbx.delayed"):
        site.declare(queue)
    url = site.limited(configure="^stomp-", management=site.server.management_url)
    broker = opened(url)
    with pytest.raises(Rejected, match=f"no queue nowhere on broker stomp://.*:{site.server.port}"):
        broker.send([to("nowhere", 1)])
    broker.send([to("in", 1)])
    assert work(opened(url), "in", "out", 1) == [1]
    assert not caplog.records
    site.declare("nowhere")
    broker.send([to("nowhere", 1)])
    assert bodies(broker, "nowhere") == [1]


FORM = "/amq/queue/{}"


def test_the_form_is_told(site: Site, opened: Open) -> None:
    """With it, nothing is tried; dead letters and delays are declared by us all the same."""
    site.declare("in", x_max_priority=3)
    site.declare("out")
    broker = opened(site.url(queue_form=FORM))
    broker.send([to("in", 1), to("in", 2), to("dlq.in", 3), to("in", 4, delay=3600)])
    assert site.queues() == {"in", "out", "dlq.in", "dlstbx.delayed"}
    assert work(broker, "in", "out", 2) == [1, 2]
    assert bodies(broker, "dlq.in") == [3]
    assert bodies(broker, "in") == [4]


def test_with_that_form_what_is_sent_to_no_queue_is_lost_or_an_error(
    site: Site, opened: Open
) -> None:
    """RabbitMQ confirms what it throws away: only its management can tell."""
    opened(site.url(queue_form=FORM)).send([to("nowhere", 1)])
    assert site.queues() == set()
    broker = opened(site.url(queue_form=FORM, management=site.server.management_url))
    with pytest.raises(Rejected, match="no queue nowhere"):
        broker.send([to("dlq.x", 1), to("nowhere", 1)])
    assert site.queues() == set(), "all or nothing"
    site.declare("in")
    broker.send([to("in", "input"), to("dlq.x", 1)])
    with closing(broker.consumer("in")) as link:
        delivery = link.receive(SOON)
        assert delivery is not None
        with pytest.raises(Rejected, match="no queue nowhere"):
            link.commit(delivery, [to("dlq.in", "first"), to("nowhere", 1)])
        link.commit(delivery, [to("dlq.in", "letter")])
    assert bodies(broker, "dlq.in") == ["letter"]
    with (
        pytest.raises(Unavailable, match="no queue 'nowhere'"),
        closing(broker.consumer("nowhere")) as link,
    ):
        link.receive(0)


def test_a_management_that_is_away_is_not_the_messages_fault(site: Site, opened: Open) -> None:
    broker = opened(site.url(queue_form=FORM, management="http://127.0.0.1:1"))
    with pytest.raises(Unavailable, match="management of http://127"):
        broker.send([to("in", 1)])


@pytest.mark.parametrize("queue", ["amq.mine", "amq.gen-x"])
def test_names_that_the_broker_keeps_for_itself_are_refused(
    site: Site, opened: Open, queue: str
) -> None:
    """And not sent to where nobody takes them."""
    broker = opened(site.url())
    with pytest.raises(Rejected, match="reserved prefix"):
        broker.send([to(queue, 1)])
    with (
        pytest.raises(Unavailable, match="reserved prefix"),
        closing(broker.consumer(queue)) as link,
    ):
        link.receive(0)


def test_to_look_is_not_to_declare(site: Site, opened: Open) -> None:
    broker = opened(site.url())
    assert broker.peek("mimas") == []
    assert broker.states() == []
    assert site.queues() == set()


def test_what_was_learnt_is_forgotten_when_it_is_wrong(site: Site, opened: Open) -> None:
    """The administrator has removed the queue meanwhile: it is declared anew."""
    site.declare("in", x_max_priority=3)
    broker = opened(site.url())
    link = broker.consumer("in")
    assert link.receive(0) is None
    site.remove("in")
    with pytest.raises(Unavailable):
        link.receive(SOON)
    with pytest.raises(Unavailable, match="no queue 'in'"):
        link.receive(0)
    with closing(link):
        assert link.receive(0) is None
        opened(site.url()).send([to("in", 1)])
        assert take(link, 1) == [1]


def test_a_queue_of_another_connection_alone_is_no_reason_to_lose_a_message(
    site: Site, opened: Open
) -> None:
    with closing(open_session(settings(site.url()))) as other:
        headers = {
            "destination": "/queue/in",
            "id": "1",
            "exclusive": "true",
            "auto-delete": "true",
        }
        other.confirm("SUBSCRIBE", {**headers, "durable": "false"})
        with pytest.raises(Unavailable, match="RESOURCE_LOCKED"):
            opened(site.url()).send([to("in", 1)])


def test_a_prefix_counts_for_the_management_too(site: Site) -> None:
    site.declare("z.in")
    url = site.url(queue_form=FORM, prefix="z", management=site.server.management_url)
    with closing(connect(url)) as broker:
        broker.send([Message(Queue("in"), 1)])
        assert [state.name for state in broker.states()] == ["in"]
    with pytest.raises(requests.HTTPError):
        site.remove("in")
