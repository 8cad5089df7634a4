"""``mimas-diff``: what differs between two plans."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import DONE, Run, command
from dlstbx_cli.commands.options import EVENTS, Function

if TYPE_CHECKING:
    from dlstbx_cli.services.difference import Planned, Task

EXAMPLES = """\
mimas-diff before.jsonl after.jsonl
mimas-diff --summary before.jsonl after.jsonl
mimas-plan --event all $(cat dcids.txt) | mimas-diff before.jsonl -
mimas-diff before.jsonl after.jsonl | jq -c 'select(.kind == "changed")'"""

#: Exit code where the plans differ, as of diff(1).
DIFFER = 1

_plan = click.Path(exists=True, dir_okay=False, allow_dash=True)


def _narrowing(name: str, metavar: str, what: str) -> Callable[[Function], Function]:
    return click.option(
        name, multiple=True, metavar=metavar, help=f"Only tasks of this {what}; may be repeated."
    )


@command("mimas-diff", EXAMPLES)
@click.option("--summary", is_flag=True, help="Only the sums, not the cases.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="Cases of each kind in a table; the rest is counted.",
)
@_narrowing("--rule", "NAME", "rule")
@_narrowing("--beamline", "NAME", "beamline")
@_narrowing("--recipe", "NAME", "recipe")
@click.option(
    "--event",
    "events",
    type=click.Choice(EVENTS),
    multiple=True,
    help="Only tasks of this event; may be repeated.",
)
@options.as_json
@options.table
@click.argument("old", type=_plan, metavar="OLD")
@click.argument("new", type=_plan, metavar="NEW")
def main_command(
    run: Run,
    old: str,
    new: str,
    summary: bool,
    limit: int,
    rule: tuple[str, ...],
    beamline: tuple[str, ...],
    recipe: tuple[str, ...],
    events: tuple[str, ...],
    as_json: bool,
    table: bool,
) -> int:
    """Show what differs between two plans of mimas-plan.

    OLD and NEW are files with its lines, with those of its --explain, or records of its
    --record; - is standard input. At a terminal tables, on a pipe JSON Lines: sums, in
    all and by rule, beamline and recipe, then the cases. The exit code is 0 if both ask
    for the same, 1 if not.
    """
    from dlstbx_cli.commands import differences
    from dlstbx_cli.services.difference import Wanted, difference

    if as_json and table:
        raise click.UsageError("choose one of --json, --table.")
    if old == new == "-":
        raise click.UsageError("standard input can only be one of OLD and NEW.")
    wanted = Wanted(
        frozenset(rule),
        frozenset(map(str.lower, beamline)),
        frozenset(recipe),
        frozenset(event.upper() for event in events),
    )
    found = difference(_read(run, old), _read(run, new), wanted)
    if table or (sys.stdout.isatty() and not as_json):
        differences.print_tables(found, old, new, None if summary else limit)
    else:
        differences.print_records(found, cases=not summary)
    return DONE if found.equal else DIFFER


main = main_command.main


def _read(run: Run, path: str) -> Iterator[Task | Planned]:
    """Yield what a file is about. Raises UsageError, naming file and line."""
    from dlstbx_cli.commands.serving import lines
    from dlstbx_cli.services.errors import Rejected
    from dlstbx_cli.services.planned import plan_of
    from dlstbx_cli.transport.envelope import from_record, load

    where = "standard input" if path == "-" else path
    others: Counter[str] = Counter()
    try:
        with nullcontext(lines(run)) if path == "-" else Path(path).open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    if not line.isspace():
                        record = load(line)
                        tasks = plan_of(record)
                        yield from tasks
                        if not tasks:
                            others[from_record(record).destination.name] += 1
                except Rejected as error:
                    raise click.UsageError(f"{where}: line {number}: {error}.") from None
    except OSError as error:
        raise click.UsageError(f"{where}: {error.strerror}.") from None
    if others:
        counts = ", ".join(f"{count} to {name}" for name, count in others.most_common())
        run.say(f"{where}: lines that are no tasks of a plan, left out: {counts}")
