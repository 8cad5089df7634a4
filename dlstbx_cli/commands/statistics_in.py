"""``... | backlog-release --once``: statistics that come by standard input."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

from dlstbx_cli.commands.base import Run
from dlstbx_cli.services.message import Message
from dlstbx_cli.transport.driver import Way, exit_code
from dlstbx_cli.transport.driver import run as drive
from dlstbx_cli.transport.link import Delivery
from dlstbx_cli.transport.pipe import Pipe

if TYPE_CHECKING:
    from dlstbx_cli.services.backlog import StoredBacklog
    from dlstbx_cli.transport.stop import Stop

#: A queue that no line can name: its name is not printable.
_NOBODY = "\0"
#: Seconds after which a person is told what is waited for.
_PATIENCE = 5.0


def is_given() -> bool:
    """Tell whether standard input is a pipe or a file.

    Not so a terminal, nor what a service has instead: ``/dev/null``, a socket.
    """
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        # Closed; or somebody who runs us within Python gives a stream of his own.
        return sys.stdin is not None
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def take(run: Run, backlog: Callable[[], StoredBacklog], stop: Stop) -> int:
    """Give the backlog all statistics of standard input, pass all other lines on.

    Returns the exit code of that. Raises Misconfigured; all lines that are not taken then
    have been passed on.
    """
    reading = _Reading(run, backlog)
    with closing(_Lines(reading)) as pipe:
        tally = drive(reading, pipe, Way.FILTER, stop)
    if tally.unavailable:
        run.say(tally.unavailable)
    return exit_code(tally)


class _Reading:
    """The service that takes statistics, and nothing else."""

    name = "backlog-release"

    def __init__(self, run: Run, backlog: Callable[[], StoredBacklog]) -> None:
        from dlstbx_cli.services.backlog import StoredBacklog

        self._run = run
        self._backlog = backlog
        self._told_at: float | None = time.monotonic() + _PATIENCE
        self.queue = StoredBacklog.queue
        self.topics = StoredBacklog.topics
        self.taken: Message | None = None

    def handle(self, message: Message) -> list[Message]:  # pragma: no cover
        """Never asked: no line is addressed to it."""
        return [message]

    def observe(self, message: Message) -> None:
        """Take a statistic."""
        self._told_at = None
        self._backlog().observe(message)
        self.taken = message

    def due(self) -> list[Message]:
        """Send nothing; tell a person who has forgotten the pipe what is waited for."""
        if self._told_at is not None and time.monotonic() > self._told_at:
            self._told_at = None
            self._run.say("reading statistics from standard input (</dev/null: there are none)")
        return []

    def sending(self) -> AbstractContextManager[None]:
        """Keep nothing up."""
        return nullcontext()

    def sent(self) -> None:
        """Note nothing."""

    def expects(self) -> bool:
        """Wait for nothing but the end of the input."""
        return False


class _Lines(Pipe):
    """Standard input, of which only what was not taken is passed on."""

    def __init__(self, reading: _Reading) -> None:
        stdin: Any = sys.stdin.buffer
        super().__init__(_NOBODY, reading.topics, stdin)
        self._reading = reading

    def give_back(self, delivery: Delivery) -> None:
        """Pass a line on, unless it was a statistic that is in the store now."""
        if delivery.message is not self._reading.taken:
            super().give_back(delivery)
