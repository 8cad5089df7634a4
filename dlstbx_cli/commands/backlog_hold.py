"""``backlog-hold``: a beamline, visit or recipe pauses, until a time and for a reason."""

from __future__ import annotations

import json
import re
import sys
import time

import click

from dlstbx_cli.commands import backlogs, options
from dlstbx_cli.commands.base import DONE, Run, command, counted, user_name
from dlstbx_cli.commands.times import moment, shown
from dlstbx_cli.services.held.values import KINDS, Pause
from dlstbx_cli.services.recipe import JOB_PREFIX

EXAMPLES = """\
backlog-hold i03 --until 18:00 --reason 'detector tests'
backlog-hold mx37124-8 --until 3d --reason 'users are asked'
backlog-hold autoprocessing-autoPROC --until 2h --reason 'crashes'
backlog-hold"""

_BEAMLINE = re.compile(r"[a-z][0-9]{2}(-[0-9])?", re.ASCII | re.IGNORECASE)
_VISIT = re.compile(r"[a-z]{2}[0-9]+-[0-9]+", re.ASCII | re.IGNORECASE)
#: Seconds; what is meant for longer is no pause, but a rule to be changed.
_LONGEST = 366 * 86400


@command("backlog-hold", EXAMPLES)
@options.table
@click.option(
    "--until", metavar="TIME", help="When it ends by itself: 18:00, 2h, 3d, 2026-11-25T18:00."
)
@click.option("--reason", metavar="TEXT", help="Why, for whoever looks.")
@click.option(
    "--kind", type=click.Choice(KINDS), help="What NAME is, if that is not to be found out."
)
@options.state
@click.argument("name", required=False)
def main_command(
    run: Run,
    name: str | None,
    until: str | None,
    reason: str | None,
    kind: str | None,
    table: bool,
    state: str | None,
) -> int:
    """Pause a beamline, a visit or a recipe: its held jobs stay held until the time given.

    What NAME is, is found out: i03 is a beamline, mx37124-8 a visit, all else a recipe.
    Without a NAME the pauses are shown: at a terminal as a table, on a pipe as JSON Lines:
    id, kind, name, until (seconds since the epoch), left, owner, reason, keeps (how many
    held jobs).
    """
    store = backlogs.store(run, state)
    now = time.time()
    if name is None:
        if until or reason or kind:
            raise click.UsageError("What is to be paused? Give a NAME.")
        kept = store.kept(store.pauses())
        if table or sys.stdout.isatty():
            backlogs.print_pauses(kept, now)
        else:
            for one in kept:
                click.echo(json.dumps(backlogs.of_kept(one, now)))
        return DONE
    pause = _pause(name, kind, until, reason, now)
    number = store.pause(pause)
    (kept_by_it,) = store.kept([pause])
    run.say(
        f"pause {number}: {pause.kind} {pause.name} until {shown(pause.until)},"
        f" {counted(kept_by_it.jobs, 'held job')} of it"
    )
    if not kept_by_it.jobs and not store.is_known(pause.kind, pause.name):
        run.say(
            f"no job of the {pause.kind} {pause.name} has been held so far: is the name right?"
            f" backlog-resume {number} ends the pause"
        )
    return DONE


main = main_command.main


def _pause(name: str, kind: str | None, until: str | None, reason: str | None, now: float) -> Pause:
    """Return the pause of the options. Raises UsageError."""
    if not until or not reason:
        raise click.UsageError("A pause needs --until and --reason.")
    found, named = kind_of(backlogs.words(name, "NAME", backlogs.NAME), kind)
    end = moment(until, "--until", now)
    if not now < end:
        raise click.UsageError(f"--until {until} is past.")
    if not end - now <= _LONGEST:
        raise click.UsageError("--until takes a time within a year.")
    why = backlogs.words(reason, "--reason", backlogs.REASON)
    return Pause(found, named, end, user_name()[: backlogs.NAME], why)


def kind_of(name: str, kind: str | None = None) -> tuple[str, str]:
    """Return which of KINDS a name is, and the name as held jobs have it.

    :param kind: if it is told.
    """
    if kind is None and _BEAMLINE.fullmatch(name):
        return "beamline", name
    if kind is None and _VISIT.fullmatch(name):
        return "visit", name
    if kind in (None, "recipe"):
        return "recipe", name.removeprefix(JOB_PREFIX)
    return str(kind), name
