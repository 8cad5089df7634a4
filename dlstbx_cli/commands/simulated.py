"""Simulations run one after the other, and what is printed of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import click

from dlstbx_cli.commands.progress import Tell
from dlstbx_cli.services.held.simulate import Arrival, Model, simulate
from dlstbx_cli.services.held.summary import Use, Waits, by_cluster, by_visit
from dlstbx_cli.services.held.values import Limits


@dataclass(frozen=True, slots=True)
class Report:
    """What one simulation comes to.

    :param limits: of the clusters that have jobs.
    """

    limits: dict[str, int]
    total: Waits
    visits: dict[str, Waits]
    clusters: dict[str, Use]

    @property
    def worst(self) -> tuple[str, Waits]:
        """The visit whose jobs took longest, and how long."""
        return next(iter(self.visits.items()))


def run(
    arrivals: Sequence[Arrival],
    model: Model,
    scenarios: Sequence[Limits],
    tell: Tell,
    stopped: Callable[[], bool],
) -> list[Report] | None:
    """Return what comes of each of the limits; None if told to stop before the end."""
    reports: list[Report] = []
    total = len(arrivals) * len(scenarios)

    def watch(come: int) -> None:
        tell("simulating", len(reports) * len(arrivals) + come, total)
        if stopped():
            raise _Stopped

    try:
        for limits in scenarios if arrivals else ():
            watch(0)
            reports.append(_report(arrivals, model, limits, watch))
    except _Stopped:
        return None
    return None if stopped() else reports


class _Stopped(Exception):
    """Somebody wants this to end."""


def _report(
    arrivals: Sequence[Arrival], model: Model, limits: Limits, watch: Callable[[int], None]
) -> Report:
    fates = simulate(arrivals, model, limits, watch=watch)
    clusters = by_cluster(fates)
    return Report(
        {cluster: limits.waiting[cluster] for cluster in clusters},
        Waits.of(fates),
        by_visit(fates),
        {name: Use.of(theirs, model.slots[name]) for name, theirs in clusters.items()},
    )


def show(reports: Sequence[Report], *, compare: bool, tables: bool) -> None:
    """Print reports: tables for a person, or lines for a program.

    :param compare: one line for each, without the visits.
    """
    if not reports:
        return
    if not tables:
        for report in reports:
            for record in [_compared(report)] if compare else _records(report):
                click.echo(json.dumps(record))
    elif compare:
        _compare(reports)
    else:
        for report in reports:
            _tables(report)


def _records(report: Report) -> Iterator[dict[str, Any]]:
    for visit, waits in report.visits.items():
        yield {"kind": "visit", "visit": visit or None, **_fields(report, waits)}
    yield {"kind": "total", **_fields(report, report.total)}
    for cluster, use in report.clusters.items():
        yield {"kind": "cluster", "cluster": cluster, "limits": report.limits, **_used(use)}


def _compared(report: Report) -> dict[str, Any]:
    visit, waits = report.worst
    return {
        "kind": "limits",
        **_fields(report, report.total),
        "worst_visit": visit or None,
        "worst_end_to_end": _seconds(waits.end_to_end),
        "clusters": {cluster: _used(use) for cluster, use in report.clusters.items()},
    }


def _fields(report: Report, waits: Waits) -> dict[str, Any]:
    return {
        "limits": report.limits,
        "jobs": waits.jobs,
        "left": waits.left,
        "held": _seconds(waits.held),
        "queued": _seconds(waits.queued),
        "end_to_end": _seconds(waits.end_to_end),
    }


def _seconds(times: Any) -> dict[str, float | None] | None:
    """Return times as JSON has them: it knows no infinity."""
    if times is None:
        return None
    return {
        name: None if value == inf else round(value, 1) for name, value in asdict(times).items()
    }


def _used(use: Use) -> dict[str, Any]:
    return {
        "slots": use.slots,
        "jobs": use.jobs,
        "seconds": round(use.seconds, 1),
        "busy": round(use.busy, 3),
        "use": round(use.share, 4),
        "idle_while_held": round(use.idle_while_held, 1),
    }


def _tables(report: Report) -> None:
    from dlstbx_cli.commands.trees import print_table

    click.echo(f"limits: {_named(report.limits)}")
    left = report.total.left > 0
    columns = ["visit", "jobs", *_names(left), "held\nmost"]
    rows = []
    for visit, waits in (*report.visits.items(), ("all", report.total)):
        most = waits.held.longest if waits.held else None
        rows.append((visit or None, waits.jobs, *_times(waits, left), _span(most)))
    print_table(columns, rows)
    print_table(
        ["cluster", "slots", "jobs", "time", "busy slots", "use", "idle while held"],
        [
            (
                *(name, use.slots, use.jobs, _span(use.seconds)),
                *(round(use.busy, 1), _percent(use), f"{_idle(use)} slot hours"),
            )
            for name, use in report.clusters.items()
        ],
    )


def _compare(reports: Sequence[Report]) -> None:
    from dlstbx_cli.commands.trees import print_table

    left = any(report.total.left for report in reports)
    columns = ["limits", *_names(left), "worst\n90 %"]
    for name in reports[0].clusters:
        columns += [f"{name}\nuse", "idle,\nslot h"]
    rows = []
    for report in reports:
        worst = report.worst[1].end_to_end
        row = [_named(report.limits), *_times(report.total, left)]
        row.append(_span(worst.p90 if worst else None))
        for use in report.clusters.values():
            row += [_percent(use), _idle(use)]
        rows.append(row)
    print_table(columns, rows)


def _names(left: bool) -> list[str]:
    """Return what the columns of times are called.

    :param left: whether any jobs are still held at the end.
    """
    names = ["held\n50 %", "held\n90 %", "queue\n90 %", "to end\n50 %", "to end\n90 %"]
    return ["left", *names] if left else names


def _times(waits: Waits, left: bool) -> list[Any]:
    spans = [
        _span(getattr(times, name) if times else None)
        for times, name in (
            (waits.held, "median"),
            (waits.held, "p90"),
            (waits.queued, "p90"),
            (waits.end_to_end, "median"),
            (waits.end_to_end, "p90"),
        )
    ]
    return [waits.left, *spans] if left else spans


def _percent(use: Use) -> str:
    return f"{100 * use.share:.0f} %"


def _idle(use: Use) -> float:
    return round(use.idle_while_held / 3600, 1)


def _named(limits: dict[str, int]) -> str:
    return ", ".join(f"{cluster}={limit}" for cluster, limit in limits.items())


def _span(seconds: float | None) -> str | None:
    """Return how long something took, as options take it: short, for many columns."""
    if seconds is None:
        return None
    if seconds == inf:
        return "never"
    for unit, size, most in (("s", 1, 100), ("m", 60, 100), ("h", 3600, 48)):
        if seconds < size * most:
            number = seconds / size
            return f"{number:.1f}{unit}" if unit == "h" and number < 10 else f"{number:.0f}{unit}"
    return f"{seconds / 86400:.1f}d"
