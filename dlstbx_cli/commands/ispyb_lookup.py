"""``ispyb-lookup``: what ISPyB knows of a data collection, as recipes see it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import REJECTED, Run, command
from dlstbx_cli.services.errors import Rejected

EXAMPLES = """\
ispyb-lookup 993677
ispyb-lookup 993677 993678 | jq .ispyb_space_group
ispyb-lookup < dcids.txt | jq -r '[.ispyb_dcid, .ispyb_beamline] | @tsv'"""


@command("ispyb-lookup", EXAMPLES)
@click.option("--processing-job", is_flag=True, help="The IDs are those of processing jobs.")
@options.ispyb
@click.argument("ids", nargs=-1, metavar="[DCID]...")
def main_command(run: Run, ids: tuple[str, ...], processing_job: bool, ispyb: str | None) -> int:
    """Print what ISPyB knows of data collections, as recipes see it.

    Prints one object for each DCID, given as arguments or on stdin, one to a line: the
    parameters that recipe-dispatch fills into recipes.
    """
    from dlstbx_cli.database.lookup import Lookup
    from dlstbx_cli.transport.stop import Stop

    key = "ispyb_process" if processing_job else "ispyb_dcid"
    lookup = Lookup(options.engine(run, ispyb))
    rejected = False
    with Stop() as stop:
        for place, text in _ids(run, ids, stop):
            try:
                request = lookup({"parameters": {key: options.identifier(text)}})
            except Rejected as error:
                run.say(f"{place}: {error}")
                rejected = True
            else:
                _print(request["parameters"])
    return REJECTED if rejected else 0


main = main_command.main


def _ids(run: Run, ids: tuple[str, ...], stop: Any) -> Iterator[tuple[str, str]]:
    """Yield each ID with where it stood."""
    if ids:
        yield from ((f"argument {place}", text) for place, text in enumerate(ids, 1))
        return
    for place, line in enumerate(_lines(run, lambda: stop.requested), 1):
        text = line.decode("utf-8", "backslashreplace").strip()
        if text:
            yield f"line {place}", text


def _lines(run: Run, stopped: Callable[[], bool]) -> Iterator[bytes]:
    from dlstbx_cli.commands.serving import lines
    from dlstbx_cli.transport.lines import source
    from dlstbx_cli.transport.link import EndOfInput

    reader = source(lines(run))
    while not stopped():
        try:
            line = reader.read(0.1)
        except EndOfInput:
            return
        if isinstance(line, bytes):
            yield line


def _print(parameters: dict[str, Any]) -> None:
    click.echo(json.dumps(parameters, indent=2 if sys.stdout.isatty() else None))
