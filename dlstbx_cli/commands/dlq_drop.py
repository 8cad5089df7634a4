"""``dlq-drop``: take dead letters off the broker."""

from __future__ import annotations

from dlstbx_cli.commands import letters
from dlstbx_cli.commands.base import Run, command
from dlstbx_cli.services.dead_letters import DeadLetter
from dlstbx_cli.services.message import Message

EXAMPLES = """\
dlq-drop 5b1f7a52 > letter.jsonl
dlq-drop --reason 'DCID 404' >> dropped.jsonl
dlq-drop --all > letters.jsonl"""


@command("dlq-drop", EXAMPLES)
@letters.selection
def main_command(
    run: Run,
    ids: tuple[str, ...],
    reason: str | None,
    everything: bool,
    queue: str | None,
    broker: str | None,
) -> int:
    """Take dead letters off the broker for good, and print them as lines.

    Each is taken off once its line is written: what is printed can be put back with
    queue-put.
    """
    from dlstbx_cli.transport.lines import Output
    from dlstbx_cli.transport.link import OutputClosed

    output = Output()

    def write(letter: DeadLetter) -> list[Message]:
        output.emit([letters.as_line(letter)])
        return []

    chosen = letters.selected(ids, reason, everything)
    try:
        return letters.take_out(run, broker, queue, chosen, write, "dropped")
    except OutputClosed:
        return 0  # what was not written is still there


main = main_command.main
