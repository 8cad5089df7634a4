"""The options by which a service is measured, and the meter that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dlstbx_cli.services.meter import UNMETERED, Meter

Function = TypeVar("Function", bound=Callable[..., Any])

HOST = "127.0.0.1"


def metered(function: Function) -> Function:
    """Add the options of a service that can be measured: ``metrics_port``, ``metrics_host``."""
    for option in (
        click.option(
            "--metrics-host",
            default=HOST,
            show_default=True,
            metavar="HOST",
            help="Address for that; 0.0.0.0: for all who reach this machine.",
        ),
        click.option(
            "--metrics-port",
            type=click.IntRange(1, 65535),
            metavar="N",
            help="With --listen: give figures to Prometheus on this port.",
        ),
    ):
        function = option(function)
    return function


@dataclass(frozen=True)
class Metering:
    """How a service is measured, as its options say.

    Raises UsageError where nothing goes on that could be.

    :param port: None: it is not.
    """

    listens: bool
    port: int | None = None
    host: str = HOST

    def __post_init__(self) -> None:
        if self.port is not None and not self.listens:
            raise click.UsageError("--metrics-port goes with --listen.")

    def start(self, stack: ExitStack, name: str, queue: str, service: object = None) -> Meter:
        """Return the meter of a run; it is served until *stack* ends. Raises Misconfigured.

        :param service: what is asked at each scrape how things stand, if it can be.
        """
        if self.port is None:
            return UNMETERED
        from dlstbx_cli.transport.metrics import PrometheusMeter, Scrapes

        meter = PrometheusMeter(name, queue, service)
        stack.enter_context(closing(Scrapes(meter, self.host, self.port)))
        return meter
