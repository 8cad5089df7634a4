"""``queue-put``: send lines to the broker."""

from __future__ import annotations

from typing import Any

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command

EXAMPLES = """\
dlstbx.go --stdout -r mimas -s event=end 993677 | queue-put
queue-get --peek mimas | jq -c '.queue = "mimas.test"' | queue-put"""


@command("queue-put", EXAMPLES)
@options.broker
def main_command(run: Run, broker: str | None) -> int:
    """Send the lines of standard input to the broker.

    Each line goes to the queue or topic that it is addressed to, and is confirmed by the
    broker before the next is read. A line that is not a message goes to dlq.queue-put.
    """
    from contextlib import ExitStack, closing

    from dlstbx_cli.commands.serving import lines
    from dlstbx_cli.transport.broker import connect
    from dlstbx_cli.transport.driver import Way, exit_code
    from dlstbx_cli.transport.driver import run as drive
    from dlstbx_cli.transport.pipe import EVERYTHING, Pipe
    from dlstbx_cli.transport.stop import Stop

    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        link = stack.enter_context(closing(connect(options.broker_url(run, broker))))
        pipe = Pipe(EVERYTHING, (), lines(run), emit=link.send)
        tally = drive(_Sending(), stack.enter_context(closing(pipe)), Way.FILTER, stop)
    if tally.unavailable:
        run.say(tally.unavailable)
    return exit_code(tally)


main = main_command.main


class _Sending:
    """The service of a command that handles every message by sending it as it is."""

    name = queue = "queue-put"
    topics = ()

    def handle(self, message: Any) -> list[Any]:
        return [message.with_headers({"dlstbx-id": message.identity})]

    def observe(self, message: Any) -> None:
        """Listen to no topic."""
