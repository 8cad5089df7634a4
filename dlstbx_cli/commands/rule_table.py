"""The decision table of the rules, for people: at a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import click

from dlstbx_cli.mimas.decisions import ALWAYS, NEVER, SOMETIMES, Asked, Decision

#: Verbs as in the tree of a plan.
_VERBS = {ALWAYS: "start", NEVER: "hold", SOMETIMES: "start or hold"}


def print_decisions(found: Sequence[Decision]) -> None:
    """Print the table at a terminal."""
    from rich.text import Text

    from dlstbx_cli.commands.trees import print_table

    # An empty line below each rule: its tasks are several lines.
    rows = [
        (
            Text(f"{one.rule}\n  {one.set}\n"),
            one.when,
            Text("\n".join([*map(task_of, one.recipes()), ""])),
        )
        for one in found
    ]
    print_table(["rule", "when", "tasks"], rows)


def print_markdown(found: Sequence[Decision]) -> None:
    """Print the table in Markdown, a section for each set of rules."""
    click.echo("# Rules")
    for name, several in groupby(found, key=lambda one: one.set):
        click.echo(f"\n## {name}\n")
        click.echo("| rule | when | recipes | jobs |\n| --- | --- | --- | --- |")
        for one in several:
            recipes = [ask for ask in one.recipes() if ask.kind == "recipe"]
            jobs = [ask for ask in one.recipes() if ask.kind == "job"]
            cells = [_cell(one.rule), _cell(one.when), _items(recipes), _items(jobs)]
            click.echo(f"| {' | '.join(cells)} |")


def task_of(ask: Asked) -> str:
    """Return one thing that a rule asks for in one line: what becomes of it, and when."""
    verb = "run" if ask.kind == "recipe" else _VERBS.get(ask.starts, "start or hold")
    return f"{verb} {ask.recipe}{_conditions(ask)}"


def _conditions(ask: Asked) -> str:
    when = f" if {ask.words}" if ask.words else ""
    return when if ask.starts in _VERBS else f"{when}; at once if {ask.starts}, else held"


def _items(asks: Sequence[Asked]) -> str:
    return "<br>".join(_item(ask) for ask in asks)


def _item(ask: Asked) -> str:
    # The column says that it is a recipe, or a job; that a job starts is the usual.
    held = " (held)" if ask.starts == NEVER else ""
    return _cell(f"`{ask.recipe}`{held}{_conditions(ask)}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
