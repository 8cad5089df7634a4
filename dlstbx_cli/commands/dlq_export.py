"""``dlq-export``: print dead letters as lines, and leave them where they are."""

from __future__ import annotations

from dlstbx_cli.commands import letters, options
from dlstbx_cli.commands.base import Run, command

EXAMPLES = """\
dlq-export > letters.jsonl
dlq-export --queue mimas | jq .message.recipe"""


@command("dlq-export", EXAMPLES)
@letters.queue
@options.broker
def main_command(run: Run, queue: str | None, broker: str | None) -> int:
    """Print all dead letters as lines, for a file, and leave them where they are."""
    from contextlib import closing, suppress

    from dlstbx_cli.transport.broker import connect
    from dlstbx_cli.transport.letters import look
    from dlstbx_cli.transport.lines import Output
    from dlstbx_cli.transport.link import OutputClosed

    output = Output()
    with closing(connect(options.broker_url(run, broker))) as link, suppress(OutputClosed):
        for letter in look(link, queue):
            output.emit([letters.as_line(letter)])
    return 0


main = main_command.main
