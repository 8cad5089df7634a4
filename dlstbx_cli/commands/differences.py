"""What differs between two plans, as lines for a program or as tables for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from dlstbx_cli.services.difference import BY, Case, Difference, Lone, Sum, Task

#: Characters of a value in a table.
_WIDTH = 60
_NUMBERS = ("same", "changed", "added", "gone")


def print_records(found: Difference, *, cases: bool) -> None:
    """Print one object a line: the sums, then the cases."""
    for record in records(found, cases=cases):
        click.echo(json.dumps(record))


def records(found: Difference, *, cases: bool) -> Iterator[dict[str, Any]]:
    """Yield the sums, then the cases; ``kind`` says what each object is."""
    yield {
        "kind": "total",
        **asdict(found.total),
        "collections": {
            "both": found.places,
            "only_old": _number(found, "old"),
            "only_new": _number(found, "new"),
        },
    }
    for dimension in BY:
        for name, sum_ in _named(found, dimension):
            yield {"kind": dimension, dimension: name, **asdict(sum_)}
    if cases:
        yield from map(_of_lone, found.lone)
        yield from map(_of_case, found.cases)


def _number(found: Difference, side: str) -> int:
    return sum(lone.side == side for lone in found.lone)


def _named(found: Difference, dimension: str) -> list[tuple[str | None, Sum]]:
    """Return the sums by name; what has no name comes last."""
    return sorted(found.by[dimension].items(), key=lambda item: (item[0] is None, item[0] or ""))


def _of_lone(lone: Lone) -> dict[str, Any]:
    return {
        "kind": f"only_{lone.side}",
        "dcid": lone.place.dcid,
        "event": lone.place.event,
        "beamline": lone.beamline,
        "tasks": lone.tasks,
    }


def _of_case(case: Case) -> dict[str, Any]:
    task = case.task
    record = {
        "kind": case.kind,
        "dcid": task.place.dcid,
        "event": task.place.event,
        "beamline": case.beamline,
        "rule": task.rule,
        "recipe": task.recipe,
        "task": task.kind,
    }
    if case.old and case.new:
        if case.old.rule != case.new.rule:
            record["old_rule"] = case.old.rule
        record["changes"] = [
            {
                "name": change.name,
                **{
                    side: json.loads(text)
                    for side, text in (("old", change.old), ("new", change.new))
                    if text is not None
                },
            }
            for change in case.changes
        ]
        return record
    return {**record, "fields": task.fields, "alone": case.alone}


def print_tables(found: Difference, old: str, new: str, limit: int | None) -> None:
    """Print tables: the sums of what differs, then the cases.

    :param limit: so many cases of each kind; None: no cases.
    """
    total = found.total
    click.echo(
        f"OLD {old}: {total.same + total.changed + total.gone} tasks,"
        f" NEW {new}: {total.same + total.changed + total.added} tasks"
    )
    click.echo(", ".join(f"{getattr(total, kind)} {kind}" for kind in _NUMBERS))
    click.echo(
        f"collections and events: {found.places} in both,"
        f" {_number(found, 'old')} only in OLD, {_number(found, 'new')} only in NEW"
    )
    for dimension in BY:
        rows = [
            (name, *(getattr(sum_, kind) for kind in _NUMBERS))
            for name, sum_ in _named(found, dimension)
            if sum_.differs
        ]
        if rows:
            _table([dimension, *_NUMBERS], rows)
    if limit is None:
        return
    for side in ("old", "new"):
        lone = [one for one in found.lone if one.side == side]
        rows = [(one.place.dcid, one.place.event, one.beamline, one.tasks) for one in lone[:limit]]
        title = f"only in {side.upper()} (planned there alone, or nothing follows in the other)"
        _cases(title, ["DCID", "event", "beamline", "tasks"], rows, len(lone))
    for kind in ("changed", "added", "gone"):
        _tasks(kind, [case for case in found.cases if case.kind == kind and not case.alone], limit)


def _tasks(kind: str, cases: Sequence[Case], limit: int) -> None:
    columns = ["DCID", "event", "beamline", "rule", "recipe"]
    columns += ["field", "OLD", "NEW"] if kind == "changed" else ["what"]
    rows: list[Sequence[Any]] = []
    for case in cases[:limit]:
        task = case.task
        row = (task.place.dcid, task.place.event, case.beamline, task.rule, task.recipe)
        if kind == "changed":
            rows += [(*row, one.name, _short(one.old), _short(one.new)) for one in case.changes]
        else:
            rows.append((*row, _what(task)))
    _cases(kind, columns, rows, len(cases), len(cases[:limit]))


def _cases(
    title: str, columns: Sequence[str], rows: Sequence[Any], cases: int, shown: int | None = None
) -> None:
    """Print a table of cases, and how many there are besides.

    :param shown: how many cases the rows are of; None: one each.
    """
    if not cases:
        return
    click.echo(f"\n{title}: {cases}")
    if rows:
        _table(columns, rows)
    left = cases - (len(rows) if shown is None else shown)
    if left:
        click.echo(f"{left} more not shown (--limit; on a pipe all are)")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from dlstbx_cli.commands.trees import print_table

    print_table(columns, rows)


def _what(task: Task) -> str:
    """Return what becomes of a task, and with what, in the words of ``mimas-plan --tree``."""
    fields = task.fields
    verb = "run" if task.kind == "recipe" else "start" if fields.get("autostart") else "hold"
    marks = ("parameters.", "triggervariables.")
    pairs = [
        f"{name.partition('.')[2]}={value}"
        for name, value in fields.items()
        if name.startswith(marks)
    ]
    return _short(" ".join([verb, *pairs])) or verb


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= _WIDTH:
        return text
    return f"{text[: _WIDTH - 3]}..."
