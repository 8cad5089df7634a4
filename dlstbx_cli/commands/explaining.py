"""``backlog-release --explain``: what would be released, what would not, and why."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import backlogs
from dlstbx_cli.services.held import explain
from dlstbx_cli.services.held.policy import Room
from dlstbx_cli.services.held.values import Limits

if TYPE_CHECKING:
    from dlstbx_cli.commands.limits import Effective
    from dlstbx_cli.database.held_lists import HeldLists


def explain_backlog(store: HeldLists, effective: Effective, now: float, tree: bool) -> None:
    """Explain the backlog as things are, and release nothing.

    As a tree for a person; on a pipe as JSON Lines: of each cluster, then of each pause.

    :param tree: as for a person, also on a pipe.
    """
    found = outlooks(store, effective.limits, now)
    kept = store.kept(store.pauses())
    if tree or sys.stdout.isatty():
        _print(found, kept, effective, now)
        return
    for outlook in found:
        click.echo(json.dumps(of_cluster(outlook, effective)))
    for one in kept:
        pause = backlogs.of_kept(one, now)
        click.echo(json.dumps({"explains": "pause", **pause}))


def outlooks(store: HeldLists, limits: Limits, now: float) -> list[explain.Outlook]:
    """Return what is to be expected of each cluster with a job, a statistic or a limit."""
    return [_outlook(store, cluster, limits, now) for cluster in sorted(_clusters(store, limits))]


def _clusters(store: HeldLists, limits: Limits) -> set[str]:
    return {*store.clusters(), *store.statistics(), *limits.waiting, *limits.capacity}


def _outlook(store: HeldLists, cluster: str, limits: Limits, now: float) -> explain.Outlook:
    from dlstbx_cli.database.held_tables import JOBS

    held = store.held(JOBS.c.cluster == cluster)
    return explain.outlook(cluster, held, store.seen(cluster), limits, now)


def of_cluster(outlook: explain.Outlook, effective: Effective) -> dict[str, Any]:
    """Return what is said of a cluster, for programs."""
    room = outlook.room
    return {
        "explains": "cluster",
        "cluster": outlook.cluster,
        "held": outlook.held,
        "paused": outlook.paused,
        "waiting": room.waiting,
        "limit": room.limit,
        "limit_from": effective.origins.get(outlook.cluster),
        "age": room.age,
        "timeout": effective.limits.timeout,
        "timeout_from": effective.timeout_origin,
        "capacity": effective.limits.capacity.get(outlook.cluster),
        "in_flight": room.in_flight,
        "room": room.free,
        "next": backlogs.of_job(outlook.next) if outlook.next else None,
        "released": outlook.goes,
        "why": outlook.why,
    }


def _print(
    outlooks: list[explain.Outlook], kept: list[explain.Kept], effective: Effective, now: float
) -> None:
    from rich.tree import Tree

    from dlstbx_cli.commands.trees import print_tree

    for outlook in outlooks:
        tree = Tree(_title(outlook))
        for text in _facts(outlook, effective):
            tree.add(text)
        print_tree(tree)
    if kept:
        backlogs.print_pauses(kept, now)


def _title(outlook: explain.Outlook) -> str:
    from rich.markup import escape

    paused = f", {outlook.paused} of them paused" if outlook.paused else ""
    return (
        f"[bold cyan]{escape(outlook.cluster)}[/] {outlook.held} held{paused},"
        f" room for {outlook.room.free}"
    )


def _facts(outlook: explain.Outlook, effective: Effective) -> list[str]:
    """Return the branches of a cluster's tree."""
    from rich.markup import escape

    from dlstbx_cli.commands.base import printable

    room = outlook.room
    capacity = effective.limits.capacity.get(outlook.cluster)
    if capacity is not None:
        facts = [f"capacity {capacity} (--capacity), whatever the statistics say"]
    else:
        origin = effective.origins.get(outlook.cluster)
        facts = [
            "limit     none is configured"
            if room.limit is None
            else f"limit     {room.limit} may wait ({origin})",
            _statistic(room, effective),
            f"in flight {room.in_flight} released, which no statistic can show yet",
        ]
    colour = "green" if outlook.goes else "yellow"
    first = ""
    if outlook.next:
        job = outlook.next
        names = [f"job {job.number}", job.beamline, job.visit, job.recipe]
        first = f"{', '.join(name for name in names if name)}: "
    facts = [escape(fact) for fact in facts]
    return [*facts, f"next      {escape(printable(first))}[{colour}]{escape(outlook.why)}[/]"]


def _statistic(room: Room, effective: Effective) -> str:
    from dlstbx_cli.commands.trees import age

    origin = f"{effective.limits.timeout:g} s is too old ({effective.timeout_origin})"
    if room.waiting is None:
        return f"waiting   not known: there is no statistic yet; {origin}"
    return f"waiting   {room.waiting}, {age(room.age)} ago; {origin}"
