"""``mimas-plan``: decide which processing follows a data collection."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.message import Message, Queue

EVENTS = ("start", "end", "start_group", "end_group")
EXAMPLES = """\
mimas-plan 993677
mimas-plan 993677 | jq
mimas-plan --event all --commands 993677
mimas-plan --rules dlstbx-mx < scenarios.jsonl
mimas-plan --listen"""


@command("mimas-plan", EXAMPLES)
@click.option(
    "--event",
    type=click.Choice([*EVENTS, "all"]),
    default="end",
    show_default=True,
    help="The event to plan for, with DCIDs as arguments.",
)
@click.option("--commands", is_flag=True, help="Print commands that could be pasted into a shell.")
@click.option("--tree", is_flag=True, help="A tree by rule, as at a terminal, also on a pipe.")
@click.option(
    "--rules",
    multiple=True,
    metavar="NAME",
    help="Use only this set of rules; may be repeated (DLSTBX_RULES, separated by commas).",
)
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
    rules: tuple[str, ...],
    ispyb: str | None,
    recipes: str | None,
    **ways: Any,
) -> int:
    """Decide which processing follows a data collection.

    Takes the messages addressed to mimas, bare scenario objects, or DCIDs, and puts in
    their place the recipes to run (for processing_recipe) and the jobs to create (for
    ispyb_connector), each with the rule that asks for it. At a terminal, the plan is
    shown as a tree by rule.
    """
    from dlstbx_cli.commands.serving import Filtering, Serving, serve
    from dlstbx_cli.services.mimas import MimasService

    serving = Serving(**ways)
    if (commands or tree) and not serving.prints:
        raise click.UsageError("--commands and --tree go without --once, --listen, --send.")
    show = _view(commands, tree or (serving.prints and sys.stdout.isatty()))

    def make() -> Any:
        lookup = _lookup(run, ispyb, recipes) if dcids else None
        service = MimasService(_planner(run, rules), lookup)
        return _Shown(service, show) if show else service

    # A dead letter is no plan: its reason stands on stderr, and its line is left out.
    quiet: dict[str, Any] = {"emit": _nowhere, "pass_on": _nowhere} if show else {}
    messages = _requests(dcids, event) if dcids else None
    return serve(run, make, serving, Filtering(messages, _adopt, **quiet))


main = main_command.main


def _planner(run: Run, rules: tuple[str, ...]) -> Any:
    from dlstbx_cli.mimas import core
    from dlstbx_cli.mimas.errors import UnknownHandlerError
    from dlstbx_cli.mimas.registry import load_handlers

    chosen = rules or tuple(filter(None, os.environ.get("DLSTBX_RULES", "").split(",")))
    try:
        handlers = load_handlers(chosen or None)
    except UnknownHandlerError as error:
        if rules:
            raise click.UsageError(f"--rules: {error}") from None
        raise Misconfigured(f"DLSTBX_RULES: {error}") from None
    except ValueError as error:
        # A site's rules that cannot be loaded would make a dead letter of every request.
        raise Misconfigured(str(error)) from None
    return partial(core.plan, zc=run.configuration.zocalo, handlers=handlers)


def _lookup(run: Run, ispyb: str | None, recipes: str | None) -> Callable[[Any], Any]:
    from dlstbx_cli.database.lookup import Lookup
    from dlstbx_cli.recipes import RecipeDirectory
    from dlstbx_cli.services.mimas import RecipeScenarios

    store = RecipeDirectory(run.configuration.recipes(recipes))
    # One look-up serves all events of a collection.
    return lru_cache(maxsize=1)(RecipeScenarios(Lookup(options.engine(run, ispyb)), store))


def _requests(dcids: tuple[str, ...], event: str) -> Iterator[Message]:
    for dcid in dcids:
        for name in EVENTS if event == "all" else (event,):
            body = {"ispyb_dcid": options.identifier(dcid), "event": name}
            yield Message(Queue("mimas"), body)


def _adopt(record: dict[str, Any]) -> Message | None:
    """Take a bare scenario object for a message."""
    return Message(Queue("mimas"), record) if "dcid" in record else None


class _Shown:
    """The service as it is, but its plans are shown to a person instead of sent."""

    topics = ()

    def __init__(self, service: Any, show: Callable[[Any], None]) -> None:
        self.name, self.queue = service.name, service.queue
        self._plan, self._show = service.plan, show

    def handle(self, message: Message) -> list[Message]:
        from dlstbx_cli.transport.link import OutputClosed

        plan = self._plan(message)
        try:
            self._show(plan)
        except BrokenPipeError:
            raise OutputClosed from None
        return []

    def observe(self, message: Message) -> None:
        """Listen to no topic."""


def _view(commands: bool, tree: bool) -> Callable[[Any], None] | None:
    """Return what shows a plan to a person; None: it is for programs."""
    if commands:
        return _print_commands
    if tree:
        from dlstbx_cli.commands.trees import print_plan

        return print_plan
    return None


def _nowhere(_: Any) -> None:
    """Take what is not shown."""


def _print_commands(plan: Any) -> None:
    from dlstbx_cli.mimas import zocalo_command_line

    for planned in plan.tasks:
        click.echo(zocalo_command_line(planned.task))
