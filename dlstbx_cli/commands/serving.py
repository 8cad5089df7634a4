"""Running a stage in one of its three ways: as a filter, ``--once`` or ``--listen``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Any

import click

from dlstbx_cli.commands.base import DONE, Run
from dlstbx_cli.commands.metering import HOST, Metering
from dlstbx_cli.commands.options import broker_url
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from dlstbx_cli.services.message import Message
from dlstbx_cli.transport.driver import MAX_ATTEMPTS, Tally, Way, exit_code
from dlstbx_cli.transport.driver import run as drive
from dlstbx_cli.transport.lines import Output
from dlstbx_cli.transport.link import Broker, Link, OutputClosed
from dlstbx_cli.transport.pipe import Adopt, Emit, PassOn, Pipe
from dlstbx_cli.transport.stop import GRACE, Stop


@dataclass(frozen=True)
class Serving:
    """How a stage is to run, as its options say. Raises UsageError if they contradict."""

    once: bool = False
    listen: bool = False
    send: bool = False
    queue: str | None = None
    broker: str | None = None
    max_attempts: int = MAX_ATTEMPTS
    metrics_port: int | None = None
    metrics_host: str = HOST

    def __post_init__(self) -> None:
        if self.once and self.listen:
            raise click.UsageError("--once and --listen exclude each other.")
        if self.send and self.way is not Way.FILTER:
            raise click.UsageError("--send is for a filter: --once and --listen send anyway.")
        _ = self.metering  # it checks its part

    @property
    def way(self) -> Way:
        """The way to run."""
        if self.listen:
            return Way.LISTEN
        return Way.ONCE if self.once else Way.FILTER

    @property
    def metering(self) -> Metering:
        """How it is measured. Raises UsageError."""
        return Metering(self.listen, self.metrics_port, self.metrics_host)

    @property
    def prints(self) -> bool:
        """Whether the results go to standard output."""
        return self.way is Way.FILTER and not self.send


@dataclass(frozen=True)
class Filtering:
    """What is special about a filter's input and output; the defaults are those of a pipe.

    :param messages: made from the command's arguments, in place of standard input.
    """

    messages: Iterable[Message] | None = None
    adopt: Adopt | None = None
    emit: Emit | None = None
    pass_on: PassOn | None = None


def serve(
    run: Run, make: Callable[[], Any], serving: Serving, filtering: Filtering | None = None
) -> int:
    """Run the service that *make* gives, and return the exit code.

    Raises UsageError, Misconfigured, Unavailable (the broker or the database is away at
    the start). A filter has then passed all its input on: it stays addressed as it was.
    """
    filtering = filtering or Filtering()
    if filtering.messages is not None and serving.way is not Way.FILTER:
        raise click.UsageError("--once and --listen take messages from a queue, not arguments.")
    try:
        tally = _served(run, make, serving, filtering)
    except (Unavailable, Misconfigured):
        if serving.way is Way.FILTER and filtering.messages is None:
            _pass_all_on(run, filtering)
        raise
    if tally.unavailable:
        run.say(tally.unavailable)
    # A listener ends because it is told to, whatever it has rejected in its life.
    return DONE if serving.way is Way.LISTEN else exit_code(tally)


def _served(run: Run, make: Callable[[], Any], serving: Serving, filtering: Filtering) -> Tally:
    with ExitStack() as stack:
        stop = stack.enter_context(Stop(GRACE if serving.listen else None))
        service = make()
        if serving.queue:
            service.queue = serving.queue
        meter = serving.metering.start(stack, run.name, service.queue, service)
        link = _link(run, service, serving, filtering, stack)
        return drive(service, link, serving.way, stop, serving.max_attempts, meter)


def _pass_all_on(run: Run, filtering: Filtering) -> None:
    """Pass on what is still to be read; after a run that has begun, that is nothing."""
    pass_on = filtering.pass_on or Output().write
    with suppress(OutputClosed, Unavailable):
        for line in lines(run):
            pass_on(line)


def _broker(run: Run, serving: Serving, stack: ExitStack) -> Broker:
    from dlstbx_cli.transport.broker import connect

    url = broker_url(run, serving.broker)
    return stack.enter_context(closing(connect(url, scratch=run.configuration.home)))


def _link(run: Run, service: Any, serving: Serving, filtering: Filtering, stack: ExitStack) -> Link:
    if serving.way is not Way.FILTER:
        consumer = _broker(run, serving, stack).consumer(service.queue, service.topics)
        return stack.enter_context(closing(consumer))
    pipe = Pipe(
        service.queue,
        service.topics,
        lines(run) if filtering.messages is None else filtering.messages,
        emit=_broker(run, serving, stack).send if serving.send else filtering.emit,
        pass_on=filtering.pass_on,
        adopt=filtering.adopt,
    )
    return stack.enter_context(closing(pipe))


def lines(run: Run) -> Any:
    """Return standard input; a person at a terminal is told that it is being read."""
    if sys.stdin.isatty():
        run.say(f"reading lines from the terminal, ctrl-D ends (see {run.name} --help)")
    return sys.stdin.buffer
