"""``backlog-now``: release held jobs, whatever the cluster does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from dlstbx_cli.commands import backlogs, options
from dlstbx_cli.commands.base import DONE, REJECTED, Run, command, counted, user_name

EXAMPLES = """\
backlog-now 17
backlog-now 17 18 --reason 'the user waits for it'
backlog-ls --visit mx37124-8 | jq .id | xargs backlog-now"""


@command("backlog-now", EXAMPLES)
@click.option("--reason", metavar="TEXT", help="Why, for the history.")
@options.state
@options.broker
@backlogs.ids
def main_command(
    run: Run, ids: tuple[str, ...], reason: str | None, state: str | None, broker: str | None
) -> int:
    """Release held jobs at once, whatever their cluster does and whoever has paused them.

    An ID is that of backlog-ls. They go in the order given, and count for the limits of
    all the others; the history has the user and the reason. An ID of no held job is said.
    """
    from contextlib import closing

    from dlstbx_cli.transport.broker import connect

    numbers = backlogs.numbers(ids)
    why = backlogs.words(reason, "--reason", backlogs.REASON) if reason else ""
    store = backlogs.store(run, state)
    with closing(connect(options.broker_url(run, broker))) as link:
        # With no broker there, nothing is claimed.
        link.check()
        gone, refused = _release(run, store, link, numbers, why)
    run.say(f"released {counted(len(gone))}")
    left = [str(number) for number in numbers if number not in gone | refused]
    if left:
        run.say(f"not held: {', '.join(left)} (see backlog-show)")
    return REJECTED if left or refused else DONE


main = main_command.main


def _release(
    run: Run, store: Any, link: Any, numbers: Sequence[int], reason: str
) -> tuple[set[int], set[int]]:
    """Claim jobs, send them, note that they went; return which went, and which are dead letters.

    Killed in between, the claim is what is left, and backlog-release takes it over.
    """
    from dlstbx_cli.services.backlog import StoredBacklog, sent_for
    from dlstbx_cli.services.errors import Rejected, Unavailable
    from dlstbx_cli.services.message import dead_letter

    gone: set[int] = set()
    refused: set[int] = set()
    entries = store.take(numbers, user_name()[: backlogs.NAME], reason)
    try:
        with store.renewing([entry.job.number for entry in entries]):
            # One by one: what the broker does not take is not to keep the others.
            for entry in entries:
                number = entry.job.number
                try:
                    link.send(sent_for(entry))
                    gone.add(number)
                except Rejected as error:
                    queue, now = StoredBacklog.queue, time.time()
                    link.send([dead_letter(entry.message, queue, str(error), run.name, now)])
                    run.say(f"job {number}: {error} (see dlq-ls)", entry.message)
                    refused.add(number)
                store.released([number])
    except Unavailable as error:
        left = counted(len(entries) - len(gone | refused))
        raise Unavailable(f"{error}; {left} claimed: backlog-release sends what is left") from error
    return gone, refused
