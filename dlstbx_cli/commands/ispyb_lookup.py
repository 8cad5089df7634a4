"""``ispyb-lookup``: what ISPyB knows of a data collection, as recipes see it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import REJECTED, Run, command
from dlstbx_cli.services.errors import Rejected

EXAMPLES = """\
ispyb-lookup 993677
ispyb-lookup 993677 993678 | jq .ispyb_space_group
ispyb-lookup --explain 993677
ispyb-lookup < dcids.txt | jq -r '[.ispyb_dcid, .ispyb_beamline] | @tsv'"""


@command("ispyb-lookup", EXAMPLES)
@click.option("--processing-job", is_flag=True, help="The IDs are those of processing jobs.")
@click.option("--explain", is_flag=True, help="Show where each value came from, for people.")
@click.option("--json", "as_json", is_flag=True, help="With --explain: one object, for programs.")
@options.ispyb
@click.argument("ids", nargs=-1, metavar="[DCID]...")
def main_command(
    run: Run,
    ids: tuple[str, ...],
    processing_job: bool,
    explain: bool,
    as_json: bool,
    ispyb: str | None,
) -> int:
    """Print what ISPyB knows of data collections, as recipes see it.

    Prints one object for each DCID, given as arguments or on stdin, one to a line: the
    parameters that recipe-dispatch fills into recipes.
    """
    from dlstbx_cli.database.lookup import Lookup
    from dlstbx_cli.services.message import Message, Queue
    from dlstbx_cli.services.trace import about
    from dlstbx_cli.transport.stop import Stop

    if as_json and not explain:
        raise click.UsageError("--json is for --explain: the rest is JSON anyway.")
    key = "ispyb_process" if processing_job else "ispyb_dcid"
    lookup = Lookup(options.engine(run, ispyb))
    rejected = False
    with Stop() as stop:
        for place, text in _ids(run, ids, stop):
            request = {"parameters": {key: options.identifier(text)}}
            with about(Message(Queue("ispyb-lookup"), request), place=place):
                try:
                    known, origins = lookup.explained(request)
                except Rejected as error:
                    run.say(f"{place}: {error}")
                    rejected = True
                    continue
            if explain:
                _explain(known["parameters"], origins, as_json)
            else:
                _print(known["parameters"])
    return REJECTED if rejected else 0


main = main_command.main


def _ids(run: Run, ids: tuple[str, ...], stop: Any) -> Iterator[tuple[str, str]]:
    """Yield each ID with where it stood."""
    if ids:
        yield from ((f"argument {place}", text) for place, text in enumerate(ids, 1))
        return
    from dlstbx_cli.commands.serving import lines
    from dlstbx_cli.transport.lines import raw_lines

    for place, line in enumerate(raw_lines(lines(run), lambda: stop.requested), 1):
        text = line.decode("utf-8", "backslashreplace").strip()
        if text:
            yield f"line {place}", text


def _print(parameters: dict[str, Any]) -> None:
    click.echo(json.dumps(parameters, indent=2 if sys.stdout.isatty() else None))


def _explain(parameters: dict[str, Any], origins: dict[str, str], as_json: bool) -> None:
    explained = {
        name: {"value": value, "from": origins.get(name, "the request")}
        for name, value in parameters.items()
    }
    if as_json:
        click.echo(json.dumps(explained))
        return
    from dlstbx_cli.commands.trees import print_table

    rows = [(name, _short(one["value"]), one["from"]) for name, one in explained.items()]
    print_table(["parameter", "value", "from"], rows)


def _short(value: Any) -> str:
    """Return a value as it fits into a line: of a table's row, how many columns are known."""
    if isinstance(value, dict) and len(value) > 8:
        known = sum(1 for one in value.values() if one is not None)
        return f"({known} of {len(value)} columns known)"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
