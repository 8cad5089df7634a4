"""The filter's link: lines in, lines out, and whatever is not ours passed through untouched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from dlstbx_cli.services.errors import Rejected, Unavailable
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.envelope import from_record, load, render, salvage
from dlstbx_cli.transport.lines import Output, source
from dlstbx_cli.transport.link import Delivery, OutputClosed

Emit = Callable[[Sequence[Message]], None]
PassOn = Callable[[bytes], None]
Adopt = Callable[[dict[str, Any]], Message | None]

#: In place of a queue: every line is for the service, whatever it is addressed to.
EVERYTHING = ""


class Pipe:
    """The lines of a stream, or messages made from a command's arguments.

    :param queue: lines addressed to this queue are the service's, or EVERYTHING.
    :param topics: lines addressed to these topics are broadcasts to it.
    :param lines: a binary stream, or anything that gives lines or messages.
    :param emit: where results go, all or none: by default to standard output; with
        ``--send`` to a broker.
    :param pass_on: where other lines go, byte for byte.
    :param adopt: makes a message of an object that is no envelope, or None of one it
        does not know. Raises Rejected.

    Blank lines are skipped: an editor's last empty line is no message.
    """

    def __init__(
        self,
        queue: str,
        topics: Sequence[str],
        lines: Iterable[bytes | Message],
        *,
        emit: Emit | None = None,
        pass_on: PassOn | None = None,
        adopt: Adopt | None = None,
    ) -> None:
        self._queue = queue
        self._topics = frozenset(topics)
        self._source = source(lines)
        output = None if emit and pass_on else Output()
        self._emit: Emit = emit or output.emit  # type: ignore[union-attr]
        self._pass_on: PassOn = pass_on or output.write  # type: ignore[union-attr]
        self._adopt = adopt
        self._count = 0

    def receive(self, timeout: float | None) -> Delivery | None:
        """Return the next line that is for the service, see :class:`Link`."""
        item = self._source.read(timeout)
        if item is None:
            return None
        self._count += 1
        if isinstance(item, Message):
            return self._sort(item, f"message {self._count}", None)
        if item.isspace():
            return None
        place = f"line {self._count}"
        try:
            message = self._parse(item)
        except Rejected as error:
            rest = salvage(item, self._queue)
            return Delivery(rest, place, raw=item, fault=str(error))
        return self._sort(message, place, item)

    def commit(self, delivery: Delivery, results: Sequence[Message]) -> None:  # noqa: ARG002
        """Send the results; they stand in the place of the line."""
        self._emit(results)

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages of the service's own accord."""
        self._emit(messages)

    def give_back(self, delivery: Delivery) -> None:
        """Pass the line on as it came."""
        self._pass_on(render(delivery.message) if delivery.raw is None else delivery.raw)

    def close(self) -> None:
        """Pass on what was read ahead: a filter that is stopped swallows nothing."""
        with suppress(OutputClosed, Unavailable):
            for line in self._source.rest():
                self._pass_on(line)

    def _parse(self, line: bytes) -> Message:
        record = load(line)
        if self._adopt and isinstance(record, dict) and not record.keys() & {"queue", "topic"}:
            adopted = self._adopt(record)
            if adopted is not None:
                return adopted
        return from_record(record)

    def _sort(self, message: Message, place: str, raw: bytes | None) -> Delivery | None:
        name, is_queue = message.destination.name, isinstance(message.destination, Queue)
        everything = self._queue == EVERYTHING
        delivery = Delivery(message, place, not (is_queue or everything), raw)
        if everything or (name == self._queue if is_queue else name in self._topics):
            return delivery
        self.give_back(delivery)
        return None
