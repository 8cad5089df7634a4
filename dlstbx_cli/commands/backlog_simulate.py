"""``backlog-simulate``: what limits would have done, before they are set."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product
from math import isfinite
from typing import Any

import click

from dlstbx_cli.commands import limits, options
from dlstbx_cli.commands.base import DONE, REJECTED, Run, command
from dlstbx_cli.commands.progress import progress
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.held.simulate import INTERVAL, START_DELAY, Model

EXAMPLES = """\
backlog-simulate --slots slurm=200 --length 900 arrivals.jsonl
backlog-simulate --slots slurm=200 --length 900~ --limit slurm=20,40,80 --compare arrivals.jsonl
backlog-simulate --slots slurm=2 --length 900 arrivals.jsonl | jq -c 'select(.kind == "visit")'"""


@command("backlog-simulate", EXAMPLES)
@click.option(
    "--slots",
    multiple=True,
    required=True,
    metavar="CLUSTER=N",
    help="How many jobs run on this cluster at once; may be repeated.",
)
@click.option(
    "--length",
    metavar="SECONDS",
    help="How long a job runs whose line does not say it: 600, 300-900 or 600~.",
)
@click.option(
    "--length-of",
    multiple=True,
    metavar="RECIPE=SECONDS",
    help="The same for the jobs of a recipe; may be repeated.",
)
@click.option(
    "--start-delay",
    type=click.FloatRange(min=0, max=86400),
    default=START_DELAY,
    show_default=True,
    metavar="SECONDS",
    help="Between a release and the cluster's knowing it.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=1, max=86400),
    default=INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="Between two statistics of a cluster.",
)
@limits.choosing
@click.option("--compare", is_flag=True, help="One line for each of --limit CLUSTER=N,N,...")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Of the lengths that are drawn.",
)
@options.table
@click.argument(
    "files", nargs=-1, type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="[FILE]...",
)  # fmt: skip
def main_command(
    run: Run,
    slots: tuple[str, ...],
    length: str | None,
    length_of: tuple[str, ...],
    start_delay: float,
    interval: float,
    compare: bool,
    seed: int,
    table: bool,
    files: tuple[str, ...],
    **chosen: Any,
) -> int:
    """Show how long held jobs would have waited with other limits or another cluster.

    Replays arrivals, lines from files or from stdin, against a model of the clusters and
    the policy of backlog-release. A line is an object with taken (or time), and if known
    cluster, visit, beamline, recipe and length; or a held message with a note taken.
    """
    from dlstbx_cli.commands import simulated
    from dlstbx_cli.services.held.arrivals import Lengths
    from dlstbx_cli.transport.stop import Stop

    if not (isfinite(start_delay) and isfinite(interval)):
        raise click.UsageError("--start-delay and --interval take seconds.")
    model = Model(_slots(slots), start_delay, interval)
    usual = None if length is None else _draw(length, "--length")
    lengths = Lengths(usual, _draws(length_of), seed)
    scenarios = _scenarios(run, model, chosen.pop("limits"), **chosen)
    with Stop() as stop:
        reading = _Reading(run, lengths, model, lambda: stop.requested)
        with progress() as tell:
            arrivals = reading.read(files, tell)
            reports = simulated.run(arrivals, model, scenarios, tell, lambda: stop.requested)
    if reports is None:
        run.say("told to stop before the end: there is no result")
        return REJECTED
    simulated.show(reports, compare=compare, tables=table or sys.stdout.isatty())
    return REJECTED if reading.rejected else DONE


main = main_command.main


class _Reading:
    """Reads arrivals line by line, and says what is wrong with a line as it comes."""

    def __init__(self, run: Run, lengths: Any, model: Model, stopped: Callable[[], bool]) -> None:
        self._run = run
        self._lengths = lengths
        self._model = model
        self._stopped = stopped
        self._others = 0
        self.rejected = False

    def read(self, files: tuple[str, ...], tell: Callable[[str, int, int | None], None]) -> Any:
        """Return the arrivals of all files, or of stdin."""
        found = []
        for path in files or ("-",):
            for number, line in enumerate(_lines(self._run, path, self._stopped), 1):
                try:
                    arrival = self._arrival(line)
                except Rejected as error:
                    place = f"line {number}" if path == "-" else f"{path}: line {number}"
                    self._run.say(f"{place}: {error}")
                    self.rejected = True
                    continue
                if arrival is not None:
                    found.append(arrival)
                tell("reading", len(found), None)
        if self._others:
            self._run.say(f"lines that are not for mimas.held, left out: {self._others}")
        return found

    def _arrival(self, line: bytes) -> Any:
        from dlstbx_cli.services.held.arrivals import arrival, record_of
        from dlstbx_cli.transport.envelope import from_record, load

        if not line.strip():
            return None
        record = load(line)
        if not isinstance(record, dict):
            raise Rejected("a line must be a JSON object")
        if "queue" in record or "topic" in record:
            record = record_of(from_record(record))
            if record is None:
                self._others += 1
                return None
        return arrival(record, self._lengths, self._model.slots)


def _lines(run: Run, path: str, stopped: Callable[[], bool]) -> Iterator[bytes]:
    from contextlib import nullcontext

    from dlstbx_cli.commands.serving import lines
    from dlstbx_cli.transport.lines import raw_lines

    with nullcontext(lines(run)) if path == "-" else click.open_file(path, "rb") as stream:
        yield from raw_lines(stream, stopped)


def _slots(texts: tuple[str, ...]) -> dict[str, int]:
    slots = options.pairs(texts, "--slots")
    if not all(slots.values()):
        raise click.UsageError("--slots takes CLUSTER=N, at least 1.")
    return slots


def _draw(text: str, flag: str) -> Any:
    from dlstbx_cli.services.held.arrivals import draw

    try:
        return draw(text)
    except ValueError as error:
        raise click.UsageError(f"{flag}: {error}.") from None


def _draws(texts: tuple[str, ...]) -> dict[str, Any]:
    draws = {}
    for text in texts:
        name, _, length = text.partition("=")
        if not name or not length:
            raise click.UsageError(f"--length-of takes RECIPE=SECONDS, not {text!r}.")
        draws[name] = _draw(length, "--length-of")
    return draws


def _scenarios(run: Run, model: Model, texts: tuple[str, ...], **others: Any) -> list[Any]:
    """Return the limits to simulate: every combination of those that the options give.

    Raises UsageError, Misconfigured.
    """
    given: dict[str, list[str]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        given.setdefault(name, []).extend(f"{name}={number}" for number in numbers.split(","))
    found = []
    for one in product(*given.values()):
        chosen = limits.Chosen.of(one, **others)
        found.append(limits.effective(run.configuration.storage, chosen).limits)
    for cluster in model.slots:
        if cluster not in found[0].waiting:
            raise click.UsageError(f"{cluster} has no limit: give --limit {cluster}=N.")
    return found
