"""A service as Zocalo's are: a transport of workflows, and recipe wrappers on it."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from workflows.recipe import RecipeWrapper, wrap_subscribe
from workflows.transport.common_transport import CommonTransport
from workflows.transport.pika_transport import PikaTransport
from workflows.transport.stomp_transport import StompTransport

#: Seconds until a message that must come counts as lost, on a machine that is busy.
PATIENCE = 20.0


@dataclass(frozen=True)
class Arrival:
    """What a service is given: the headers, the wrapper (None: not wrapped), the payload."""

    header: Mapping[str, Any]
    wrapper: RecipeWrapper | None
    payload: Any

    @property
    def wrapped(self) -> RecipeWrapper:
        assert self.wrapper is not None, f"not known as wrapped: {self.header} {self.payload}"
        return self.wrapper


#: What a service does with a message: (wrapper, payload, transaction=...).
Deed = Callable[..., None]


class Peer:
    """A service on a transport that is not connected yet.

    Like workflows' own, it does its work in one thread, here that of the test, while the
    transport's thread only puts what comes into a queue.
    """

    def __init__(self, transport: CommonTransport) -> None:
        # workflows keeps these for all transports of a process together, by numbers that
        # each of them counts for itself: the second one would take the first one's place.
        for shared in ("subscriptions", "transactions"):
            kind = type(getattr(CommonTransport, f"_CommonTransport__{shared}"))
            setattr(transport, f"_CommonTransport__{shared}", kind())
        self.transport = transport
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._arrived: dict[str, deque[Arrival]] = defaultdict(deque)

    def connect(self) -> None:
        assert self.transport.connect()
        self.transport.subscription_callback_set_intercept(
            lambda callback: lambda *message: self._calls.put(partial(callback, *message))
        )

    def close(self) -> None:
        self.transport.disconnect()

    def serve(self, queue: str, deed: Deed | None = None) -> None:
        """Subscribe to a queue; what arrives is handled by *deed*, and acknowledged."""

        def callback(wrapper: RecipeWrapper | None, header: dict[str, Any], payload: Any) -> None:
            # As Zocalo's services do it, which is atomic for some brokers.
            transaction = self.transport.transaction_begin(subscription_id=header["subscription"])
            self.transport.ack(header, transaction=transaction)
            if deed is not None:
                deed(wrapper, payload, transaction=transaction)
            self.transport.transaction_commit(transaction)
            self._arrived[queue].append(Arrival(header, wrapper, payload))

        wrap_subscribe(
            self.transport, queue, callback, acknowledgement=True, allow_non_recipe_messages=True
        )

    def hear(self, topic: str) -> None:
        """Subscribe to broadcasts."""
        self.transport.subscribe_broadcast(
            topic, lambda header, body: self._arrived[topic].append(Arrival(header, None, body))
        )

    def start(self, recipe: Mapping[str, Any], environment: dict[str, Any]) -> None:
        """Start a recipe, as their dispatcher does."""
        RecipeWrapper(
            recipe=dict(recipe), transport=self.transport, environment=environment
        ).start()

    def next(self, name: str) -> Arrival:
        """Return the next arrival from a queue or topic, doing whatever comes before."""
        return self.take(name, 1)[0]

    def take(self, name: str, number: int, meanwhile: Deed | None = None) -> list[Arrival]:
        """Return so many arrivals from a queue or topic.

        :param meanwhile: done twice a second, until they are there.
        """
        arrived, deadline, again = self._arrived[name], time.monotonic() + PATIENCE, 0.0
        while len(arrived) < number:
            now = time.monotonic()
            assert now < deadline, f"{len(arrived)} of {number} from {name}: {list(arrived)}"
            if meanwhile is not None and now > again:
                meanwhile()
                again = now + 0.5
            self._work(0.5)
        return [arrived.popleft() for _ in range(number)]

    def quiet(self, name: str, seconds: float = 0.5) -> bool:
        """Tell whether nothing has come from a queue or topic, nor does for some time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._work(left)
        return not self._arrived[name]

    def _work(self, seconds: float) -> None:
        with suppress(Empty):
            self._calls.get(timeout=seconds)()


def on_stomp(host: str, port: int, login: tuple[str, str], prefix: str) -> Peer:
    """Return a peer that speaks STOMP, not connected."""
    return _peer(
        StompTransport(),
        {
            "--stomp-host": host,
            "--stomp-port": port,
            "--stomp-user": login[0],
            "--stomp-pass": login[1],
            "--stomp-prfx": prefix,
        },
    )


def on_amqp(host: str, port: int, login: tuple[str, str], vhost: str) -> Peer:
    """Return a peer that speaks AMQP, not connected."""
    return _peer(
        PikaTransport(),
        {
            "--rabbit-host": host,
            "--rabbit-port": port,
            "--rabbit-user": login[0],
            "--rabbit-pass": login[1],
            "--rabbit-vhost": vhost,
        },
    )


def _peer(transport: Any, settings: dict[str, Any]) -> Peer:
    # On the class these would be the settings of every transport of this process.
    transport.config, transport.defaults = settings, {}
    return Peer(transport)
