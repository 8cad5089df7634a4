"""``mimas-plan --explain`` for a person: a tree of rules, tasks and cloud offers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.tree import Tree

from dlstbx_cli import mimas
from dlstbx_cli.commands.trees import override_of, print_tree, task_line, title_of
from dlstbx_cli.mimas.core import PlannedTask
from dlstbx_cli.mimas.reasons import Decided, Reason
from dlstbx_cli.services.cloud import Condition, offered
from dlstbx_cli.services.explanation import Explanation


def print_explanation(explanation: Explanation) -> None:
    """Print why a plan is what it is: the rules that hold, those that do not, the cloud."""
    tree = Tree(title_of(explanation.scenario))
    if explanation.refused:
        tree.add(f"[bold red]no plan[/]: {escape(explanation.refused)}")
    for reason in explanation.reasons:
        if reason.holds:
            _add_rule(tree, reason, explanation)
    others = [planned for planned in explanation.plan.tasks if planned.override]
    if others or explanation.plan.dropped:
        _add_overrides(tree, others, explanation.plan.dropped)
    _add_silent(tree, [reason for reason in explanation.reasons if not reason.holds])
    _add_cloud(tree, explanation)
    print_tree(tree)


def _add_rule(tree: Tree, reason: Reason, explanation: Explanation) -> None:
    branch = tree.add(_verdict(True, f"[bold]{escape(reason.rule)}[/] {_because(reason.decided)}"))
    tasks = [one for one in explanation.plan.tasks if one.rule == reason.rule]
    for planned in tasks:
        also = f" [dim](also asked for by {', '.join(planned.also)})[/]" if planned.also else ""
        leaf = branch.add(task_line(planned.task) + also)
        if origins := _origins(planned, explanation):
            leaf.add(f"[dim]{escape(origins)}[/]")
    asked_before = [
        ask.recipe
        for ask in reason.asks
        if ask.holds and ask.recipe not in {one.task.recipe for one in tasks}
    ]
    if asked_before:
        branch.add(f"[dim]asked for above, or overridden: {escape(', '.join(asked_before))}[/]")
    _add_grouped(
        branch, [(ask.recipe, _because(ask.decided)) for ask in reason.asks if not ask.holds]
    )


def _origins(planned: PlannedTask, explanation: Explanation) -> str:
    """Return where a job's parameters come from: the groups of the rules, with their keys."""
    task = planned.task
    if not isinstance(task, mimas.MimasISPyBJobInvocation):
        return ""
    pairs = zip(explanation.origins(planned), task.parameters, strict=False)
    return "; ".join(
        f"{origin}: {', '.join(parameter.key for _, parameter in group)}"
        for origin, group in groupby(pairs, key=lambda pair: pair[0])
    )


def _add_overrides(tree: Tree, changed: list[PlannedTask], dropped: Iterable[PlannedTask]) -> None:
    branch = tree.add("[bold]overrides[/]")
    for planned in changed:
        branch.add(task_line(planned.task) + override_of(planned))
    for planned in dropped:
        branch.add(f"[red]drop[/]  {escape(planned.task.recipe)}{override_of(planned)}")


def _add_silent(tree: Tree, reasons: list[Reason]) -> None:
    """Add the rules that do not hold, those of another beamline in one line."""
    if not reasons:
        return
    count = "1 rule does" if len(reasons) == 1 else f"{len(reasons)} rules do"
    branch = tree.add(f"[bold]{count} not hold[/]")
    _add_grouped(branch, [(reason.rule, _why_not(reason)) for reason in reasons])


def _add_grouped(branch: Tree, named: Iterable[tuple[str, str]]) -> None:
    """Add what does not hold, in one line what does not hold for the same reason."""
    groups: dict[str, dict[str, None]] = {}
    for name, because in named:
        groups.setdefault(because, {})[name] = None
    for because, names in groups.items():
        branch.add(_verdict(False, f"{escape(', '.join(names))} {because}"))


def _why_not(reason: Reason) -> str:
    if reason.refused:
        return f"[red]({escape(reason.refused)})[/]"
    return _because(reason.decided)


def _add_cloud(tree: Tree, explanation: Explanation) -> None:
    numbers = offered(explanation.cloud)
    entries = f"offers of entry {', '.join(map(str, numbers))}" if numbers else "no offer"
    cloud = tree.add(f"[bold]cloud[/]: {entries}")
    for entry, conditions in groupby(explanation.cloud, key=lambda condition: condition.entry):
        branch = cloud if entry is None else cloud.add(_verdict(entry in numbers, f"entry {entry}"))
        for condition in conditions:
            branch.add(_condition(condition))


def _because(decided: Iterable[Decided]) -> str:
    words = ", ".join(escape(str(part)) for part in decided)
    return f"[dim]({words})[/]" if words else ""


def _condition(condition: Condition) -> str:
    text = f"{escape(condition.what)}: [bold]{escape(condition.shown)}[/]"
    return _verdict(condition.holds, f"{text} [dim](wanted: {escape(condition.wanted)})[/]")


def _verdict(holds: Any, text: str) -> str:
    return f"[green]yes[/] {text}" if holds else f"[red]no[/]  {text}"
