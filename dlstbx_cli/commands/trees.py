"""Plans and tables for a person at a terminal, by rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from dlstbx_cli import mimas
from dlstbx_cli.commands.base import printable
from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.services.explanation import Plan

_WIDE = 200


def print_plan(plan: Plan, onto: Console | None = None) -> None:
    """Print a plan as a tree by rule."""
    tree = Tree(title_of(plan.scenario))
    for rule, planned in groupby(plan.tasks, key=lambda planned: planned.rule):
        branch = tree.add(f"[bold]{escape(rule)}[/]")
        for one in planned:
            also = f" [dim](also asked for by {escape(', '.join(one.also))})[/]" if one.also else ""
            branch.add(task_line(one.task) + also + override_of(one))
    if plan.dropped:
        branch = tree.add("[bold]dropped[/]")
        for one in plan.dropped:
            branch.add(f"[red]drop[/]  {escape(one.task.recipe)}{override_of(one)}")
    elif not plan.tasks:
        tree.add("[dim]no rule asks for anything[/]")
    (onto or console()).print(tree)


def title_of(scenario: mimas.MimasScenario) -> str:
    """Return a scenario in one line."""
    facts: list[Any] = [
        scenario.event.name.lower().replace("_", " of ") if scenario.event else None,
        scenario.beamline,
        scenario.visit,
        scenario.dcclass.name.lower().replace("_", " "),
        scenario.detectorclass.name.lower() if scenario.detectorclass else "detector not known",
        scenario.spacegroup.string if scenario.spacegroup else None,
    ]
    words = ", ".join(escape(str(fact)) for fact in facts if fact)
    return f"[bold cyan]{scenario.DCID}[/] {words}"


def override_of(planned: PlannedTask) -> str:
    """Return the override that a task is as it is by, if any."""
    return f" [magenta](override: {escape(planned.override)})[/]" if planned.override else ""


def task_line(task: mimas.Invocation) -> str:
    """Return a task in one line: what becomes of it, and with what."""
    if isinstance(task, mimas.MimasRecipeInvocation):
        return f"[green]run[/]   {escape(task.recipe)}"
    verb = "[green]start[/]" if task.autostart else "[yellow]hold[/] "
    details = [f"{parameter.key}={parameter.value}" for parameter in task.parameters]
    if task.sweeps:
        details.append(f"{len(task.sweeps)} sweep{'s' if len(task.sweeps) > 1 else ''}")
    details += [f"{variable.key}={variable.value}" for variable in task.triggervariables]
    return f"{verb} {escape(task.recipe)} [dim]{escape(' '.join(details))}[/]"


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], onto: Console | None = None
) -> None:
    """Print a table; None is shown as a dash, numbers stand to the right.

    Only a Text may have several lines.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    body = [list(row) for row in rows]
    for place, column in enumerate(columns):
        numbers = any(isinstance(row[place], int | float) for row in body)
        # What a row is called by must be readable whole, however narrow the terminal; names
        # of recipes begin alike, so they are rather broken than cut short.
        side: Any = "right" if numbers else "left"
        table.add_column(column, justify=side, no_wrap=place == 0, overflow="fold")
    for row in body:
        table.add_row(*map(cell, row))
    (onto or console()).print(table)


def cell(value: Any) -> Text:
    """Return a table's cell: None is a dash, and no text is markup, or an emoji's name."""
    if isinstance(value, Text):  # ours, as it is
        return value
    return Text("-" if value is None else printable(str(value)))


def print_tree(tree: Tree) -> None:
    """Print a tree that somebody else has made."""
    console().print(tree)


def age(seconds: float | None) -> str | None:
    """Return how long something took, in two units at most: ``3 h 20 min``."""
    if seconds is None:
        return None
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


class _QuietConsole(Console):
    """A console whose reader may go away: rich itself would make that exit code 1."""

    def on_broken_pipe(self) -> None:
        """Leave it to the one place where a closed pipe ends a command."""
        raise BrokenPipeError


def console() -> Console:
    """Return where a person reads: as wide as the terminal."""
    # On a pipe nobody knows the width: a pager cuts or wraps better than we do.
    return _QuietConsole() if sys.stdout.isatty() else _QuietConsole(width=_WIDE)
