"""``queue-ls``: what is in the broker's queues."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command

EXAMPLES = """\
queue-ls
queue-ls | jq -r 'select(.queue | startswith("dlq.")) | .queue'"""


@command("queue-ls", EXAMPLES)
@options.table
@options.broker
def main_command(run: Run, table: bool, broker: str | None) -> int:
    """List the broker's queues that are not empty.

    At a terminal as a table, on a pipe as JSON Lines: queue, ready (waiting to be taken),
    in_hand (taken, not finished), delayed (not due yet), oldest (when the oldest was
    sent, seconds since the epoch).
    """
    from contextlib import closing

    from dlstbx_cli.transport.broker import connect

    with closing(connect(options.broker_url(run, broker))) as link:
        states = link.states()
    if table or sys.stdout.isatty():
        _table(states)
    else:
        for state in states:
            record = asdict(state)
            click.echo(json.dumps({"queue": record.pop("name"), **record}))
    return 0


main = main_command.main


def _table(states: list[Any]) -> None:
    from dlstbx_cli.commands.trees import age, print_table

    now = time.time()
    rows = [
        (
            state.name,
            state.ready,
            state.in_hand,
            state.delayed,
            None if state.oldest is None else age(now - state.oldest),
        )
        for state in states
    ]
    print_table(["queue", "ready", "in hand", "delayed", "oldest"], rows)
