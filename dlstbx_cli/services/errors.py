"""Whose fault it is: the errors of the inner rings, told apart by what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlstbx_cli.services.message import Message


class Rejected(Exception):
    """The message cannot be handled, now or ever: it becomes a dead letter.

    The text is the reason, one line, for the header ``dlstbx-error`` and for stderr.
    """


class Unavailable(Exception):
    """The surroundings failed (database, broker, file system): try again later.

    The message stays where it was. The text says what was not available, where it
    was looked for, and what to do. Exit code 75 unless the command waits and tries again.
    """


class Stuck(Unavailable):
    """What this one message needs does not answer: others can go on.

    A listener looks at the message again later, and handles the next ones meanwhile. Else
    as Unavailable.
    """


class Misconfigured(Exception):
    """The command cannot work as it is configured: exit code 78.

    The text says what is wrong, where that setting came from, and what to do.
    """


class NotReady(Exception):
    """The message is to be looked at again after some seconds.

    :param message: the message as it is to be looked at again (same identity).
    :param seconds: how long to wait before.
    """

    def __init__(self, message: Message, seconds: float) -> None:
        super().__init__(f"not ready, looked at again after {seconds:g} s")
        self.message = message
        self.seconds = seconds


class NoRoom(Exception):
    """The message keeps its place in the queue until a broadcast says that there is room."""
