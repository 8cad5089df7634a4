"""The options by which ``zocalo.go`` is told its STOMP broker, for scripts that use them.

What is given here goes before any configuration, part by part: ``--stomp-prfx`` alone is
the configured broker with another namespace. A password is not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dlstbx_cli.commands.base import Run

Function = TypeVar("Function", bound=Callable[..., Any])

#: The parts of a broker's URL by option: as the plugin ``stomp`` and the INI file call them.
_PARTS = {
    "stomp_host": "host",
    "stomp_port": "port",
    "stomp_user": "username",
    "stomp_pass": "password",
    "stomp_prfx": "prefix",
}
_OTHERS = ("stomp_conf", "transport")


@dataclass(frozen=True)
class Asked:
    """A STOMP broker that options ask for.

    :param parts: those given on the command line, by name.
    :param file: of ``--stomp-conf``.
    """

    parts: Mapping[str, str]
    file: str | None = None

    def url(self, run: Run) -> str:
        """Return the broker's URL. It holds the password. Raises Misconfigured."""
        read = _read(self.file) if self.file else {}
        return str(run.configuration.stomp({**read, **self.parts}).value)


def taken(options: dict[str, Any]) -> Asked | None:
    """Take the options of this module out of a command's; None if none is given.

    Raises UsageError if they contradict ``--broker``.
    """
    given = {name: options.pop(name) for name in (*_PARTS, *_OTHERS)}
    if all(value is None for value in given.values()):
        return None
    if options.get("broker"):
        raise click.UsageError("--broker and --stomp-* (or -t) exclude each other.")
    parts = {_PARTS[name]: str(given[name]) for name in _PARTS if given[name] is not None}
    return Asked(parts, given["stomp_conf"])


def add(function: Function) -> Function:
    """Add the options to a command."""
    for option in reversed(_options()):
        function = option(function)
    return function


def _options() -> list[Callable[[Function], Function]]:
    return [
        click.option("--stomp-host", metavar="HOST", help="STOMP broker's host."),
        click.option(
            "--stomp-port", type=click.IntRange(1, 65535), metavar="PORT", help="Its port."
        ),
        click.option("--stomp-user", metavar="USER", help="User name at the STOMP broker."),
        click.option(
            "--stomp-pass",
            metavar="PASS",
            callback=_refused,
            help="Refused, all could read it: use --stomp-conf.",
        ),
        click.option("--stomp-prfx", metavar="PREFIX", help="Namespace before every queue's name."),
        click.option(
            "--stomp-conf",
            metavar="FILE",
            help="INI file, section [stomp]: host, port, username, password, prefix.",
        ),
        click.option(
            "-t",
            "--transport",
            type=click.Choice(["StompTransport"]),
            help="Send to the STOMP broker.",
        ),
    ]


def _refused(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse a password. An empty one is none: that is how scripts ask for an anonymous login."""
    del context, option
    if value:
        raise click.UsageError(
            "--stomp-pass: a password on the command line is visible to all; "
            "use --stomp-conf FILE, DLSTBX_BROKER or ZOCALO_CONFIG."
        )
    return value


def _read(path: str) -> dict[str, str]:
    """Return what an INI file says. Raises Misconfigured, which quotes nothing of it."""
    import configparser
    from pathlib import Path

    from dlstbx_cli.services.errors import Misconfigured

    parser = configparser.ConfigParser(allow_no_value=True)
    try:
        parser.read_string(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise Misconfigured(f"--stomp-conf {path} cannot be read: {reason}") from None
    except configparser.Error as error:
        raise Misconfigured(f"--stomp-conf {path} is no INI file: {type(error).__name__}") from None
    if not parser.has_section("stomp"):
        raise Misconfigured(f"--stomp-conf {path} has no section [stomp]")

    def value(key: str) -> str:
        try:
            # zocalo.go takes %% for a %, so files that work have that in a password.
            return parser.get("stomp", key) or ""
        except configparser.InterpolationError:
            return parser.get("stomp", key, raw=True)

    return {key: value(key) for key in _PARTS.values() if parser.has_option("stomp", key)}
