"""``backlog-release``: release held jobs while their cluster has room."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command
from dlstbx_cli.services.errors import Misconfigured

EXAMPLES = """\
mimas-plan 993677 | ispyb-create-job | backlog-release --capacity slurm=10
backlog-release --once --capacity slurm=10
backlog-release --listen --limit slurm=40"""


@command("backlog-release", EXAMPLES)
@click.option(
    "--capacity",
    "capacities",
    multiple=True,
    metavar="CLUSTER=N",
    help="Release up to N jobs for this cluster, whatever its statistics; may be repeated.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="CLUSTER=N",
    help="Release while fewer than N jobs wait on this cluster. [default: slurm=60, iris=3000]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Age at which a cluster's statistic is too old. [default: 300]",
)
@options.service
def main_command(
    run: Run,
    capacities: tuple[str, ...],
    limits: tuple[str, ...],
    timeout: float | None,
    **ways: Any,
) -> int:
    """Release held jobs while their cluster has room, first in first out.

    Takes the messages addressed to mimas.held. Those that there is room for go on to
    processing_recipe, the others stay where they are; without statistics (lines or
    broadcasts of transient.statistics.cluster) or --capacity, that is all of them.
    """
    from dlstbx_cli.commands.serving import Serving, serve
    from dlstbx_cli.services.backlog import Backlog

    serving = Serving(**ways)
    given = options.pairs(limits, "--limit")
    capacity = options.pairs(capacities, "--capacity")

    def make() -> Backlog:
        settings = _settings(run.configuration.storage)
        if timeout is not None:
            settings["timeout"] = timeout
        settings["limits"].update(given)
        return Backlog(time.time, capacity=capacity, **settings)

    return serve(run, make, serving)


main = main_command.main


def _settings(storage: Mapping[str, Any]) -> dict[str, Any]:
    """Return limits and time-out of the Zocalo storage configuration. Raises Misconfigured."""
    limits, timeout = storage.get("max_jobs_waiting", {}), storage.get("timeout")
    if not isinstance(limits, dict) or not all(type(number) is int for number in limits.values()):
        raise Misconfigured("max_jobs_waiting in the Zocalo storage must be numbers by cluster")
    if timeout is None:
        return {"limits": dict(limits)}
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout < 0:
        raise Misconfigured(f"timeout in the Zocalo storage must be seconds, not {timeout!r}")
    return {"limits": dict(limits), "timeout": float(timeout)}
