"""``dlq-show``: a dead letter, whole."""

from __future__ import annotations

import click

from dlstbx_cli.commands import letters, options
from dlstbx_cli.commands.base import DONE, REJECTED, Run, command
from dlstbx_cli.services.dead_letters import Selection

EXAMPLES = """\
dlq-show 5b1f7a52
dlq-show 5b1f7a52 | jq .message.parameters"""


@command("dlq-show", EXAMPLES)
@letters.queue
@options.broker
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def main_command(run: Run, ids: tuple[str, ...], queue: str | None, broker: str | None) -> int:
    """Print dead letters whole: reason, headers and message.

    An ID is that of dlq-ls, or its beginning.
    """
    from contextlib import closing

    from dlstbx_cli.transport.broker import connect
    from dlstbx_cli.transport.letters import look

    chosen = Selection(ids)
    with closing(connect(options.broker_url(run, broker))) as link:
        found = [letter for letter in look(link, queue) if chosen.takes(letter)]
    for letter in found:
        click.echo(letters.pretty(letter))
    if not found:
        run.say(f"no dead letter has the ID {', '.join(ids)}")
    return DONE if found else REJECTED


main = main_command.main
