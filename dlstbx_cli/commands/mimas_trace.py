"""``mimas-trace``: where is it? A collection, a job or a request, from all that is known."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import limits, options
from dlstbx_cli.commands.base import (
    CONFIGURATION,
    DONE,
    REJECTED,
    TRY_AGAIN,
    Run,
    command,
    printable,
)
from dlstbx_cli.commands.times import shown
from dlstbx_cli.services.tracing import Event, Trace, guid_of, number_of
from dlstbx_cli.services.verdict import Verdict, verdict

if TYPE_CHECKING:
    from dlstbx_cli.commands.asking import Asked
    from dlstbx_cli.commands.tracer import Query

EXAMPLES = """\
mimas-trace 993677
mimas-trace --job 5
mimas-trace 993677 | jq -r .verdict//empty
mimas-trace 993677 | jq -r 'select(.stage == "held").reason'"""

#: Characters of a text of somebody else's that a person gets to see: programs get all.
_LONGEST = 500


@command("mimas-trace", EXAMPLES)
@options.table
@options.as_json
@click.option("--dcid", "as_dcid", is_flag=True, help="The number is a DCID.")
@click.option("--job", "as_job", is_flag=True, help="The number is a processing job's ID.")
@click.option("--logbook", metavar="DIR", help="The logbook of recipe-dispatch (DLSTBX_LOGBOOK).")
@click.option("--record", metavar="DIR", help="The records of mimas-plan (DLSTBX_RECORDS).")
@click.option("--drop-dir", metavar="DIR", help="Where triggers are stored (DLSTBX_DROP_DIR).")
@limits.choosing
@options.state
@options.ispyb
@options.broker
@click.argument("what", metavar="DCID|GUID|JOBID")
def main_command(
    run: Run,
    what: str,
    table: bool,
    as_json: bool,
    as_dcid: bool,
    as_job: bool,
    broker: str | None,
    ispyb: str | None,
    state: str | None,
    logbook: str | None,
    record: str | None,
    drop_dir: str | None,
    **chosen: Any,
) -> int:
    """Show where a collection, a job or a request is, and how it came there.

    From the logbook, the records of plans, the state store, ISPyB and the broker: when it
    was triggered and by whom, looked up, planned; which jobs; held, released, dead and
    why. The last line is the verdict. A number is a DCID if ISPyB has one, else a job.

    At a terminal as a table; on a pipe as JSON Lines: an object for each event (time,
    latest, stage, source, text, dcid, job, recipe, guid, id, queue, who, reason, tasks),
    for each source that could not be asked (source, unavailable), and the verdict (verdict,
    state, jobs).
    """
    from dlstbx_cli.commands.asking import Asked, Sources
    from dlstbx_cli.commands.tracer import Tracer

    if table and as_json:
        raise click.UsageError("--table goes without --json.")
    query = _query(what, as_dcid, as_job)
    allowed = limits.effective(run.configuration.storage, limits.Chosen.of(**chosen)).limits
    asked = Asked(run, Sources(broker, ispyb, state, logbook, record, drop_dir), allowed)
    trace = Tracer(run, asked).trace(query)
    for source, reason in trace.unavailable.items():
        run.say(f"{source}: not asked: {reason}")
    found = verdict(trace)
    if table or (sys.stdout.isatty() and not as_json):
        _print(trace, found)
    else:
        _write(trace, found)
        if not trace.events:
            run.say(found.text)
    return _code(trace, asked)


main = main_command.main


def _query(what: str, as_dcid: bool, as_job: bool) -> Query:
    from dlstbx_cli.commands.tracer import Query

    if as_dcid and as_job:
        raise click.UsageError("--dcid goes without --job.")
    guid, number = guid_of(what), number_of(what)
    if number is not None:
        return Query(number=number, kind="dcid" if as_dcid else "job" if as_job else None)
    if guid is None or as_dcid or as_job:
        wanted = "a DCID, a JOBID or a GUID (8-4-4-4-12 hexadecimal digits)"
        raise click.UsageError(f"{what!r:.60} is not {wanted}.")
    return Query(guid=guid)


def _code(trace: Trace, asked: Asked) -> int:
    if trace.events:
        return DONE
    if asked.away:
        # What was not found may well be there.
        return TRY_AGAIN
    return REJECTED if asked.answered else CONFIGURATION


def _write(trace: Trace, found: Verdict) -> None:
    for event in trace.events:
        click.echo(json.dumps(event.record()))
    for source, reason in trace.unavailable.items():
        click.echo(json.dumps({"source": source, "unavailable": reason}))
    click.echo(json.dumps(found.record()))


def _print(trace: Trace, found: Verdict) -> None:
    from dlstbx_cli.commands.trees import print_table

    if trace.events:
        columns = ["when", "what", "job", "recipe", "details"]
        print_table(columns, [_row(event) for event in trace.events])
    click.echo(f"{trace.subject}: {printable(found.text)}")


def _row(event: Event) -> tuple[Any, ...]:
    reason = f": {event.reason}" if event.reason else ""
    by = f" by {event.who}" if event.who and event.stage != "triggered" else ""
    details = f"{event.text}{by}{reason}".strip()
    if event.latest is not None and event.time is None:
        details += ", then or before"
    return (_when(event), event.stage, event.job, _cut(event.recipe), _cut(details))


def _cut(text: str | None) -> Any:
    """Return a text for a cell: not endless, and whole however narrow the terminal is."""
    from rich.text import Text

    if text is None:
        return None
    shortened = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return Text(printable(shortened), overflow="fold")


def _when(event: Event) -> str:
    if event.stage == "waiting":
        return "now"
    seconds = event.time if event.time is not None else event.latest
    if seconds is None:
        return "-"
    return shown(seconds, "%Y-%m-%d %H:%M:%S")
