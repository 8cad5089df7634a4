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
    from dlstbx_cli.commands.trees import print_table

    rows = [
        (state.name, state.ready, state.in_hand, state.delayed, _age(state.oldest))
        for state in states
    ]
    print_table(["queue", "ready", "in hand", "delayed", "oldest"], rows)


def _age(sent: float | None) -> str | None:
    """Return how long ago something was, in two units at most."""
    if sent is None:
        return None
    seconds = max(0, int(time.time() - sent))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
