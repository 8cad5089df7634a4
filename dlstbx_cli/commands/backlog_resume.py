"""``backlog-resume``: end pauses before their time."""

from __future__ import annotations

from typing import Any

import click

from dlstbx_cli.commands import backlogs, options
from dlstbx_cli.commands.backlog_hold import kind_of
from dlstbx_cli.commands.base import DONE, REJECTED, Run, command, user_name
from dlstbx_cli.services.held.values import KINDS

EXAMPLES = """\
backlog-resume i03
backlog-resume 4
backlog-resume --all"""


@command("backlog-resume", EXAMPLES)
@click.option("--all", "everything", is_flag=True, help="All pauses.")
@options.state
@click.argument("names", nargs=-1, metavar="[NAME|ID]...")
def main_command(run: Run, names: tuple[str, ...], everything: bool, state: str | None) -> int:
    """End pauses before their time: what they keep may be released again.

    A NAME ends all pauses of that beamline, visit or recipe; an ID is that of
    backlog-hold. A name that is not paused is said. Who has ended a pause, and when, is
    kept: see backlog-ls --pauses.
    """
    if bool(names) == everything:
        raise click.UsageError("Which ones? Give NAMEs, IDs or --all.")
    store = backlogs.store(run, state)
    owner = user_name()[: backlogs.NAME]
    missing = []
    for name in names or [None]:
        ended = store.resume(owner, *_conditions(name))
        for pause in ended:
            run.say(f"resumed: {pause.kind} {pause.name}, paused by {pause.owner}: {pause.reason}")
        if name and not ended:
            missing.append(name)
    if missing:
        run.say(f"not paused: {', '.join(missing)}")
    return REJECTED if missing else DONE


main = main_command.main


def _conditions(name: str | None) -> list[Any]:
    from sqlalchemy import and_, or_

    from dlstbx_cli.database.held_tables import PAUSES, is_named

    if name is None:
        return []
    if name.isascii() and name.isdigit():
        (number,) = backlogs.numbers([name])
        return [PAUSES.c.id == number]
    # Whatever it was paused as: --kind may have said that it is something else.
    names = {name, kind_of(name)[1]}
    as_such = [
        and_(PAUSES.c.kind == kind, is_named(PAUSES.c.name, kind, one))
        for kind in KINDS
        for one in names
    ]
    return [or_(*as_such)]
