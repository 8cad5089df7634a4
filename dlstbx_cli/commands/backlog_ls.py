"""``backlog-ls``: which jobs are held, for how long, and what became of others."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import backlogs, options
from dlstbx_cli.commands.base import DONE, Run, command, counted
from dlstbx_cli.commands.times import moment, shown

if TYPE_CHECKING:
    from dlstbx_cli.database.held_lists import HeldLists, Wanted

EXAMPLES = """\
backlog-ls
backlog-ls --by recipe
backlog-ls --visit mx37124-8 | jq -r .recipe | sort | uniq -c
backlog-ls --released --since 7d
backlog-ls --pauses"""

#: Jobs of a table; of a longer history people look at the end.
_ROWS = 500
#: Lines that are written at once.
_LINES = 500


@command("backlog-ls", EXAMPLES)
@options.table
@click.option(
    "--by",
    type=click.Choice(["cluster", "beamline", "visit", "recipe", "job"]),
    help="What a row of the table is. [default: visit, of what has ended job]",
)
@click.option("--released", is_flag=True, help="Jobs that have been released, instead.")
@click.option("--cancelled", is_flag=True, help="Jobs that have been cancelled, instead.")
@click.option("--all", "everything", is_flag=True, help="All of them: held, released, cancelled.")
@click.option(
    "--pauses", is_flag=True, help="Pauses, instead: those that last, and those that have ended."
)
@click.option(
    "--since", metavar="TIME", help="Only what was held, released, cancelled since: 12h, 7d, 18:00."
)
@backlogs.filters
@options.state
def main_command(
    run: Run,
    table: bool,
    by: str | None,
    released: bool,
    cancelled: bool,
    everything: bool,
    pauses: bool,
    since: str | None,
    state: str | None,
    **filters: Any,
) -> int:
    """List the jobs that are held, or what became of others.

    At a terminal as a table with the pauses below; on a pipe as JSON Lines, first in
    first: id, cluster, beamline, visit, recipe, dcid, job (its ID in ISPyB), state,
    taken (when it was held, seconds since the epoch), age; of those that are not held any
    more also changed (when they were released, cancelled), waited, owner, reason.
    --pauses lists what backlog-hold has made, and what ended it: id, kind, name, begun,
    until, left, owner, reason, ended, ended_by (null: its time), keeps (held jobs).
    """
    from dlstbx_cli.database.held_lists import OPEN, Wanted

    now = time.time()
    if everything and (released or cancelled):
        raise click.UsageError("--all goes without --released and --cancelled.")
    ended = [name for name, on in (("released", released), ("cancelled", cancelled)) if on]
    states = [] if everything else ended or OPEN
    begin = moment(since, "--since", now, past=True) if since else None
    if pauses:
        if everything or ended or by or any(value is not None for value in filters.values()):
            raise click.UsageError("--pauses is about no jobs: it goes with --since alone.")
        _pauses(backlogs.store(run, state), begin, now, table or sys.stdout.isatty())
        return DONE
    wanted = Wanted(states, since=begin, **filters)
    store = backlogs.store(run, state)
    if not (table or sys.stdout.isatty()):
        _lines(store, wanted, now)
        return DONE
    by = by or ("job" if ended or everything else "visit")
    if by == "job":
        _jobs(run, store, wanted, now)
    else:
        _groups(store, wanted, by, now)
    kept = store.kept(store.pauses())
    if kept and not ended:
        backlogs.print_pauses(kept, now)
    return DONE


main = main_command.main


def _lines(store: HeldLists, wanted: Wanted, now: float) -> None:
    found = (
        json.dumps({**backlogs.of_job(one.job), **backlogs.of_state(one, now)})
        for one in store.listed(wanted)
    )
    while lines := list(islice(found, _LINES)):
        click.echo("\n".join(lines))


def _pauses(store: HeldLists, begin: float | None, now: float, table: bool) -> None:
    found = store.kept(store.pauses_since(begin))
    if table:
        backlogs.print_history(found, now)
        return
    for one in found:
        click.echo(json.dumps(backlogs.of_kept(one, now)))


def _groups(store: HeldLists, wanted: Wanted, by: str, now: float) -> None:
    from dlstbx_cli.commands.trees import age, print_table
    from dlstbx_cli.database.held_lists import GROUPS

    rows = [
        (
            *(name or None for name in group.names),
            group.jobs,
            age(now - group.oldest),
            group.paused or None,
        )
        for group in store.groups(wanted, by)
    ]
    print_table([*GROUPS[by], "jobs", "oldest", "paused"], rows)


def _jobs(run: Run, store: HeldLists, wanted: Wanted, now: float) -> None:
    from dlstbx_cli.commands.trees import age, print_table

    rows = [
        (
            one.job.number,
            one.state,
            shown(one.changed),
            age((now if one.state == "held" else one.changed) - one.job.taken),
            one.job.visit or None,
            one.job.recipe or None,
            one.job.dcid,
            one.owner or None,
            one.reason or None,
        )
        for one in store.latest(wanted, _ROWS)
    ]
    columns = ["id", "state", "since", "waited", "visit", "recipe", "DCID", "owner", "reason"]
    print_table(columns, rows)
    left = store.count(wanted) - len(rows)
    if left > 0:
        run.say(f"{counted(left, 'earlier job')} not shown (on a pipe all are)")
