"""STOMP brokers: the contract of all brokers on a real RabbitMQ and a real ActiveMQ."""

from __future__ import annotations

from contextlib import closing

import pytest

from dlstbx_cli.transport.broker import connect
from tests.transport.broker_contract import SOON, BrokerContract, to

#: The names that the contract uses: a broker that cannot list its queues is told them.
QUEUES = "q,r,a,b,in,out"


class TestRabbitMQ(BrokerContract):
    browses = False
    repeats = True
    says_arrival = True

    @pytest.fixture
    def url(self, rabbitmq_server):
        place, server = rabbitmq_server.place(), rabbitmq_server
        return server.url(management=server.management_url, idle=0.3, **place)


class TestActiveMQ(BrokerContract):
    # What the broker confirms is atomic, but the order of what came back is not promised
    # while several consumers die.
    repeats = True
    says_arrival = True

    @pytest.fixture
    def url(self, activemq_server):
        return activemq_server.url(queues=QUEUES, idle=0.3, **activemq_server.place())


@pytest.mark.parametrize("kind", ["rabbitmq_server", "activemq_server"])
def test_a_service_ends_a_repeat_once_and_a_person_gets_both(kind, request, tmp_path, caplog):
    server = request.getfixturevalue(kind)
    url = server.url(idle=0.3, **server.place())
    same = to("q", 1, headers={"dlstbx-id": "i"})
    for scratch, wanted in ((tmp_path, [1, None]), (None, [1, 1])):
        with (
            closing(connect(url, scratch=scratch)) as broker,
            closing(broker.consumer("q")) as link,
        ):
            found = []
            for _ in range(2):
                broker.send([same])
                delivery = link.receive(SOON if wanted[len(found)] else 1)
                found.append(delivery and delivery.message.body)
                if delivery:
                    link.commit(delivery, [])
                    assert link.receive(0) is None
            assert found == wanted
    assert [record.action for record in caplog.records] == ["repeat"]
