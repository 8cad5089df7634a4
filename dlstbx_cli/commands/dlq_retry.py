"""``dlq-retry``: send dead letters back to where they came from."""

from __future__ import annotations

from dlstbx_cli.commands import letters
from dlstbx_cli.commands.base import Run, command

EXAMPLES = """\
dlq-retry 5b1f7a52
dlq-retry --reason 'no recipe' --queue processing_recipe
dlq-retry --all"""


@command("dlq-retry", EXAMPLES)
@letters.selection
def main_command(
    run: Run,
    ids: tuple[str, ...],
    reason: str | None,
    everything: bool,
    queue: str | None,
    broker: str | None,
) -> int:
    """Send dead letters back to the queue that they came from.

    They keep their identity, so that what had been done for them is not done twice; a
    deadline that is over begins anew.
    """
    chosen = letters.selected(ids, reason, everything)
    return letters.take_out(
        run, broker, queue, chosen, lambda letter: [letter.revived()], "sent back"
    )


main = main_command.main
