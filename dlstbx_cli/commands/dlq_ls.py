"""``dlq-ls``: which messages could not be handled, and why."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from dlstbx_cli.commands import letters, options
from dlstbx_cli.commands.base import Run, command

EXAMPLES = """\
dlq-ls
dlq-ls --queue mimas
dlq-ls | jq -r .reason | sort | uniq -c | sort -rn"""


@command("dlq-ls", EXAMPLES)
@options.table
@letters.queue
@options.broker
def main_command(run: Run, table: bool, queue: str | None, broker: str | None) -> int:
    """List the dead letters: the messages that could not be handled, and why.

    At a terminal as a table, on a pipe as JSON Lines: id, queue, reason, rejected_by,
    rejected_at (seconds since the epoch), dcid, recipe, recipe_id, attempts.
    """
    from contextlib import closing

    from dlstbx_cli.transport.broker import connect
    from dlstbx_cli.transport.letters import look

    with closing(connect(options.broker_url(run, broker))) as link:
        found = list(look(link, queue))
    if table or sys.stdout.isatty():
        _print(found)
    else:
        for letter in found:
            click.echo(json.dumps(letters.fields(letter)))
    return 0


main = main_command.main


def _print(found: list[Any]) -> None:
    from dlstbx_cli.commands.trees import age, print_table

    rows = []
    for letter in found:
        listed = letters.fields(letter)
        rows.append(
            (
                listed["id"][:8],
                letter.queue,
                age(letter.age()),
                listed["dcid"],
                listed["recipe"],
                letter.attempts,
                letter.reason,
            )
        )
    print_table(["id", "queue", "age", "DCID", "recipe", "attempts", "reason"], rows)
