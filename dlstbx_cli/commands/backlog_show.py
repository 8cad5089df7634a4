"""``backlog-show``: a held job, whole, and why it is held."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import backlogs, limits, options
from dlstbx_cli.commands.base import DONE, REJECTED, Run, command

if TYPE_CHECKING:
    from dlstbx_cli.database.held_lists import HeldLists
    from dlstbx_cli.services.held.port import Entry
    from dlstbx_cli.services.held.values import Limits

EXAMPLES = """\
backlog-show 17
backlog-show 17 | jq -r .why
backlog-show 17 | jq .message.payload"""


@command("backlog-show", EXAMPLES)
@limits.choosing
@options.state
@backlogs.ids
def main_command(run: Run, ids: tuple[str, ...], state: str | None, **chosen: Any) -> int:
    """Print jobs of the backlog whole: what they are, why they are held, their message.

    An ID is that of backlog-ls. Of a held job, "before" is how many go before it as things
    are (null: it is paused), and "why" says why it is held now; give the --limit,
    --timeout and --priority that backlog-release is run with.
    """
    from dlstbx_cli.database.held_tables import JOBS

    numbers = backlogs.numbers(ids)
    options_of_release = limits.Chosen.of(**chosen)
    allowed = limits.effective(run.configuration.storage, options_of_release).limits
    store = backlogs.store(run, state)
    missing = []
    for number in numbers:
        found = list(store.entries(JOBS.c.id == number))
        if found:
            click.echo(json.dumps(_whole(found[0], store, allowed), indent=2))
        else:
            missing.append(str(number))
    if missing:
        run.say(f"no job of the backlog has the ID {', '.join(missing)}")
    return REJECTED if missing else DONE


main = main_command.main


def _whole(entry: Entry, store: HeldLists, allowed: Limits) -> dict[str, Any]:
    now = time.time()
    return {
        **backlogs.of_job(entry.job),
        **backlogs.of_state(entry, now),
        **(_place(entry, store, allowed, now) if entry.state == "held" else {}),
        **({"fault": entry.fault} if entry.fault else {}),
        "headers": dict(entry.message.headers),
        "message": entry.message.body,
    }


def _place(entry: Entry, store: HeldLists, allowed: Limits, now: float) -> dict[str, Any]:
    from dlstbx_cli.database.held_tables import JOBS
    from dlstbx_cli.services.held import explain

    cluster = entry.job.cluster
    held = store.held(JOBS.c.cluster == cluster)
    place = explain.place(entry.job, held, store.seen(cluster), allowed, now)
    return {
        "before": place.before,
        "why": place.why,
        "pauses": [backlogs.of_pause(pause, now) for pause in place.pauses],
    }
