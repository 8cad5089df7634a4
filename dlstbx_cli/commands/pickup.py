"""``dlstbx.pickup``: send the triggers that were stored while the broker was away."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import DONE, Run, command
from dlstbx_cli.commands.metering import Metering, metered
from dlstbx_cli.commands.times import duration

EXAMPLES = """\
dlstbx.pickup
dlstbx.pickup --priority mimas --max-age 2d
dlstbx.pickup --listen
dlstbx.pickup --stdout | recipe-dispatch | mimas-plan"""


@command("dlstbx.pickup", EXAMPLES)
@click.option(
    "--priority", default="", metavar="RECIPE,...", help="Triggers of these recipes first."
)
@click.option(
    "--max-age", metavar="AGE", help="Leave older triggers where they are: 90, 15m, 12h, 2d."
)
@click.option(
    "-d",
    "--delay",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="Wait between two triggers.",
)
@click.option("--listen", is_flag=True, help="Go on watching the directory, for ever.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the triggers, do not send them.")
@click.option("--drop-dir", metavar="DIR", help="Where triggers are stored (DLSTBX_DROP_DIR).")
@options.broker
@metered
def main_command(
    run: Run,
    priority: str,
    max_age: str | None,
    delay: float,
    listen: bool,
    to_stdout: bool,
    drop_dir: str | None,
    broker: str | None,
    metrics_port: int | None,
    metrics_host: str,
) -> int:
    """Send the triggers that were stored while the broker was away.

    Oldest first. Each file is removed when the broker has confirmed its trigger; what is
    interrupted goes on where it stopped. A file that is no trigger is set aside, with the
    reason, in DIR.broken.
    """
    from contextlib import ExitStack, closing

    from dlstbx_cli.transport.driver import Way, exit_code
    from dlstbx_cli.transport.driver import run as drive
    from dlstbx_cli.transport.pickup import DropDirectory, Order, stored
    from dlstbx_cli.transport.stop import GRACE, Stop

    metering = Metering(listen, metrics_port, metrics_host)
    oldest = duration(max_age, "--max-age") if max_age is not None else None
    order = Order(tuple(filter(None, priority.split(","))), oldest)
    directory = run.configuration.drop_dir(drop_dir)
    with ExitStack() as stack:
        stop = stack.enter_context(Stop(GRACE if listen else None))
        send = _sender(run, broker, to_stdout, stack)
        progress = stack.enter_context(_progress(len(stored(directory, order))))
        link = DropDirectory(directory, _Pickup.queue, send, order, delay, progress)
        stack.enter_context(closing(link))
        meter = metering.start(stack, run.name, _Pickup.queue)
        way = Way.LISTEN if listen else Way.ONCE
        tally = drive(_Pickup(), link, way, stop, meter=meter)
    if tally.unavailable:
        run.say(tally.unavailable)
    if tally.handled and not listen:
        run.say(f"sent {tally.handled} stored triggers")
    return DONE if listen else exit_code(tally)


main = main_command.main


class _Pickup:
    """The service of a command that sends what it finds as it is."""

    name = "dlstbx.pickup"
    queue = "processing_recipe"
    topics = ()

    def handle(self, message: Any) -> list[Any]:
        return [message]

    def observe(self, message: Any) -> None:
        """Listen to no topic."""


def _sender(run: Run, broker: str | None, to_stdout: bool, stack: Any) -> Callable[[Any], None]:
    from contextlib import closing

    if to_stdout:
        from dlstbx_cli.transport.lines import Output

        return Output().emit
    from dlstbx_cli.transport.broker import connect

    send: Callable[[Any], None] = stack.enter_context(
        closing(connect(options.broker_url(run, broker)))
    ).send
    return send


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar to a person who waits at a terminal."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("sending stored triggers", total=total)
        yield lambda left: bar.update(task, completed=total - left)
