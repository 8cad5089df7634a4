"""``backlog-cancel``: held jobs that are not to run."""

from __future__ import annotations

from typing import Any

import click

from dlstbx_cli.commands import backlogs, options
from dlstbx_cli.commands.base import DONE, REJECTED, Run, command, counted, user_name

EXAMPLES = """\
backlog-cancel 17 --reason 'the crystal was the wrong one'
backlog-cancel --visit mx37124-8 --dry-run --reason 'not needed'
backlog-cancel --all --reason 'planned shutdown'"""

#: Jobs that are cancelled in one transaction: nobody else waits long.
_AT_ONCE = 500


@command("backlog-cancel", EXAMPLES)
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the history.")
@click.option("--dry-run", is_flag=True, help="Cancel nothing, say how many it would be.")
@click.option("--all", "everything", is_flag=True, help="All jobs that are held.")
@backlogs.filters
@options.state
@click.argument("ids", nargs=-1, metavar="[ID]...")
def main_command(
    run: Run,
    ids: tuple[str, ...],
    reason: str,
    dry_run: bool,
    everything: bool,
    state: str | None,
    **filters: Any,
) -> int:
    """Cancel held jobs: they are not released any more.

    Those with the IDs of backlog-ls, all that the filters leave, or --all. The jobs stay
    in ISPyB, and in the history with the user and the reason. An ID of no held job is
    said.
    """
    from dlstbx_cli.database.held_lists import Wanted
    from dlstbx_cli.database.held_tables import HELD

    narrowed = any(value is not None for value in filters.values())
    if bool(ids) + narrowed + everything != 1:
        raise click.UsageError("Which ones? Give IDs, or filters such as --visit, or --all.")
    why = backlogs.words(reason, "--reason", backlogs.REASON)
    given = backlogs.numbers(ids)
    store = backlogs.store(run, state)
    numbers = store.numbers(Wanted([HELD], **filters))
    if given:
        held = set(numbers)
        numbers = [number for number in given if number in held]
    if dry_run:
        run.say(f"would cancel {counted(len(numbers))} (--dry-run)")
        done = set(numbers)
    else:
        done = _cancel(store, numbers, why)
        run.say(f"cancelled {counted(len(done))}")
    left = [str(number) for number in given if number not in done]
    if left:
        run.say(f"not held: {', '.join(left)} (see backlog-show)")
    return REJECTED if left or not (done or everything) else DONE


main = main_command.main


def _cancel(store: Any, numbers: list[int], reason: str) -> set[int]:
    owner = user_name()[: backlogs.NAME]
    done: set[int] = set()
    for start in range(0, len(numbers), _AT_ONCE):
        done.update(store.cancel(numbers[start : start + _AT_ONCE], owner, reason))
    return done
