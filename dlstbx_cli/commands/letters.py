"""What the dead-letter commands share: which letters are meant, and how one is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any, TypeVar

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import DONE, REJECTED, Run, counted
from dlstbx_cli.services.dead_letters import DeadLetter, Selection
from dlstbx_cli.services.message import Message, Queue

Function = TypeVar("Function", bound=Callable[..., Any])

queue = click.option("--queue", metavar="NAME", help="Only the dead letters of this queue.")


def selection(function: Function) -> Function:
    """Add the options that say which letters are meant."""
    for option in (
        options.broker,
        queue,
        click.option("--reason", metavar="TEXT", help="Those with this text in their reason."),
        click.option("--all", "everything", is_flag=True, help="All of them."),
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        function = option(function)
    return function


def selected(ids: tuple[str, ...], reason: str | None, everything: bool) -> Selection:
    """Return the selection of the options. Raises UsageError if it names nothing."""
    if not (ids or reason or everything):
        raise click.UsageError("Which ones? Give IDs, --reason or --all.")
    return Selection(ids, reason, everything)


def fields(letter: DeadLetter) -> dict[str, Any]:
    """Return what is listed of a letter, for people and for programs."""
    from dlstbx_cli.services.trace import trace

    traced = trace(letter.message)
    return {
        "id": letter.message.identity,
        "queue": letter.queue,
        "reason": letter.reason,
        "rejected_by": letter.rejected_by,
        "rejected_at": letter.rejected_at,
        "dcid": traced.get("dcid"),
        "recipe": traced.get("recipe"),
        "recipe_id": traced.get("recipe_id"),
        "attempts": letter.attempts,
    }


def as_line(letter: DeadLetter) -> Message:
    """Return a letter as the line that it is."""
    return replace(letter.message, destination=Queue(letter.queue))


def take_out(
    run: Run,
    broker: str | None,
    queue: str | None,
    chosen: Selection,
    act: Callable[[DeadLetter], Sequence[Message]],
    done: str,
) -> int:
    """Take the chosen letters out, and say how many; return 1 if there were none.

    :param done: what was done to them, in the past tense.
    """
    from dlstbx_cli.transport.broker import connect
    from dlstbx_cli.transport.letters import take
    from dlstbx_cli.transport.stop import Stop

    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        link = stack.enter_context(closing(connect(options.broker_url(run, broker))))
        count = sum(1 for _ in take(link, queue, chosen.takes, act, stop))
    run.say(f"{done} {counted(count, 'dead letter')}")
    return DONE if count or chosen.everything else REJECTED


def pretty(letter: DeadLetter) -> str:
    """Return a letter whole, as a person reads it."""
    return json.dumps(
        {**fields(letter), "headers": dict(letter.message.headers), "message": letter.message.body},
        indent=2,
    )
