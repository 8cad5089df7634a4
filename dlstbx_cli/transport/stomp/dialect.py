"""What differs between brokers that speak STOMP 1.2, each with where that is known from.

Observed with stomp.py 9.0 on ActiveMQ 5.16/5.17 and RabbitMQ 3.10; the brokers' manuals:
activemq.apache.org/stomp and rabbitmq.com/docs/stomp.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The name of every broker's plain form of a queue.
QUEUE_FORM = "/queue/{}"
#: How RabbitMQ says that a queue was declared with other arguments.
OTHERWISE = "PRECONDITION_FAILED - inequivalent arg"
#: RabbitMQ's form of a queue that somebody else has declared.
AS_IT_IS = "/amq/queue/{}"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of broker is spoken to.

    :param transactions: a transaction with sends and an acknowledgement is atomic.
        RabbitMQ's is not: it carries out the frames one after the other at COMMIT, and an
        ACK beside a SEND that fails loses the message.
    :param prefetch: the header of SUBSCRIBE that says how many messages may be in hand.
    :param browses: a subscription can look at messages without taking them.
    :param queue_forms: how a queue's name becomes a destination; where the broker refuses
        the first one, the next is tried. ``/queue/NAME`` declares the queue in RabbitMQ,
        and is refused for one that was declared with other arguments;
        ``/amq/queue/NAME`` uses a queue as it is, and loses messages if it is not there.
    :param look_form: the one that a look uses: to look is not to declare.
    :param refusals: texts of the broker that ask for the next form. Any other refusal may
        mean that there is no such queue.
    """

    name: str
    transactions: bool = False
    prefetch: str | None = None
    browses: bool = False
    queue_forms: tuple[str, ...] = (QUEUE_FORM,)
    look_form: str = QUEUE_FORM
    refusals: tuple[str, ...] = ()


ACTIVEMQ = Dialect("activemq", transactions=True, prefetch="activemq.prefetchSize", browses=True)
RABBITMQ = Dialect(
    "rabbitmq",
    prefetch="prefetch-count",
    queue_forms=(QUEUE_FORM, AS_IT_IS),
    look_form=AS_IT_IS,
    # Declared with other arguments; or we may not declare.
    refusals=(OTHERWISE, "ACCESS_REFUSED - access to queue"),
)
#: Any other broker: results first, then the acknowledgement, is safe everywhere.
OTHER = Dialect("other")


def dialect(told: str | None, server: str) -> Dialect:
    """Return the dialect that the settings name, or that the broker's own name means.

    :param server: the header ``server`` of its CONNECTED frame: ``ActiveMQ/5.17.2``,
        ``RabbitMQ/3.10.8``.
    """
    name = (told or server.partition("/")[0]).lower()
    return {"activemq": ACTIVEMQ, "rabbitmq": RABBITMQ}.get(name, OTHER)
