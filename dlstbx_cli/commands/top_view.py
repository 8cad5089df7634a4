"""What ``dlstbx-top`` shows a person: five panels, as much of each as there is room for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dlstbx_cli.commands.base import printable
from dlstbx_cli.commands.times import shown
from dlstbx_cli.commands.top_sources import LETTERS
from dlstbx_cli.commands.trees import age, cell
from dlstbx_cli.services.message import DLQ

#: Columns from which on two panels stand side by side.
WIDE = 150
#: Lines of a panel beside its rows: two of the border, one of the heads.
_FRAME = 3
#: Lines that are not used: the title above, and the cursor below.
_REST = 2

Row = Sequence[Any]


@dataclass(frozen=True)
class Shown:
    """One panel.

    :param columns: the heads; of a fault there are none.
    :param rows: the cells; None is shown as a dash, a text as it is.
    :param fault: what is said instead of rows.
    :param latest: the last rows are those to see, where there is no room for all.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    fault: str | None = None
    latest: bool = False

    def panel(self, rows: int | None) -> Panel:
        """Return it with at most so many rows; None: all."""
        return Panel(
            self._body(rows),
            title=f"[bold]{self.title}[/]",
            title_align="left",
            border_style="yellow" if self.fault else "dim",
            padding=(0, 1),
            height=None if rows is None else rows + _FRAME,
        )

    def _body(self, most: int | None) -> RenderableType:
        if self.fault:
            return Text(printable(self.fault), style="yellow")
        if not self.rows:
            return "[dim]nothing[/]"
        cut = most is not None and len(self.rows) > most
        # One line says what is left out.
        room = max(0, (most or 0) - 1) if cut else len(self.rows)
        chosen = self.rows[len(self.rows) - room :] if self.latest else self.rows[:room]
        table = self._table(chosen)
        left = len(self.rows) - room
        return Group(table, f"[dim]and {left} more[/]") if cut else table

    def _table(self, rows: Sequence[Row]) -> Table:
        table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
        last = len(self.columns) - 1
        for place, column in enumerate(self.columns):
            numbers = any(isinstance(row[place], int | float) for row in self.rows)
            table.add_column(
                column,
                justify="right" if numbers else "left",
                no_wrap=True,
                overflow="ellipsis",
                # What is longest stands last, and takes what the others leave.
                ratio=1 if place == last else None,
            )
        for row in rows:
            table.add_row(*map(cell, row))
        return table


def shares(needs: Sequence[int], room: int) -> list[int]:
    """Return how many lines each gets of *room*: what one does not need goes to the others."""
    given = [0] * len(needs)
    left = max(0, room)
    while left > 0 and (asking := [n for n, need in enumerate(needs) if given[n] < need]):
        for place in asking[:left]:
            given[place] += 1
        left -= min(left, len(asking))
    return given


def page(look: Mapping[str, Any], interval: float | None, size: tuple[int, int] | None) -> Group:
    """Return a look as a page.

    :param interval: seconds to the next one; None: there is none.
    :param size: columns and lines of the terminal, which the page is cut to; None: it is whole.
    """
    panels = {name: make(look) for name, make in _PANELS.items()}
    wide = size is None or size[0] >= WIDE
    lines = [*_SIDE_BY_SIDE] if wide and size else [(name,) for name in _PANELS]
    needs = [max(_need(panels[name]) for name in line) for line in lines]
    room: Sequence[int | None] = [None] * len(lines)
    if size is not None:
        room = shares(needs, size[1] - _REST - _FRAME * len(lines))
    parts: list[RenderableType] = [_title(look, interval)]
    for names, rows in zip(lines, room, strict=True):
        parts.append(_beside([panels[name].panel(rows) for name in names]))
    return Group(*parts)


def _need(shown: Shown) -> int:
    # A fault may be too long for one line.
    return 2 if shown.fault else max(1, len(shown.rows))


def _beside(panels: Sequence[Panel]) -> RenderableType:
    if len(panels) == 1:
        return panels[0]
    grid = Table.grid(expand=True)
    for _ in panels:
        grid.add_column(ratio=1)
    grid.add_row(*panels)
    return grid


def _title(look: Mapping[str, Any], interval: float | None) -> Text:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(look["time"]))
    ends = "" if interval is None else f"   every {interval:g} s, ctrl-C ends"
    return Text.from_markup(f"[bold cyan]dlstbx-top[/] {when}[dim]{ends}[/]")


def _shown(
    look: Mapping[str, Any],
    panel: str,
    title: str,
    columns: Sequence[str],
    rows: Callable[[Any], Sequence[Row]],
    *,
    latest: bool = False,
) -> Shown:
    found = look[panel]
    fault = look["faults"].get(panel)
    made = rows(found) if found is not None else ()
    return Shown(title, columns, made, fault, latest)


def _queues(look: Mapping[str, Any]) -> Shown:
    now = look["time"]

    def rows(found: Any) -> list[Row]:
        return [
            (
                _coloured(one["queue"], "red") if one["queue"].startswith(DLQ) else one["queue"],
                one["ready"],
                one["in_hand"],
                one["delayed"],
                None if one["oldest"] is None else age(now - one["oldest"]),
                _signed(one["change"]),
            )
            for one in found
        ]

    columns = ["queue", "ready", "in hand", "delayed", "oldest", "change/min"]
    return _shown(look, "queues", "queues", columns, rows)


def _clusters(look: Mapping[str, Any]) -> Shown:
    def rows(found: Any) -> list[Row]:
        return [
            (
                one["cluster"],
                one["held"],
                _of_limit(one),
                None if one["age"] is None else f"{age(one['age'])} ago",
                one["released_last_hour"],
                _coloured(one["room"], "green" if one["room"] else "yellow"),
                one["why"],
            )
            for one in found
        ]

    columns = ["cluster", "held", "waiting", "known", "released/h", "room", "why"]
    return _shown(look, "clusters", "clusters: statistics and room", columns, rows)


def _held(look: Mapping[str, Any]) -> Shown:
    def rows(found: Any) -> list[Row]:
        return [
            (
                one["visit"] or one["beamline"] or "not known",
                one["cluster"],
                one["jobs"],
                one["paused"] or None,
                age(one["age"]),
            )
            for one in found
        ]

    total = "" if look["held"] is None else f": {sum(one['jobs'] for one in look['held'])}"
    columns = ["visit", "cluster", "jobs", "paused", "oldest"]
    return _shown(look, "held", f"held{total}", columns, rows)


def _letters(look: Mapping[str, Any]) -> Shown:
    now = look["time"]

    def rows(found: Any) -> list[Row]:
        return [
            (
                one["id"][:8],
                one["queue"].removeprefix(DLQ),
                None if one["rejected_at"] is None else age(now - one["rejected_at"]),
                one["dcid"],
                one["reason"],
            )
            for one in found["last"]
        ]

    count, seen = ((look["dead_letters"] or {}).get(key, 0) for key in ("count", "looked_at"))
    columns = ["id", "queue", "age", "DCID", "reason"]
    title = f"dead letters: {count}" if count else "dead letters"
    if LETTERS <= seen < count:  # a broker shows the oldest first
        title += f", the last of the first {seen}"
    return _shown(look, "dead_letters", title, columns, rows, latest=True)


def _decisions(look: Mapping[str, Any]) -> Shown:
    def rows(found: Any) -> list[Row]:
        return [
            (
                shown(one["time"], "%m-%d %H:%M:%S")
                if isinstance(one["time"], int | float)
                else None,
                one["dcid"],
                str(one["event"] or "").lower(),
                one["visit"] or one["beamline"],
                _decided(one),
            )
            for one in found
        ]

    columns = ["time", "DCID", "event", "visit", "decided"]
    return _shown(look, "decisions", "last decisions", columns, rows, latest=True)


#: What becomes of recipes, the most interesting first.
_KINDS = {"start": "green", "hold": "yellow", "drop": "red", "run": "green"}


def _decided(one: Mapping[str, Any]) -> Text:
    """Return a plan in one line: how many recipes by what becomes of them, and which."""
    if one["refused"]:
        return _coloured(f"refused: {one['refused']}", "red")
    recipes: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for task in one["tasks"]:
        recipes.setdefault(str(task["kind"]), []).append(str(task["recipe"]))
    recipes["drop"] += map(str, one["dropped"])
    parts = [
        _coloured(f"{kind} {len(names)}", _KINDS.get(kind, "red"))
        for kind, names in recipes.items()
        if names
    ]
    if not parts:
        return _coloured("no rule asks for anything", "dim")
    names = ", ".join(name for names in recipes.values() for name in names)
    return Text.assemble(Text(", ").join(parts), ": ", printable(names))


def _of_limit(one: Mapping[str, Any]) -> str | None:
    if one["waiting"] is None and one["limit"] is None:
        return None
    waiting = "?" if one["waiting"] is None else one["waiting"]
    return f"{waiting} of {'no limit' if one['limit'] is None else one['limit']}"


def _signed(change: float | None) -> Text | None:
    if change is None:
        return None
    colour = "red" if change > 0 else "green" if change < 0 else "dim"
    return _coloured(f"{change:+.0f}", colour)


def _coloured(value: Any, colour: str) -> Text:
    return Text(printable(str(value)), style=colour)


_PANELS: Mapping[str, Callable[[Mapping[str, Any]], Shown]] = {
    "queues": _queues,
    "clusters": _clusters,
    "held": _held,
    "dead_letters": _letters,
    "decisions": _decisions,
}
_SIDE_BY_SIDE = (("queues", "clusters"), ("dead_letters", "held"), ("decisions",))
