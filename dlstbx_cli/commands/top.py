"""``dlstbx-top``: what goes on now, and what does not, in one view."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import DONE, Run, command
from dlstbx_cli.commands.limits import Chosen, choosing, effective

if TYPE_CHECKING:
    from dlstbx_cli.commands.top_sources import Looker
    from dlstbx_cli.transport.stop import Stop

EXAMPLES = """\
dlstbx-top
dlstbx-top --interval 10
dlstbx-top --once --table
dlstbx-top --once --json | jq '.clusters[] | {cluster, held, room, why}'"""

#: Seconds that the first view waits for what is slow; --once, which has no second, waits longer.
_FIRST, _ONLY = 1.0, 15.0


@command("dlstbx-top", EXAMPLES)
@click.option("--once", is_flag=True, help="Show it once, then end.")
@click.option("--json", "as_json", is_flag=True, help="One object a line for each look.")
@options.table
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 86400),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@choosing
@click.option(
    "--record", metavar="DIR", help="Where mimas-plan records its plans (DLSTBX_RECORDS)."
)
@options.broker
@options.state
def main_command(
    run: Run,
    once: bool,
    as_json: bool,
    table: bool,
    interval: float,
    limits: tuple[str, ...],
    timeout: float | None,
    priority: tuple[str, ...],
    record: str | None,
    broker: str | None,
    state: str | None,
) -> int:
    """Show what goes on: queues, clusters, held jobs, dead letters, decisions.

    At a terminal a view that is renewed until ctrl-C; on a pipe JSON Lines. It only looks.
    What is not there (no broker, no held jobs yet, no records) is said in its panel.
    """
    from dlstbx_cli.commands.top_sources import Backlog, Decisions, Looker, Queues
    from dlstbx_cli.transport.stop import Stop

    if as_json and table:
        raise click.UsageError("--json and --table exclude each other.")
    if math.isnan(interval):
        raise click.UsageError("--interval takes seconds.")
    allowed = effective(run.configuration.storage, Chosen.of(limits, timeout, priority))
    lookers = [
        Looker(Queues(options.broker_url(run, broker)), interval),
        Looker(Backlog(options.state_url(run, state), allowed), interval),
        Looker(Decisions(run.configuration.records(record)), interval),
    ]
    with Stop() as stop, ExitStack() as ends:
        for looker in lookers:
            looker.start()
            ends.callback(looker.end)
        _wait(lookers, _ONLY if once else _FIRST, stop)
        if as_json or not (table or sys.stdout.isatty()):
            _lines(lookers, None if once else interval, stop)
        elif once or not sys.stdout.isatty():
            _pages(lookers, None if once else interval, stop)
        else:
            _live(lookers, interval, stop)
    return DONE


main = main_command.main


def _wait(lookers: Sequence[Looker], seconds: float, stop: Stop) -> None:
    """Wait until all have looked once, but not for ever."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(one.ready.is_set() for one in lookers):
        if stop.wait(0.02):
            return


def _look(lookers: Sequence[Looker]) -> dict[str, Any]:
    """Return what all have seen: a value for each panel, None where there is a fault."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for looker in lookers:
        found = looker.found()
        for panel in looker.source.panels:
            values[panel] = found.values.get(panel)
            if found.fault is not None:
                faults[panel] = found.fault
    return {"time": time.time(), **values, "faults": faults}


def _lines(lookers: Sequence[Looker], interval: float | None, stop: Stop) -> None:
    while not stop.requested:
        click.echo(json.dumps(_look(lookers)))
        if interval is None or stop.wait(interval):
            return


def _pages(lookers: Sequence[Looker], interval: float | None, stop: Stop) -> None:
    """Print page after page, each whole."""
    from dlstbx_cli.commands.top_view import page
    from dlstbx_cli.commands.trees import console

    while not stop.requested:
        console().print(page(_look(lookers), interval, None))
        if interval is None or stop.wait(interval):
            return


def _live(lookers: Sequence[Looker], interval: float, stop: Stop) -> None:
    """Renew the page in its place, as large as the terminal is at that moment."""
    from rich.console import Console
    from rich.live import Live

    from dlstbx_cli.commands.top_view import page

    console = Console()
    if console.is_dumb_terminal:  # it could not be renewed in its place
        _pages(lookers, interval, stop)
        return

    def view() -> Any:
        return page(_look(lookers), interval, (console.width, console.height))

    with Live(view(), console=console, screen=True, auto_refresh=False) as live:
        while not stop.wait(interval):
            live.update(view(), refresh=True)
