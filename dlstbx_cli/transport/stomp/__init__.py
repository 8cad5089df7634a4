"""Brokers that speak STOMP 1.2: ActiveMQ and RabbitMQ. What differs is in ``dialect``."""
