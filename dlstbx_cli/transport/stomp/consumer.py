"""One consumer of a queue on a STOMP broker.

Messages are received ahead, up to the window; results are sent with receipts, and a message
is acknowledged when the broker has confirmed all of its results. That is not waited for: the
next message is handled meanwhile. Whoever asks for the next message finds out what became
of those before: a failure there is raised here, and all that was not acknowledged comes
again, with the same identities.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import Message, Queue, Topic
from dlstbx_cli.transport.link import Delivery
from dlstbx_cli.transport.stomp import frames
from dlstbx_cli.transport.stomp.attempts import Attempts
from dlstbx_cli.transport.stomp.delays import WINDOW, Waiting
from dlstbx_cli.transport.stomp.done import Done, Result
from dlstbx_cli.transport.stomp.publisher import DELAYED, MOST, Encoded, Publisher, subscription
from dlstbx_cli.transport.stomp.session import BrokerError, Session, open_session
from dlstbx_cli.transport.stomp.settings import Settings

#: Seconds that a message may be in hand: RabbitMQ closes the channel after 30 minutes.
_LONGEST = 300.0
#: Seconds that the end of a run waits for the broker's last confirmations.
_FAREWELL = 3.0
#: Names of the subscriptions; a topic's is its number.
_MAIN, _LATER = "main", "later"


@dataclass(slots=True)
class _Held:
    """A message that the broker has given us and that is not acknowledged yet.

    :param ack: what the broker calls it.
    :param later: it waits in our own hand until it is due.
    :param results: what follows from it.
    :param receipts: confirmations still awaited before it is acknowledged.
    """

    ack: str
    identity: str
    arrived: float
    came_back: bool = False
    later: bool = False
    begun: bool = False
    committed: bool = False
    results: tuple[Result, ...] = ()
    receipts: set[str] = field(default_factory=set)


class StompConsumer:
    """A link to a broker, connecting at the first receive, and again after a failure.

    So a service may start before its broker. See :class:`dlstbx_cli.transport.link.Link`.
    """

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        queue: str,
        topics: Sequence[str],
        attempts: Attempts,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._queue = frames.check(Queue(queue))
        self._topics = [frames.check(Topic(topic)) for topic in topics]
        self._attempts = attempts
        self._session: Session | None = None
        self._count = 0
        self._done = Done()
        self._forget()

    def _forget(self) -> None:
        self._done.disconnected()
        self._held: dict[int, _Held] = {}
        self._ready: list[tuple[int, Delivery]] = []
        self._heard: deque[Delivery] = deque()
        self._waiting = Waiting()
        self._awaited: dict[str, int] = {}
        self._stirred = time.monotonic()
        #: Messages of the queue that the broker gives us at most.
        self._room = self._settings.window

    def receive(self, timeout: float | None) -> Delivery | None:
        """Return the next broadcast or message, None if none comes in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        session = self._connected()
        try:
            while True:
                self._pump(session)
                if (delivery := self._next_ready()) is not None:
                    return delivery
                self._widen(session)
                now = time.monotonic()
                if timeout == 0:
                    if self._is_drained(session, now):
                        return None
                elif deadline is not None and now >= deadline:
                    return None
                self._wait(session, deadline if timeout else None)
        except Unavailable as error:
            self._reset(died=isinstance(error, BrokerError))
            raise

    def commit(self, delivery: Delivery, results: Sequence[Message]) -> None:
        """Send the results, and acknowledge the message once they are confirmed."""
        encoded = [self._publisher.encoded(message) for message in results]
        if delivery.broadcast and not encoded:
            return
        session, held = self._session, self._held.get(delivery.tag)
        if session is None or (held is None and not delivery.broadcast):
            raise Unavailable(f"{self._settings.shown}: {delivery.place} is no longer ours")
        try:
            self._commit(session, delivery.tag, encoded)
            self._pump(session)
        except Unavailable as error:
            self._reset(died=isinstance(error, BrokerError))
            raise

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages that follow from none; on return the broker has confirmed them."""
        encoded = [self._publisher.encoded(message) for message in messages]
        session = self._connected()
        try:
            self._publisher.send_all(session, encoded, lambda frame: self._take(session, frame))
        except Unavailable as error:
            self._reset(died=isinstance(error, BrokerError))
            raise

    def give_back(self, delivery: Delivery) -> None:
        """Keep the message in its place among those received ahead."""
        if delivery.broadcast:
            self._heard.appendleft(delivery)
        elif delivery.tag in self._held and not self._held[delivery.tag].committed:
            heapq.heappush(self._ready, (delivery.tag, delivery))
            self._stirred = time.monotonic()

    def close(self) -> None:
        """Wait for the last confirmations, a little; then everything goes back to its place.

        Raises Unavailable if one of them does not come: that message comes again.
        """
        session, self._session = self._session, None
        error = None
        if session is not None:
            error = self._settle(session)
            self._undo()
            session.close()
        self._forget()
        if error is not None:
            raise error

    def _settle(self, session: Session) -> Unavailable | None:
        """Wait a little for what was sent to be confirmed; return why it is not, if so."""
        deadline = time.monotonic() + _FAREWELL
        try:
            while self._awaited and (left := deadline - time.monotonic()) > 0:
                self._take(session, session.next(left))
        except Unavailable as error:
            return error
        if self._awaited:
            return Unavailable(f"{self._settings.shown}: it does not confirm what was sent")
        return None

    def _connected(self) -> Session:
        oldest = min((held.arrived for held in self._held.values()), default=0.0)
        if self._session is not None and oldest and time.monotonic() - oldest > _LONGEST:
            # Others may be able to handle what we could not for minutes; but not once more
            # what we have just handled.
            self._settle(self._session)
            self._reset(died=False)
            raise Unavailable(f"{self._settings.shown}: messages in hand for too long")
        if self._session is None:
            self._session = self._subscribed()
            self._stirred = time.monotonic()
        return self._session

    def _subscribed(self) -> Session:
        """Return a new session with all subscriptions.

        A refusal costs the connection: if a queue may have another name, all is done again.
        """
        while True:
            session = open_session(self._settings)
            try:
                if self._subscribe_all(session):
                    return session
            except BaseException:
                session.drop()
                self._forget()
                raise
            self._forget()

    def _subscribe_all(self, session: Session) -> bool:
        for number, topic in enumerate(self._topics):
            destination = self._publisher.destination(Topic(topic), session.dialect) or ""
            headers = {"id": f"topic-{number}", "ack": "auto", "destination": destination}
            self._absorb(session, session.confirm("SUBSCRIBE", headers))
        return self._subscribe(session, DELAYED, _LATER, WINDOW) and self._subscribe(
            session, self._queue, _MAIN, self._room
        )

    def _subscribe(self, session: Session, queue: str, name: str, window: int) -> bool:
        """Subscribe to a queue; return False if it has another name, known from now on."""
        form = self._publisher.form(queue, session.dialect)
        headers = subscription(session.dialect, name, window)
        headers["destination"] = form.format(self._settings.named(queue))
        try:
            early = session.confirm("SUBSCRIBE", headers)
        except BrokerError as error:
            if self._publisher.refused(queue, form, session.dialect, error):
                return False
            raise
        self._publisher.learn(queue, form)
        self._absorb(session, early)
        return True

    def _widen(self, session: Session) -> None:
        """Ask for more if all that we may have is in our caller's hand, kept for later.

        What stands behind it would never come else. On ActiveMQ, messages of several
        subscriptions do not come back in their order.
        """
        if len(self._held) < self._room or session.dialect.prefetch is None:
            return
        kept = sum(1 for held in self._held.values() if not (held.later or held.committed))
        if kept >= self._room:
            more = min(self._room, MOST)
            self._subscribe(session, self._queue, f"{_MAIN}-{self._room}", more)
            self._room += more
            self._stirred = time.monotonic()

    def _absorb(self, session: Session, early: list[Any]) -> None:
        for frame in early:
            self._take(session, frame)

    def _pump(self, session: Session) -> None:
        """Take in what has arrived, and send on what has come due."""
        while (frame := session.next(0)) is not None:
            self._take(session, frame)
        while (due := self._waiting.due()) is not None:
            number, message = due
            self._commit(session, number, [self._publisher.encoded(message)])

    def _wait(self, session: Session, deadline: float | None) -> None:
        """Wait for a frame, but not beyond the deadline, a glance, or what comes due."""
        seconds = min(1.0, max(0.0, self._waiting.next_at() - time.time()))
        if deadline is None:
            seconds = min(seconds, max(0.01, self._settings.idle / 10))
        else:
            seconds = min(seconds, deadline - time.monotonic())
        if (frame := session.next(max(0.0, seconds))) is not None:
            self._take(session, frame)

    def _take(self, session: Session, frame: Any) -> None:
        if frame is None:
            return
        if frame.cmd == "RECEIPT":
            self._confirmed(session, frame.headers.get("receipt-id", ""))
            return
        if frame.cmd != "MESSAGE":
            return
        self._count += 1
        self._stirred = time.monotonic()
        name = frame.headers.get("subscription", "")
        if name.startswith("topic-"):
            topic = Topic(self._topics[int(name.removeprefix("topic-"))])
            message, fault = frames.message_of(frame, topic)
            place = f"message {self._count}"
            self._heard.append(Delivery(message, place, True, fault=fault, tag=self._count))
            return
        message, fault = frames.message_of(frame, Queue(self._queue))
        is_later = name == _LATER
        # Only for a service: whoever takes messages by hand wants them all.
        if not is_later and self._attempts.counts and self._done.repeated(message):
            session.send("ACK", {"id": frame.headers["ack"]})
            return
        came_back = frames.is_redelivered(frame.headers)
        held = _Held(frame.headers["ack"], message.identity, self._stirred, came_back, is_later)
        self._held[self._count] = held
        if is_later:
            self._waiting.add(self._count, message)
        else:
            place = f"message {self._count}"
            delivery = Delivery(message, place, fault=fault, tag=self._count)
            heapq.heappush(self._ready, (self._count, delivery))

    def _next_ready(self) -> Delivery | None:
        if self._heard:
            return self._heard.popleft()
        if not self._ready or (self._awaited and self._held[self._ready[0][0]].came_back):
            # If this one kills us, those before it are not to blame: they must have ended.
            return None
        _, delivery = heapq.heappop(self._ready)
        held = self._held[delivery.tag]
        self._stirred = time.monotonic()
        if held.came_back and not held.begun:
            held.begun = True
            attempts = self._attempts.begin(held.identity)
            delivery = Delivery(
                delivery.message,
                delivery.place,
                fault=delivery.fault,
                tag=delivery.tag,
                attempts=attempts,
            )
        return delivery

    def _is_drained(self, session: Session, now: float) -> bool:
        """Tell whether the queue is empty, as far as the broker lets one know."""
        if self._awaited or now - self._stirred < self._settings.idle:
            return False
        # It answers, so it is not just late; what came before its answer counts.
        self._absorb(session, session.confirm("BEGIN", {"transaction": (name := "probe")}))
        session.send("ABORT", {"transaction": name})
        return not (self._ready or self._heard)

    def _commit(self, session: Session, tag: int, encoded: Sequence[Encoded]) -> None:
        held = self._held.get(tag)
        if held is not None:
            held.committed = True
            held.results = tuple(Result.of(one) for one in encoded)
        if session.dialect.transactions and held is not None and encoded:
            self._transact(session, tag, held, encoded)
            return
        receipts = set()
        for one in encoded:
            receipt = session.receipt()
            if self._publisher.send(session, one, {"receipt": receipt}):
                receipts.add(receipt)
        if held is None:
            return
        held.receipts = receipts
        for receipt in receipts:
            self._awaited[receipt] = tag
        if not receipts:
            self._acknowledge(session, tag)

    def _transact(
        self, session: Session, tag: int, held: _Held, encoded: Sequence[Encoded]
    ) -> None:
        name, receipt = session.receipt(), session.receipt()
        transaction = {"transaction": name}
        session.send("BEGIN", transaction)
        for one in encoded:
            self._publisher.send(session, one, transaction)
        session.send("ACK", {"id": held.ack, **transaction})
        session.send("COMMIT", {**transaction, "receipt": receipt})
        held.ack = ""
        held.receipts = {receipt}
        self._awaited[receipt] = tag

    def _confirmed(self, session: Session, receipt: str) -> None:
        tag = self._awaited.pop(receipt, None)
        if tag is None:
            return
        held = self._held[tag]
        held.receipts.discard(receipt)
        if not held.receipts:
            self._acknowledge(session, tag)

    def _acknowledge(self, session: Session, tag: int) -> None:
        held = self._held.pop(tag)
        self._done.add(held.identity, held.results)
        if held.ack:
            session.send("ACK", {"id": held.ack})
        if held.begun:
            self._attempts.end(held.identity)
        self._stirred = time.monotonic()

    def _reset(self, died: bool) -> None:
        """Give up the connection: what is not acknowledged comes again.

        :param died: an ERROR frame came: what we were sending may be to blame, and counts.
        """
        if not died:
            self._undo()
        if self._session is not None:
            self._session.drop()
        self._session = None
        self._forget()

    def _undo(self) -> None:
        for held in self._held.values():
            if held.begun:
                self._attempts.undo(held.identity)
