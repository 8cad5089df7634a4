"""``backlog-release``: release held jobs while their cluster has room."""

from __future__ import annotations

import logging
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import DONE, TRY_AGAIN, Run, command, counted
from dlstbx_cli.commands.limits import Chosen, choosing, effective

if TYPE_CHECKING:
    from dlstbx_cli.commands.serving import Serving

logger = logging.getLogger("dlstbx_cli")

EXAMPLES = """\
mimas-plan 993677 | ispyb-create-job | backlog-release --capacity slurm=10
backlog-release --once --capacity slurm=10
backlog-release --listen --limit slurm=40
backlog-release --explain"""


@command("backlog-release", EXAMPLES)
@click.option(
    "--capacity",
    "capacities",
    multiple=True,
    metavar="CLUSTER=N",
    help="Release up to N jobs for this cluster, whatever its statistics; may be repeated.",
)
@choosing
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="With --once: wait so long for the next statistic.",
)
@click.option(
    "--explain", is_flag=True, help="Say what would be released, and why or why not; release none."
)
@click.option(
    "--tree", is_flag=True, help="With --explain: a tree, as at a terminal, also on a pipe."
)
@options.service
@options.state
def main_command(
    run: Run,
    capacities: tuple[str, ...],
    wait: float,
    explain: bool,
    tree: bool,
    state: str | None,
    limits: tuple[str, ...],
    timeout: float | None,
    priority: tuple[str, ...],
    **ways: Any,
) -> int:
    """Release held jobs while their cluster has room.

    Takes the messages addressed to mimas.held. Those that there is room for go on to
    processing_recipe; without statistics (lines or broadcasts of
    transient.statistics.cluster) or --capacity, that is none. With --once and --listen
    the others wait in the store, see backlog-ls: higher --priority goes first, then
    visits take turns, and the jobs of one visit go first in first out. In a pipe the
    others stay lines as they are, and the order is that of the lines.
    """
    from dlstbx_cli.commands.serving import Serving

    serving = Serving(**ways)
    chosen = Chosen.of(limits, timeout, priority, capacities)
    _check(serving, explain, tree=tree, priority=priority, wait=wait)
    if not explain:
        return _release(run, serving, chosen, state, wait)
    if serving != Serving(broker=serving.broker, max_attempts=serving.max_attempts):
        raise click.UsageError("--explain releases nothing: it goes without the ways to run.")
    from dlstbx_cli.commands import backlogs
    from dlstbx_cli.commands.explaining import explain_backlog

    allowed = effective(run.configuration.storage, chosen)
    explain_backlog(backlogs.store(run, state), allowed, time.time(), tree)
    return DONE


main = main_command.main


def _check(serving: Serving, explain: bool, **given: Any) -> None:
    """Refuse options that would do nothing. Raises UsageError."""
    from dlstbx_cli.transport.driver import Way

    if given["tree"] and not explain:
        raise click.UsageError("--tree is for --explain.")
    if given["wait"] and serving.way is not Way.ONCE:
        raise click.UsageError("--wait is for --once.")
    if given["priority"] and serving.way is Way.FILTER and not explain:
        raise click.UsageError(
            "--priority is for --once, --listen and --explain: a filter keeps the lines' order."
        )


def _release(run: Run, serving: Serving, chosen: Chosen, state: str | None, wait: float) -> int:
    from dlstbx_cli.commands import statistics_in
    from dlstbx_cli.commands.serving import serve
    from dlstbx_cli.services.backlog import Backlog, StoredBacklog
    from dlstbx_cli.transport.driver import Way
    from dlstbx_cli.transport.stop import Stop

    @cache
    def make() -> Any:
        found = effective(run.configuration.storage, chosen)
        logger.info("in force: %s", found, extra={"action": "limits"})
        allowed = found.limits
        if serving.way is Way.FILTER:
            return Backlog(time.time, allowed)
        from dlstbx_cli.database.held import HeldJobs

        store = HeldJobs.at(options.state_url(run, state))
        return StoredBacklog(store, allowed, time.time, time.time() + wait)

    code = DONE
    if serving.way is Way.ONCE and statistics_in.is_given():
        with Stop() as stop:
            code = statistics_in.take(run, make, stop)
        if code == TRY_AGAIN or stop.requested:
            return code
    code = max(code, serve(run, make, serving))
    if serving.way is Way.ONCE and sys.stderr.isatty():
        gone, held = make().summary()
        why = " (backlog-release --explain says why)" if held else ""
        run.say(f"released {counted(gone)}, {counted(held)} held{why}")
    return code
