"""What all commands share: the common options, and the one boundary where errors end.

Whatever goes wrong becomes one line on stderr and an exit code, here and nowhere else.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dlstbx_cli.services.errors import Misconfigured, Rejected, Unavailable

if TYPE_CHECKING:
    from dlstbx_cli.services.message import Message

#: Exit codes, as in every man page (75 and 78 are sysexits' EX_TEMPFAIL and EX_CONFIG).
DONE, REJECTED, USAGE, TRY_AGAIN, CONFIGURATION = 0, 1, 2, 75, 78

#: The variable by which a shell asks for completions (``bash_complete`` and so on). One for
#: all commands, so that one script is enough, see ``dlstbx-completion``.
COMPLETE = "_DLSTBX_COMPLETE"

EXIT_STATUS = """\b
Exit status:
  0   done
  1   {one}
  2   wrong use
  75  broker or database not available: try again
  78  configuration error"""


@dataclass(frozen=True)
class Run:
    """One run of a command: its name and its common options."""

    name: str
    verbosity: int = 0
    log_format: str = "text"
    environments: tuple[str, ...] = ()

    @cached_property
    def configuration(self) -> Any:
        """The settings (a Configuration)."""
        from dlstbx_cli.configuration import Configuration

        return Configuration(self.environments, notice=self.say)

    def say(self, text: str, message: Message | None = None) -> None:
        """Tell a person something, on stderr.

        :param message: what it is about, if that is none that is in hand anyway.
        """
        if self.log_format == "json":
            import logging

            from dlstbx_cli.services.trace import about

            # For a log collector, our own words are a log record like any other.
            with about(message) if message else nullcontext():
                logging.getLogger("dlstbx_cli").warning(text)
        else:
            say(self.name, text)


def say(name: str, text: str) -> None:
    """Print one line on stderr, without any password; if it is closed, that is no failure."""
    text = printable(" ".join(_discreet(text).split()))
    with suppress(OSError, ValueError):
        print(f"{name}: {text}", file=sys.stderr, flush=True)  # noqa: T201


def printable(text: str) -> str:
    """Return a text that somebody else has written as a terminal can take it, in one line."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def counted(number: int, what: str = "job") -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def user_name() -> str:
    """Return the name of the user who runs this; his number on a host that knows no name."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _discreet(text: str) -> str:
    # dlstbx.go always says something: what has no URL in it is not to cost it an import.
    if not any(sign in text for sign in ("://", "%", "=")):
        return text
    from dlstbx_cli.urls import without_password

    return without_password(text)


class Command(click.Command):
    """A command whose errors end as one line on stderr and an exit code."""

    #: What the exit code 1 means.
    one = "some input was rejected; the rest was handled"

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command and exit with its code."""
        del prog_name, complete_var, standalone_mode
        name = str(self.name)
        _open_closed()
        if COMPLETE in os.environ:
            from dlstbx_cli.commands.completing import prepare

            prepare(self)
        try:
            code = super().main(args, name, COMPLETE, standalone_mode=False, **extra)
        except Exception as error:  # the boundary: nothing is thrown past it
            code = _end(name, error, sys.argv[1:] if args is None else args)
        except KeyboardInterrupt:
            code = 130
        sys.exit(_flushed(name, code if isinstance(code, int) else DONE))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command's function; nobody reading stdout any more is a quiet end."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # click itself would make it exit code 1.
            raise click.exceptions.Exit(DONE) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and the exit codes below the options."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(EXIT_STATUS.format(one=self.one))


def command(
    name: str, examples: str = "", one: str = Command.one
) -> Callable[[Callable[..., int | None]], Command]:
    """Make a function a command: it takes a Run and its options, and returns an exit code.

    :param examples: printed below the options, one to a line, as they would be typed.
    :param one: what the exit code 1 means.
    """

    def decorate(function: Callable[..., int | None]) -> Command:
        def callback(
            verbose: int, log_format: str, environment: tuple[str, ...], **options: Any
        ) -> int | None:
            run = Run(name, verbose, log_format, environment)
            _start_logging(run)
            return function(run, **options)

        callback.__doc__ = function.__doc__
        # click keeps the options that decorators have added in this attribute.
        callback.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        decorated: Callable[..., int | None] = callback
        version = click.version_option(None, "--version", package_name="dlstbx-cli", prog_name=name)
        for option in (version, _environment, _log_format, _verbose):
            decorated = option(decorated)
        epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples.splitlines())
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        made = click.command(
            name, cls=Command, epilog=epilog if examples else None, context_settings=settings
        )(decorated)
        made.one = one
        return made

    return decorate


_verbose = click.option("-v", "--verbose", count=True, help="Say more (-vv: with tracebacks).")
_log_format = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Logs on stderr as text, or as JSON Lines for a log collector.",
)
_environment = click.option(
    "-e",
    "--environment",
    multiple=True,
    metavar="ENV",
    help="Environment of the Zocalo configuration to activate; may be repeated.",
)


def _start_logging(run: Run) -> None:
    # Loading the logging package takes a third of dlstbx.go's time: it has nothing to log.
    if run.name == "dlstbx.go" and run.log_format == "text":
        return
    from dlstbx_cli.commands.logs import start_logging

    start_logging(run.name, run.verbosity, run.log_format)


def _end(name: str, error: Exception, arguments: Sequence[str]) -> int:
    """Return the exit code of an error, and say what it is."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return 130
    whole = any(argument.startswith("-v") and "vv" in argument for argument in arguments)
    text, code = _verdict(error, name)
    if _as_json(arguments):
        _log(name, text, error if whole else None)
        return code
    if whole:
        import traceback

        with suppress(OSError, ValueError):
            sys.stderr.write(_discreet("".join(traceback.format_exception(error))))
    say(name, text)
    return code


def _as_json(arguments: Sequence[str]) -> bool:
    """Tell whether logs are to be JSON, even if the arguments are wrong otherwise."""
    texts = [arg.partition("=")[2] for arg in arguments if arg.startswith("--log-format=")]
    named = [place for place, arg in enumerate(arguments) if arg == "--log-format"]
    texts += [text for place in named for text in arguments[place + 1 : place + 2]]
    return texts[-1:] == ["json"]


def _log(name: str, text: str, error: Exception | None) -> None:
    """Say why a command ends as a record of its log."""
    import logging

    from dlstbx_cli.commands.logs import start_logging

    start_logging(name, 0, "json")
    extra = {"action": "end"}
    logging.getLogger("dlstbx_cli").error(" ".join(text.split()), exc_info=error, extra=extra)


def _verdict(error: Exception, name: str) -> tuple[str, int]:
    if isinstance(error, click.UsageError):
        return f"{error.format_message()} (see {name} --help)", USAGE
    if isinstance(error, click.ClickException):
        return error.format_message(), USAGE
    for kind, code in (
        (Rejected, REJECTED),
        (Unavailable, TRY_AGAIN),
        (Misconfigured, CONFIGURATION),
    ):
        if isinstance(error, kind):
            return str(error), code
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'standard output'}: {error.strerror}", TRY_AGAIN
    return f"internal error: {type(error).__name__}: {error} (run with -vv for the place)", REJECTED


def _open_closed() -> None:
    """Open standard streams that are closed onto nothing.

    Otherwise Python has none, and the next file or database would come to be standard output.
    """
    for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, stream) is None:
            setattr(sys, stream, open(os.devnull, mode))  # noqa: SIM115, PTH123  it stays


def _flushed(name: str, code: int) -> int:
    """Flush stdout; a reader that has gone away ends the command quietly."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at exit, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            text, code = _verdict(error, name)
            say(name, text)
    except ValueError:  # closed already
        pass
    return code
