"""STOMP brokers: the contract of all brokers on a real RabbitMQ and a real ActiveMQ."""

from __future__ import annotations

import pytest

from tests.transport.broker_contract import BrokerContract

#: The names that the contract uses: a broker that cannot list its queues is told them.
QUEUES = "q,r,a,b,in,out"


class TestRabbitMQ(BrokerContract):
    repeats = True

    @pytest.fixture
    def url(self, rabbitmq_server):
        place, server = rabbitmq_server.place(), rabbitmq_server
        return server.url(management=server.management_url, idle=0.3, **place)


class TestActiveMQ(BrokerContract):
    # What the broker confirms is atomic, but the order of what came back is not promised
    # while several consumers die.
    repeats = True

    @pytest.fixture
    def url(self, activemq_server):
        return activemq_server.url(queues=QUEUES, idle=0.3, **activemq_server.place())
