"""``mimas-plan``: decide which processing follows a data collection."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import click

from dlstbx_cli.commands import options, period, recording, rule_sets
from dlstbx_cli.commands.base import Run, command
from dlstbx_cli.commands.options import EVENTS
from dlstbx_cli.commands.period import Given, Period
from dlstbx_cli.services.message import Message, Queue

if TYPE_CHECKING:
    from dlstbx_cli.commands.serving import Serving

EXAMPLES = """\
mimas-plan 993677
mimas-plan 993677 | jq
mimas-plan --event all --commands 993677
mimas-plan --explain 993677
mimas-plan --since 7d --beamline i03 > plans.jsonl
mimas-plan --rules dlstbx-mx < scenarios.jsonl
mimas-plan --listen --record /var/lib/dlstbx/records
mimas-plan --replay mimas-2026-11-25.jsonl"""


@command("mimas-plan", EXAMPLES)
@click.option(
    "--event",
    type=click.Choice([*EVENTS, "all"]),
    default="end",
    show_default=True,
    help="The event to plan for, with DCIDs or --since.",
)
@click.option("--commands", is_flag=True, help="Print commands that could be pasted into a shell.")
@click.option("--tree", is_flag=True, help="A tree by rule, as at a terminal, also on a pipe.")
@click.option(
    "--explain",
    is_flag=True,
    help="Show why: of each rule what decided, of each task where it comes from.",
)
@click.option("--json", "as_json", is_flag=True, help="With --explain: lines, also at a terminal.")
@click.option(
    "--statistics",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Lines with cluster statistics to begin with; -: standard input, with DCIDs.",
)
@rule_sets.option
@click.option(
    "--overrides",
    metavar="FILE",
    help="What is not to be as the rules want it, for a while (DLSTBX_OVERRIDES).",
)
@click.option(
    "--record",
    metavar="DIR",
    help="Write each plan and why to a file a day (with --listen: DLSTBX_RECORDS).",
)
@click.option(
    "--record-days",
    type=click.IntRange(min=1),
    default=recording.DAYS,
    show_default=True,
    metavar="N",
    help="Remove records that are older.",
)
@click.option(
    "--record-megabytes",
    type=click.IntRange(min=1),
    default=recording.MEGABYTES,
    show_default=True,
    metavar="N",
    help="Remove the oldest records beyond that.",
)
@click.option(
    "--replay",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Plan anew what these records were about; may be repeated; -: standard input.",
)
@period.options
@options.service
@options.ispyb
@options.recipes
@click.argument("dcids", nargs=-1, metavar="[DCID]...")
def main_command(
    run: Run,
    dcids: tuple[str, ...],
    event: str,
    commands: bool,
    tree: bool,
    explain: bool,
    as_json: bool,
    statistics: str | None,
    rules: tuple[str, ...],
    overrides: str | None,
    replay: tuple[str, ...],
    ispyb: str | None,
    recipes: str | None,
    **others: Any,
) -> int:
    """Decide which processing follows a data collection.

    Takes the messages addressed to mimas, bare scenario objects, or DCIDs, and puts in
    their place the recipes to run (for processing_recipe) and the jobs to create (for
    ispyb_connector), each with the rule that asks for it. At a terminal, the plan is
    shown as a tree by rule.
    """
    from dlstbx_cli.commands.overriding import Overridden, overriding
    from dlstbx_cli.commands.serving import Filtering, Serving, serve
    from dlstbx_cli.services.mimas import MimasService

    records = _Recording(**{name: others.pop(name) for name in _RECORDING})
    given = Given(dcids, replay, Period(run, **{name: others.pop(name) for name in period.NAMES}))
    serving = Serving(**others)
    overridden = Overridden()
    show = _View(serving.prints, commands, tree, explain, as_json).chosen()
    _refuse(statistics, given)

    def make() -> Any:
        from dlstbx_cli.mimas import core
        from dlstbx_cli.mimas.reasons import reasons

        lookup = _lookup(run, ispyb, recipes, given.period) if given.by_dcid else None
        handlers = rule_sets.handlers(rules)
        service = MimasService(
            partial(core.plan, zc=run.configuration.zocalo, handlers=handlers),
            lookup,
            _cloud(run, explain and not show),
            overriding(run, overrides),
            partial(reasons, handlers=handlers, zc=run.configuration.zocalo),
        )
        service.recorder = records.recorder(run, serving)
        if given.many:
            service.teller = overridden
        if statistics:
            _tell(service, statistics)
        return _Shown(service, *show) if show else service

    # A dead letter is no plan: its reason stands on stderr, and its line is left out.
    quiet: dict[str, Any] = {"emit": _nowhere, "pass_on": _nowhere} if show else {}
    messages = given.messages(EVENTS if event == "all" else (event,))
    code = serve(run, make, serving, Filtering(messages, _adopt, **quiet))
    overridden.say(run)
    return code


main = main_command.main


_RECORDING = ("record", "record_days", "record_megabytes")


@dataclass(frozen=True)
class _Recording:
    """Where records go, as the options say."""

    record: str | None
    record_days: int
    record_megabytes: int

    def recorder(self, run: Run, serving: Serving) -> Any:
        """Return what takes down the plans; None: nobody asks for that."""
        # What a service is configured to do is not what a person means who tries something.
        if not self.record and not serving.listen:
            return None
        directory = run.configuration.records(self.record)
        if directory is None:
            return None
        return recording.Records(directory, self.record_days, self.record_megabytes)


def _lookup(
    run: Run, ispyb: str | None, recipes: str | None, chosen: Period
) -> Callable[[Any], Any]:
    from dlstbx_cli.database.lookup import Lookup
    from dlstbx_cli.recipes import RecipeDirectory
    from dlstbx_cli.services.mimas import RecipeScenarios

    store = RecipeDirectory(run.configuration.recipes(recipes))
    engine = options.engine(run, ispyb)
    scenarios = RecipeScenarios(Lookup(engine), store)
    if chosen.given:
        return chosen.answered_by(engine, scenarios)
    # One look-up serves all events of a collection.
    return lru_cache(maxsize=1)(scenarios)


def _cloud(run: Run, logs: bool) -> Any:
    from dlstbx_cli.services import cloud
    from dlstbx_cli.services.cloud_settings import CloudSettings

    # Whatever else the log leaves out: this was asked for.
    cloud.logger.setLevel("INFO" if logs else "NOTSET")
    return cloud.Cloud(CloudSettings.from_storage(run.configuration.storage, os.environ), time.time)


def _refuse(statistics: str | None, given: Given) -> None:
    """Raise UsageError if standard input would be read for two things."""
    if statistics == "-" and not given.by_dcid:
        raise click.UsageError(
            "--statistics - reads standard input: it goes with DCIDs or --since."
        )


def _tell(service: Any, path: str) -> None:
    """Give a service the statistics of a file; lines for others are none of its business."""
    from dlstbx_cli.services.errors import Rejected
    from dlstbx_cli.services.held.statistics import TOPIC
    from dlstbx_cli.services.message import Topic
    from dlstbx_cli.transport.envelope import parse

    try:
        with click.open_file(path, "rb") as stream:
            lines = list(stream)
    except OSError as error:
        raise click.UsageError(f"--statistics {path}: {error.strerror}.") from None
    for number, line in enumerate(lines, 1):
        try:
            message = None if line.isspace() else parse(line)
            if message and message.destination == Topic(TOPIC):
                service.observe(message)
        except Rejected as error:
            raise click.UsageError(f"--statistics {path}: line {number}: {error}.") from None


def _adopt(record: dict[str, Any]) -> Message | None:
    """Take a bare scenario object for a message."""
    return Message(Queue("mimas"), record) if "dcid" in record else None


Show = Callable[[Any], None]


class _Shown:
    """The service as it is, but what it decides is shown to a person instead of sent.

    :param look: the name of the service's method that returns what is shown.
    """

    def __init__(self, service: Any, look: str, show: Show) -> None:
        self.name, self.queue, self.topics = service.name, service.queue, service.topics
        self.observe = service.observe
        self._look, self._show = getattr(service, look), show

    def handle(self, message: Message) -> list[Message]:
        from dlstbx_cli.transport.link import OutputClosed

        seen = self._look(message)
        try:
            self._show(seen)
        except BrokenPipeError:
            raise OutputClosed from None
        return []


@dataclass(frozen=True)
class _View:
    """What a person wants to see, as the options say. Raises UsageError if they contradict.

    :param prints: whether there is an output to show it on.
    """

    prints: bool
    commands: bool
    tree: bool
    explain: bool
    as_json: bool

    def __post_init__(self) -> None:
        if (self.commands or self.tree or self.as_json) and not self.prints:
            raise click.UsageError(
                "--commands, --tree and --json go without --once, --listen, --send."
            )
        if self.as_json and not self.explain:
            raise click.UsageError("--json is for --explain: a plan on a pipe is JSON anyway.")
        if self.commands + self.tree + self.as_json > 1 or (self.commands and self.explain):
            raise click.UsageError("choose one of --commands, --tree, --explain (--json).")

    def chosen(self) -> tuple[str, Show] | None:
        """Return what of the service is shown, and by what; None: its results go on."""
        if not self.prints:
            return None
        tree = self.tree or (sys.stdout.isatty() and not self.as_json)
        if self.explain:
            return "explain", _print_explanation if tree else _print_records
        if self.commands:
            return "plan", _print_commands
        return ("plan", _print_plan) if tree else None


def _nowhere(_: Any) -> None:
    """Take what is not shown."""


def _print_commands(plan: Any) -> None:
    from dlstbx_cli.mimas import zocalo_command_line

    for planned in plan.tasks:
        click.echo(zocalo_command_line(planned.task))


def _print_plan(plan: Any) -> None:
    from dlstbx_cli.commands.trees import print_plan

    print_plan(plan)


def _print_explanation(explanation: Any) -> None:
    from dlstbx_cli.commands.explanation_tree import print_explanation

    print_explanation(explanation)


def _print_records(explanation: Any) -> None:
    if lines := [json.dumps(record) for record in explanation.records()]:
        click.echo("\n".join(lines))
