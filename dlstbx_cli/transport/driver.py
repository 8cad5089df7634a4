"""The one loop behind the filter, ``--once`` and ``--listen``.

::

    receive ─► service ─► results ─► one transaction: send results, acknowledge
                   │ Rejected ─► dead letter ┘
                   │ surroundings failed ─► leave it where it was, wait, try again
"""

from __future__ import annotations

import enum
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace

from dlstbx_cli.services.errors import (
    Misconfigured,
    NoRoom,
    NotReady,
    Rejected,
    Stuck,
    Unavailable,
)
from dlstbx_cli.services.message import ATTEMPT_HEADER, ID_HEADER, Message, dead_letter
from dlstbx_cli.services.meter import UNMETERED, Meter
from dlstbx_cli.services.service import Departure, Initiative, Service
from dlstbx_cli.services.trace import about
from dlstbx_cli.transport.link import Delivery, EndOfInput, Link, OutputClosed
from dlstbx_cli.transport.stop import Stop

logger = logging.getLogger("dlstbx_cli")

#: Seconds a receive may take before the loop looks whether it is to stop.
_GLANCE = 0.1
#: Deliveries of a message that keeps killing its consumer.
MAX_ATTEMPTS = 5
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
#: Seconds until a listener looks again at a message whose own surroundings hang.
_UNSTICK = 10.0
#: Errors that say whose fault it is; any other one is a bug.
_KNOWN = (Rejected, Unavailable, Misconfigured, NotReady, NoRoom, OutputClosed)


class Way(enum.Enum):
    """The three ways to run a command."""

    FILTER = "filter"
    ONCE = "once"
    LISTEN = "listen"


@dataclass(slots=True)
class Tally:
    """What a run did.

    :param handled: messages whose results have been sent; broadcasts do not count.
    :param rejected: dead letters, and broadcasts that made no sense.
    :param kept: messages left in their place because there was no room for them.
    :param unavailable: what was not available, if that ended the run.
    """

    handled: int = 0
    rejected: int = 0
    kept: int = 0
    unavailable: str | None = None


def exit_code(tally: Tally) -> int:
    """Return the exit code of a run: 75 not available, 1 some input rejected, 0 done."""
    if tally.unavailable is not None:
        return 75
    return 1 if tally.rejected else 0


def run(
    service: Service,
    link: Link,
    way: Way,
    stop: Stop,
    max_attempts: int = MAX_ATTEMPTS,
    meter: Meter = UNMETERED,
) -> Tally:
    """Give a service the messages of a link until there are no more, or *stop* says so.

    :param way: FILTER runs to the end of the input, ONCE until the queue is empty, LISTEN
        until it is stopped.
    :param max_attempts: deliveries of a message that ends its consumer each time; after
        these it is a dead letter.
    :param meter: told of everything as it happens.

    The link stays open. Raises Misconfigured if the service or the broker does; all
    messages are then where they were (a filter has passed them on).
    """
    return _Run(service, link, way, stop, max_attempts, meter).run()


class _Run:
    """One run: the messages in hand, and the one place where each of them ends."""

    def __init__(
        self,
        service: Service,
        link: Link,
        way: Way,
        stop: Stop,
        max_attempts: int,
        meter: Meter,
    ) -> None:
        self._service = service
        self._initiative = service if isinstance(service, Initiative) else None
        self._initiated = time.monotonic()
        self._link = link
        self._way = way
        self._stop = stop
        self._max_attempts = max_attempts
        self._meter = meter
        self._tally = Tally()
        self._in_hand: Delivery | None = None
        self._kept: list[Delivery] = []
        self._again: deque[Delivery] = deque()
        self._wait = _FIRST_WAIT
        self._trouble: Unavailable | Misconfigured | None = None

    def run(self) -> Tally:
        try:
            with suppress(EndOfInput, OutputClosed):
                while not self._stop.requested and self._step():
                    pass
        finally:
            if self._way is not Way.FILTER:
                self._tally.kept = len(self._kept) + len(self._again)
            self._give_back_all()
        if isinstance(self._trouble, Misconfigured):
            raise self._trouble
        if self._trouble is not None:
            self._tally.unavailable = str(self._trouble)
        return self._tally

    def _step(self) -> bool:
        """Take one message, if there is one; return whether to go on."""
        try:
            self._in_hand = self._next()
            if self._in_hand is None:
                return self._initiate() or self._way is not Way.ONCE or self._expects()
            self._take(self._in_hand)
            self._in_hand = None
            # Messages that keep coming must not keep the service from its own.
            if time.monotonic() - self._initiated > _GLANCE:
                self._initiate()
        except (Unavailable, Misconfigured) as error:
            return self._fail(error)
        return True

    def _initiate(self) -> bool:
        """Send what the service sends of its own accord; return whether there was any."""
        if self._initiative is None:
            return False
        self._initiated = time.monotonic()
        departures = self._initiative.due()
        with self._initiative.sending():
            self._depart_all(departures)
        self._initiative.sent()
        return bool(departures)

    def _depart_all(self, departures: Sequence[Departure]) -> None:
        sound = [one for one in departures if one.fault is None]
        try:
            with _blame():
                self._depart(*sound)
        except Rejected:
            # What the broker does not take is not to keep the others.
            for one in sound:
                try:
                    with _blame():
                        self._depart(one)
                except Rejected as error:
                    self._refuse(one, str(error))
        for one in departures:
            if one.fault is not None:
                self._refuse(one, one.fault)

    def _depart(self, *departures: Departure) -> None:
        if messages := [message for one in departures for message in one.messages]:
            self._link.send(messages)
            self._tally.handled += len(departures)
            self._meter.departed(len(departures))

    def _refuse(self, departure: Departure, reason: str) -> None:
        service = self._service
        letter = dead_letter(departure.origin, service.queue, reason, service.name, time.time())
        self._link.send([letter])
        delivery = Delivery(departure.origin, "a message due")
        with self._about(delivery):
            self._say_rejected(delivery, reason)

    def _expects(self) -> bool:
        expects = self._initiative is not None and self._initiative.expects()
        if expects:
            self._stop.wait(_GLANCE)
        return expects

    def _next(self) -> Delivery | None:
        if self._again:
            return self._again.popleft()
        return self._link.receive(0 if self._way is Way.ONCE else _GLANCE)

    def _take(self, delivery: Delivery) -> None:
        with self._about(delivery):
            if self._trouble is not None:
                self._link.give_back(delivery)
            elif delivery.broadcast:
                self._observe(delivery)
            else:
                begin = time.monotonic()
                if self._handle(delivery):
                    self._meter.took(time.monotonic() - begin)

    def _observe(self, delivery: Delivery) -> None:
        try:
            with _blame():
                _parsed(delivery)
                self._service.observe(delivery.message)
        except Rejected as error:
            self._say_rejected(delivery, str(error))
        if self._way is Way.FILTER:
            self._link.give_back(delivery)  # a topic is for everyone
        else:
            self._link.commit(delivery, [])
        self._again.extend(self._kept)
        self._kept.clear()

    def _handle(self, delivery: Delivery) -> bool:
        """Do what is to be done with a message; return whether that has ended it."""
        try:
            with _blame():
                message = self._bearable(delivery)
                results = self._results(message)
                self._link.commit(delivery, results)
        except Rejected as error:
            self._reject(delivery, str(error))
        except NotReady as error:
            self._postpone(delivery, error)
            return False
        except Stuck as error:
            self._set_aside(delivery, error)
            return False
        except NoRoom:
            self._keep(delivery)
            return False
        else:
            self._tally.handled += 1
            self._meter.handled()
            self._wait = _FIRST_WAIT
            if logger.isEnabledFor(logging.INFO):
                logger.info(
                    "%s: %d results",
                    delivery.place,
                    len(results),
                    extra={"action": "handle"},
                )
        return True

    def _bearable(self, delivery: Delivery) -> Message:
        if delivery.attempts > self._max_attempts:
            raise Rejected(f"it has ended its consumer {delivery.attempts - 1} times")
        return _parsed(delivery)

    def _results(self, message: Message) -> list[Message]:
        results = self._service.handle(message)
        if not results:
            return []
        identity = message.identity
        return [result.child(identity, place) for place, result in enumerate(results)]

    def _reject(self, delivery: Delivery, reason: str) -> None:
        letter = dead_letter(
            delivery.message, self._service.queue, reason, self._service.name, time.time()
        )
        if delivery.attempts > 1:
            letter = letter.with_headers({ATTEMPT_HEADER: str(delivery.attempts - 1)})
        self._link.commit(delivery, [letter])
        self._say_rejected(delivery, reason)

    def _say_rejected(self, delivery: Delivery, reason: str) -> None:
        self._tally.rejected += 1
        self._meter.rejected()
        reason = " ".join(reason.split())
        logger.error("%s: %s", delivery.place, reason, extra={"action": "reject"})

    def _postpone(self, delivery: Delivery, later: NotReady) -> None:
        message = later.message.with_headers({ID_HEADER: delivery.message.identity})
        if self._way is not Way.FILTER:
            self._link.commit(delivery, [replace(message, delay=later.seconds)])
        elif self._stop.wait(later.seconds):
            self._link.give_back(delivery)
        else:
            self._again.append(replace(delivery, message=message))

    def _set_aside(self, delivery: Delivery, error: Stuck) -> None:
        # Only a listener is there to look again: for the others it is a failure.
        if self._way is not Way.LISTEN:
            raise error
        text = "%s: %s; looked at again in %g s"
        logger.warning(text, delivery.place, error, _UNSTICK, extra={"action": "set aside"})
        self._postpone(delivery, NotReady(delivery.message, _UNSTICK))

    def _keep(self, delivery: Delivery) -> None:
        if self._way is Way.FILTER:
            self._link.give_back(delivery)
            self._tally.kept += 1
        else:
            self._kept.append(delivery)

    def _fail(self, error: Unavailable | Misconfigured) -> bool:
        """Leave everything where it was; return whether to go on."""
        with self._about(self._in_hand):
            return self._failed(error)

    def _failed(self, error: Unavailable | Misconfigured) -> bool:
        self._give_back_all()
        self._meter.failed()
        if self._way is Way.LISTEN and isinstance(error, Unavailable):
            text = "%s; trying again in %g s"
            logger.warning(text, error, self._wait, extra={"action": "wait"})
            self._stop.wait(self._wait)
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            return True
        first = self._trouble is None
        if first:
            self._trouble = error
        # A filter passes on the lines that follow; if even that fails, it ends.
        return first and self._way is Way.FILTER

    def _give_back_all(self) -> None:
        in_hand = [self._in_hand] if self._in_hand is not None else []
        for delivery in [*self._kept, *in_hand, *self._again]:
            with suppress(Unavailable, Misconfigured, OutputClosed):
                self._link.give_back(delivery)
        self._in_hand = None
        self._kept.clear()
        self._again.clear()

    def _about(self, delivery: Delivery | None) -> AbstractContextManager[None]:
        """Make what is logged be about a message, wherever in the program that is."""
        queue = self._service.queue
        if delivery is None:
            return about(None, queue=queue)
        return about(delivery.message, queue=queue, place=delivery.place)


def _parsed(delivery: Delivery) -> Message:
    if delivery.fault is not None:
        raise Rejected(delivery.fault)
    return delivery.message


@contextmanager
def _blame() -> Iterator[None]:
    """Make a bug the fault of the message that shows it: a bug must not stop the queue."""
    try:
        yield
    except _KNOWN:
        raise
    except RecursionError:
        raise Rejected("nested too deeply") from None
    except Exception as error:
        logger.debug("internal error", exc_info=True)
        raise Rejected(f"internal error: {type(error).__name__}: {error}") from error
