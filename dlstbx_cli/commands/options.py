"""Options that several commands share, each written once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from dlstbx_cli.commands.base import Run

Function = TypeVar("Function", bound=Callable[..., Any])

#: What a recipe mimas can be triggered for.
EVENTS = ("start", "end", "start_group", "end_group")
_SQLITE = "sqlite:///"

#: More digits are a mistake, and Python would not read 5000 of them.
_WHOLE, _SIGNED = r"[0-9]{1,15}", r"[+-]?[0-9]{1,15}"

_INSTEAD = {
    "--broker": "?password-file=PATH, DLSTBX_BROKER or ZOCALO_CONFIG",
    "--ispyb": "?password-file=PATH, DLSTBX_ISPYB or ISPYB_CREDENTIALS",
    "--slurm-url": "--slurm-token-file, SLURM_JWT or ZOCALO_CONFIG",
    "--state": "?password-file=PATH or DLSTBX_STATE",
}

broker = click.option(
    "--broker",
    metavar="URL",
    help="Broker, stomp://USER@HOST:PORT or sqlite:///PATH (DLSTBX_BROKER, ZOCALO_CONFIG).",
)
ispyb = click.option(
    "--ispyb",
    metavar="URL",
    help="ISPyB database, an SQLAlchemy URL (DLSTBX_ISPYB, ISPYB_CREDENTIALS).",
)
recipes = click.option(
    "--recipes",
    metavar="DIR",
    help="Directory of the recipes (DLSTBX_RECIPES, ZOCALO_CONFIG; default: those shipped).",
)
state = click.option(
    "--state",
    metavar="URL",
    help="Store of the jobs begun and held, an SQLAlchemy URL (DLSTBX_STATE).",
)

table = click.option("--table", is_flag=True, help="A table, as at a terminal, also on a pipe.")
as_json = click.option(
    "--json", "as_json", is_flag=True, help="JSON Lines, as on a pipe, also at a terminal."
)


def service(function: Function) -> Function:
    """Add the options of a stage: the three ways to run, where to send, which queue."""
    from dlstbx_cli.commands.metering import metered  # not for dlstbx.go

    for option in (
        metered,
        broker,
        click.option(
            "--max-attempts",
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            metavar="N",
            help="Give up a message that ends this command so many times.",
        ),
        click.option("--queue", metavar="NAME", help="Take messages from this queue instead."),
        click.option("--send", is_flag=True, help="Send the results to the broker, not stdout."),
        click.option("--listen", is_flag=True, help="Take messages from the broker, for ever."),
        click.option("--once", is_flag=True, help="Take what is in the queue now, then end."),
    ):
        function = option(function)
    return function


def broker_url(run: Run, option: str | None) -> str:
    """Return the URL of the broker. Raises UsageError, Misconfigured."""
    refuse_password(option, "--broker")
    return str(run.configuration.broker(option).value)


def engine(run: Run, option: str | None) -> Any:
    """Return the connection to ISPyB. Raises UsageError, Misconfigured, Unavailable."""
    from dlstbx_cli.database.connection import connect

    refuse_password(option, "--ispyb")
    return connect(run.configuration.ispyb(option).value)


def state_url(run: Run, option: str | None) -> str:
    """Return the URL of the state store. Raises UsageError, Misconfigured."""
    refuse_password(option, "--state")
    return str(run.configuration.state(option).value)


def missing_file(url: str) -> Path | None:
    """Return the file of an embedded broker or store that nobody has used yet.

    Whoever looks is not to make it: it could come to belong to somebody else than the services.
    """
    path = Path(url.removeprefix(_SQLITE).partition("?")[0])
    return path if url.startswith(_SQLITE) and not path.exists() else None


def refuse_password(option: str | None, flag: str) -> None:
    """Refuse a password on the command line: everybody can read it in the process list."""
    if option:
        from dlstbx_cli.urls import has_password

        if has_password(option):
            raise click.UsageError(
                f"{flag}: a password on the command line is visible to all; use {_INSTEAD[flag]}."
            )


def pairs(
    texts: Sequence[str], flag: str, form: str = "CLUSTER=N", *, signed: bool = False
) -> dict[str, int]:
    """Return ``CLUSTER=N`` options as numbers by name. Raises UsageError.

    :param form: what the option takes, in the words of its help.
    :param signed: numbers below zero as well.
    """
    numbers: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name.strip() or not re.fullmatch(_SIGNED if signed else _WHOLE, number):
            raise click.UsageError(f"{flag} takes {form}, not {text!r}.")
        numbers[name.strip()] = int(number)
    return numbers


def identifier(text: str) -> int | str:
    """Return an ID as a number; what is none is left for the look-up to refuse."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text
