"""``mimas-rules``: which rules there are, whether they are sound, and what overrides them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import options, rule_sets
from dlstbx_cli.commands.base import DONE, Run, command
from dlstbx_cli.commands.options import Function

if TYPE_CHECKING:
    from dlstbx_cli.mimas.space import Only

CLASSES = (
    "characterization", "diamond_anvil_cell", "gridscan", "rotation", "screening",
    "serial_fixed", "serial_jet", "undefined",
)  # fmt: skip
DETECTORS = ("eiger", "pilatus", "unknown")
EXAMPLES = """\
mimas-rules
mimas-rules --beamline i03 --event end --class gridscan
mimas-rules | jq -r 'select(.set == "dlstbx-i19") | .rule'
mimas-rules --markdown > rules.md
mimas-rules --check
mimas-rules --check | jq -c '.scenario//empty' | mimas-plan --explain
mimas-rules --overrides"""


def filters(function: Function) -> Function:
    """Add the options that narrow the scenarios down."""
    for option in (
        click.option(
            "--detector",
            type=click.Choice(DETECTORS, case_sensitive=False),
            help="Only rules that can hold for this detector class.",
        ),
        click.option(
            "--class",
            "dcclass",
            type=click.Choice(CLASSES, case_sensitive=False),
            help="Only rules that can hold for data collections of this class.",
        ),
        click.option(
            "--event",
            type=click.Choice(options.EVENTS, case_sensitive=False),
            help="Only rules that can hold for this event.",
        ),
        click.option("--beamline", metavar="NAME", help="Only rules that can hold there."),
    ):
        function = option(function)
    return function


@command("mimas-rules", EXAMPLES)
@options.table
@options.as_json
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
@click.option(
    "--check", is_flag=True, help="List what is wrong with the rules; exit 1 if anything is."
)
@click.option(
    "--accept",
    multiple=True,
    metavar="FINDING",
    help="With --check: this finding, by its name, is meant to be; may be repeated.",
)
@click.option(
    "--overrides",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="List the overrides of the rules instead (DLSTBX_OVERRIDES).",
)
@filters
@rule_sets.option
@options.recipes
def main_command(
    run: Run,
    table: bool,
    as_json: bool,
    markdown: bool,
    check: bool,
    accept: tuple[str, ...],
    overrides: str | None,
    rules: tuple[str, ...],
    recipes: str | None,
    **filters: Any,
) -> int:
    """Say which rules there are: name, condition, and what is asked for.

    All that are registered are listed, ours and the site's, in the order in which they
    are asked. At a terminal as a table; on a pipe as JSON Lines: rule, set, own, when,
    label, tasks.

    With --check, what is wrong with them is listed instead: kind, name, rules, text, scenario
    (one in which it shows). A site's CI can run that. With --overrides, what is not as the
    rules want it for a while: action, add, where, owner, until, left, ended, reason.
    """
    if table + as_json + markdown > 1:
        raise click.UsageError("choose one of --table, --json, --markdown.")
    people = table or (sys.stdout.isatty() and not as_json)
    _refuse(check, overrides, markdown, accept, rules, filters)
    only = _only(**filters)
    if overrides is not None:
        from dlstbx_cli.commands.override_list import list_overrides

        return list_overrides(run, overrides, only, table=people)
    handlers = rule_sets.handlers(rules)
    if check:
        from dlstbx_cli.commands import rule_checking

        return rule_checking.check(run, handlers, recipes, accept, table=people)
    _list(run, handlers, only, "markdown" if markdown else "table" if people else "lines")
    return DONE


main = main_command.main


def _only(
    beamline: str | None, event: str | None, dcclass: str | None, detector: str | None
) -> Only:
    from dlstbx_cli.mimas import MimasDCClass, MimasDetectorClass, MimasEvent
    from dlstbx_cli.mimas.space import Only

    only = Only(
        beamline,
        MimasEvent[event.upper()] if event else None,
        MimasDCClass[dcclass.upper()] if dcclass else None,
    )
    if detector is None:
        return only
    known = MimasDetectorClass.__members__.get(detector.upper())
    return Only(only.beamline, only.event, only.dcclass, (known,))


def _list(run: Run, handlers: Sequence[Any], only: Only, form: str) -> None:
    """Print the decision table: as ``markdown``, a ``table``, or ``lines``."""
    from dlstbx_cli.mimas.decisions import decisions
    from dlstbx_cli.mimas.space import Space

    zc = run.configuration.zocalo
    with rule_sets.trying():
        known = Space(handlers, zc=zc).beamlines if only.beamline else ()
        # In any letter case, as of other commands; the rules' own is the one that counts.
        named = {name.lower(): name for name in known}.get((only.beamline or "").lower())
        only = replace(only, beamline=named or only.beamline)
        found = decisions(handlers, only, zc)
    if only.beamline and only.beamline not in known:
        names = ", ".join(known) or "none"
        run.say(f"no rule names the beamline {only.beamline!r}; named are {names}")
    if form == "lines":
        for one in found:
            click.echo(json.dumps(one.record()))
        return
    from dlstbx_cli.commands import rule_table

    show = rule_table.print_markdown if form == "markdown" else rule_table.print_decisions
    show(found)


def _refuse(
    check: bool,
    overrides: str | None,
    markdown: bool,
    accept: Sequence[str],
    rules: Sequence[str],
    filters: dict[str, Any],
) -> None:
    """Raise UsageError if options contradict each other."""
    if check and (markdown or overrides is not None or any(filters.values())):
        raise click.UsageError(
            "--check looks at all scenarios: it goes without --markdown, --overrides, filters."
        )
    if overrides is not None and (markdown or rules):
        raise click.UsageError("--overrides goes without --markdown and --rules.")
    if accept and not check:
        raise click.UsageError("--accept goes with --check.")
