"""Finding messages on a broker by what they are about: those that wait, and dead letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from dlstbx_cli.services.dead_letters import DeadLetter
from dlstbx_cli.services.message import DLQ, Message
from dlstbx_cli.services.tracing import Event, Named, named_in, recipe_in, request_of
from dlstbx_cli.transport import pickup
from dlstbx_cli.transport.letters import look
from dlstbx_cli.transport.link import Broker

#: Messages of one queue that are looked at: it is to take no minutes.
MOST = 10_000
#: Where requests wait that are not due; not every broker can say in which queue those are.
_DELAYED = "processing_recipe"


def dead(broker: Broker, wanted: Callable[[Named], bool]) -> Iterator[Event]:
    """Yield the dead letters that are wanted, as events. Raises Unavailable."""
    for letter in look(broker, None):
        named = named_in(letter.message)
        if wanted(named):
            yield _event(letter.message, named, "dead", letter)


def waiting(
    broker: Broker, wanted: Callable[[Named], bool], most: int = MOST
) -> tuple[list[Event], list[str]]:
    """Return the messages that are wanted of those that wait, as events; none is taken.

    :param most: of a queue that has more messages, the first of them are looked at.

    The second result names the queues that have more. Only for a broker that ``browses``:
    on another, a look would keep messages from those who work on them. Raises Unavailable.
    """
    states = broker.states()
    names = {state.name for state in states if not state.name.startswith(DLQ)}
    if any(state.delayed for state in states):
        names.add(_DELAYED)
    found, longer = [], []
    for queue in sorted(names):
        messages = broker.peek(queue, most + 1)
        for place, message in enumerate(messages[:most]):
            named = named_in(message)
            if wanted(named):
                found.append(_waits(message, named, queue, place))
        if len(messages) > most:
            longer.append(queue)
    return found, longer


def stored(directory: Path, wanted: Callable[[Named], bool]) -> Iterator[Event]:
    """Yield the stored triggers that are wanted, as events. Raises Unavailable."""
    for written, message in pickup.look(directory):
        named = named_in(message)
        if wanted(named):
            event = _event(message, named, "stored", None, f"in {directory}, not sent yet")
            yield replace(event, source="drop-dir", time=written)


def _waits(message: Message, named: Named, queue: str, place: int) -> Event:
    if message.delay:
        text = f"in {queue}, due in {message.delay:.0f} s"
    else:
        text = f"in {queue}, {place or 'none'} before it"
    return _event(message, named, "waiting", None, text, queue)


def _event(
    message: Message,
    named: Named,
    stage: str,
    letter: DeadLetter | None,
    text: str = "",
    queue: str | None = None,
) -> Event:
    if letter:
        queue = letter.queue
        text = f"in {queue}, rejected by {letter.rejected_by or 'somebody'}"
    return Event(
        stage=stage,
        source="broker",
        text=text,
        time=letter.rejected_at if letter else None,
        dcid=min(named.dcids, default=None),
        job=min(named.jobs, default=None),
        recipe=recipe_in(message),
        guid=request_of(message),
        ident=message.identity,
        queue=queue,
        reason=letter.reason if letter else None,
    )
