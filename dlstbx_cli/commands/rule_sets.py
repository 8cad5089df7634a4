"""Which sets of rules a command asks: an option, a variable, or all that are installed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import click

from dlstbx_cli.services.errors import Misconfigured

if TYPE_CHECKING:
    from dlstbx_cli.mimas.registry import NamedHandler

option = click.option(
    "--rules",
    multiple=True,
    metavar="NAME",
    help="Use only this set of rules; may be repeated (DLSTBX_RULES, separated by commas).",
)


def handlers(rules: Sequence[str]) -> tuple[NamedHandler, ...]:
    """Return the handlers that the option names, else the variable, else all.

    Raises UsageError, Misconfigured.
    """
    from dlstbx_cli.mimas.errors import UnknownHandlerError
    from dlstbx_cli.mimas.registry import load_handlers

    named = (name.strip() for name in os.environ.get("DLSTBX_RULES", "").split(","))
    chosen = rules or tuple(filter(None, named))
    try:
        return load_handlers(chosen or None)
    except UnknownHandlerError as error:
        if rules:
            raise click.UsageError(f"--rules: {error}") from None
        raise Misconfigured(f"DLSTBX_RULES: {error}") from None
    except ValueError as error:
        # A site's rules that cannot be loaded would make a dead letter of every request.
        raise Misconfigured(str(error)) from None


@contextmanager
def trying() -> Iterator[None]:
    """Ask rules for thousands of made-up scenarios: what they say about these is no news."""
    import io
    import logging

    logging.disable(logging.CRITICAL)
    try:
        # What a site's code prints would stand among our lines.
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
