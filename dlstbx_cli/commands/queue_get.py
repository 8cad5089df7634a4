"""``queue-get``: take messages from the broker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command
from dlstbx_cli.services.message import Message, Queue

EXAMPLES = """\
queue-get --peek dlq.mimas | jq '.headers["dlstbx-error"]'
queue-get --max 1 demo.processing | jq
queue-get mimas.held | backlog-release --capacity slurm=5 | queue-put"""


@command("queue-get", EXAMPLES)
@click.option("--peek", is_flag=True, help="Leave the messages where they are.")
@click.option("--max", "maximum", type=click.IntRange(min=1), metavar="N", help="At most N.")
@options.broker
@click.argument("queue")
def main_command(run: Run, queue: str, peek: bool, maximum: int | None, broker: str | None) -> int:
    """Print the messages of a queue as lines, and take them off it.

    A message is taken off once its line is written. Ends when the queue is empty.
    """
    from contextlib import ExitStack, closing

    from dlstbx_cli.transport.broker import connect
    from dlstbx_cli.transport.lines import Output
    from dlstbx_cli.transport.link import OutputClosed
    from dlstbx_cli.transport.stop import Stop

    output = Output()
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        link = stack.enter_context(closing(connect(options.broker_url(run, broker))))
        try:
            if peek:
                output.emit(link.peek(queue, maximum))
            else:
                consumer = stack.enter_context(closing(link.consumer(queue)))
                _take(consumer, queue, maximum, output, stop)
        except OutputClosed:
            pass  # what was not written is still in the queue
    return 0


main = main_command.main


def _take(consumer: Any, queue: str, maximum: int | None, output: Any, stop: Any) -> None:
    taken = 0
    while not stop.requested and (maximum is None or taken < maximum):
        delivery = consumer.receive(0)
        if delivery is None:
            return
        message: Message = replace(delivery.message, destination=Queue(queue))
        output.emit([message])
        consumer.commit(delivery, [])
        taken += 1
