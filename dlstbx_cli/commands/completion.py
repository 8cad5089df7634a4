"""``dlstbx-completion``: the script by which a shell completes all commands."""

from __future__ import annotations

import os
from pathlib import PurePath

import click

from dlstbx_cli.commands.base import DONE, Run, command
from dlstbx_cli.services.errors import Misconfigured

EXAMPLES = """\
source <(dlstbx-completion bash)
dlstbx-completion zsh > _dlstbx
dlstbx-completion fish > dlstbx.fish"""

SHELLS = ("bash", "zsh", "fish")


@command("dlstbx-completion", EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def main_command(run: Run, shell: str | None) -> int:
    """Print the script by which a shell completes all commands when Tab is pressed.

    Without an argument, that of the shell in SHELL. Options are completed, and what can
    stand for them: choices, recipes, queues, files and directories.
    """
    from dlstbx_cli.commands.completing import script

    del run
    click.echo(script(shell or _usual_shell(), _names()), nl=False)
    return DONE


main = main_command.main


def _usual_shell() -> str:
    """Return the user's shell. Raises UsageError if there is no script for it."""
    path = os.environ.get("SHELL", "")
    name = PurePath(path).name
    if name not in SHELLS:
        said = f"SHELL is {path}" if path else "SHELL is not set"
        raise click.UsageError(f"{said}: name one of {', '.join(SHELLS)}.")
    return name


def _names() -> list[str]:
    """Return the names of all commands, as they are installed. Raises Misconfigured."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        entries = distribution("dlstbx-cli").entry_points
    except PackageNotFoundError:
        raise Misconfigured("dlstbx-cli is not installed: its commands are not known") from None
    return sorted(one.name for one in entries if one.group == "console_scripts")
