"""``dlstbx.go``: trigger the processing of a data collection."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dlstbx_cli.commands import stomp_options
from dlstbx_cli.commands.base import TRY_AGAIN, Run, command, user_name
from dlstbx_cli.commands.options import broker_url, refuse_password
from dlstbx_cli.services.message import ID_HEADER, Message, Queue, new_id

EXAMPLES = """\
dlstbx.go -r mimas -s event=end 993677
dlstbx.go -r mimas -s event=end -s ispyb_wait_for_runstatus=1 993677
dlstbx.go --stdout -r mimas -s event=end 993677 | recipe-dispatch | mimas-plan
seq 993677 993680 | dlstbx.go -r mimas -s event=end -
dlstbx.go -f my-recipe.json -n"""


@command("dlstbx.go", EXAMPLES)
@click.option(
    "-r",
    "--recipe",
    "recipes",
    multiple=True,
    metavar="RECIPE",
    help="Recipe to run; may be repeated.",
)
@click.option(
    "-f",
    "--file",
    "recipe_file",
    type=click.Path(dir_okay=False),
    help="Run the recipe in this file.",
)
@click.option("-n", "--no-dcid", is_flag=True, help="Trigger without a data collection.")
@click.option(
    "-p",
    "--reprocessing",
    is_flag=True,
    help="The IDs are those of processing jobs, not of data collections.",
)
@click.option(
    "-a",
    "--autoprocscalingid",
    type=click.IntRange(min=1),
    metavar="APSID",
    help="Scaling ID for downstream recipes.",
)
@click.option(
    "-s",
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter for the recipe; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Check that it could be sent, but send nothing.")
@click.option("--drop", is_flag=True, help="Store the trigger at once instead of sending it.")
@click.option(
    "--stdout", "to_stdout", is_flag=True, help="Print the trigger instead of sending it."
)
@click.option("--broker", metavar="URL", help="Broker (DLSTBX_BROKER, ZOCALO_CONFIG).")
@stomp_options.add
@click.option(
    "--drop-dir",
    metavar="DIR",
    help="Where triggers are stored while the broker is away (DLSTBX_DROP_DIR).",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for the broker; then the trigger is stored.",
)
@click.argument("ids", nargs=-1, metavar="[DCID]...")
def main_command(
    run: Run,
    recipes: tuple[str, ...],
    recipe_file: str | None,
    no_dcid: bool,
    reprocessing: bool,
    autoprocscalingid: int | None,
    settings: tuple[str, ...],
    ids: tuple[str, ...],
    **where: Any,
) -> int:
    """Trigger the processing of data collections.

    Sends one message for each DCID (- reads them from stdin) to the queue
    processing_recipe. A trigger that the broker does not confirm in time is stored in a
    directory, to be sent later, and the place is said: no trigger is lost.
    """
    if not (recipes or recipe_file or reprocessing):
        raise click.UsageError("No recipe given: name one with -r, or a file with -f.")
    if no_dcid and (ids or reprocessing):
        raise click.UsageError("-n goes without DCIDs and without -p.")
    if not no_dcid and not ids:
        raise click.UsageError("No DCID given: name at least one, - for stdin, or use -n.")
    common: dict[str, Any] = {"recipes": list(recipes)}
    if recipe_file:
        common["custom_recipe"] = _recipe_from(recipe_file)
    parameters: dict[str, Any] = dict(_setting(text) for text in settings)
    if autoprocscalingid:
        parameters["ispyb_autoprocscalingid"] = autoprocscalingid
    key = "ispyb_process" if reprocessing else "ispyb_dcid"
    wanted: list[dict[str, Any]] = [{}] if no_dcid else [{key: number} for number in _numbers(ids)]
    headers, asked = _sender(), stomp_options.taken(where)
    messages = [
        Message(
            Queue("processing_recipe"),
            {**common, "parameters": {**parameters, **one}},
            {ID_HEADER: new_id(), **headers},
        )
        for one in wanted
    ]
    return _deliver(run, messages, asked, **where)


main = main_command.main


def _deliver(
    run: Run,
    messages: list[Message],
    asked: stomp_options.Asked | None,
    dry_run: bool,
    drop: bool,
    to_stdout: bool,
    broker: str | None,
    drop_dir: str | None,
    timeout: float,
) -> int:
    if run.verbosity:
        for message in messages:
            run.say(json.dumps(message.body), message)
    if to_stdout:
        from dlstbx_cli.transport.envelope import render

        for message in messages:
            sys.stdout.buffer.write(render(message))
        sys.stdout.buffer.flush()
        return 0
    refuse_password(broker, "--broker")
    patience = _Patience(timeout)
    reason = "" if drop else _send(messages, _url(run, broker, asked), patience, dry_run)
    if dry_run:
        run.say(f"not sent (--dry-run): {reason or 'the broker is there'}")
        return TRY_AGAIN if reason else 0
    for message in messages:
        done = "sent"
        if drop or reason:
            path = _store(run, message, drop_dir, patience)
            done = f"stored in {path}" + (f", not sent: {reason}" if reason else "")
        run.say(f"{_words(message)}: {done}", message)
    return 0


class _Patience:
    """The time that a beamline gives us; a part of it is kept for storing the trigger."""

    def __init__(self, seconds: float) -> None:
        from dlstbx_cli.services.bounded import Bounded

        self.for_sending = 0.8 * seconds
        self._end = time.monotonic() + seconds
        self._least = 0.1 * seconds
        self._bounded = Bounded()

    def send(self, work: Callable[[], None]) -> None:
        """Speak to the broker: no hanging socket, look-up of a name or lock holds us up."""
        self._bounded.run("the broker", self.for_sending, work)

    def store(self, directory: str, work: Callable[[], Path]) -> Path:
        """Write to a directory, whose file system may hang as well."""
        left = max(self._least, (self._end - time.monotonic()) / 2)
        return self._bounded.run(directory, left, work)


def _url(run: Run, broker: str | None, asked: stomp_options.Asked | None) -> Callable[[], str]:
    """Return what gives the broker's URL: reading a site's configuration may hang as well."""
    return lambda: asked.url(run) if asked else broker_url(run, broker)


def _send(
    messages: list[Message], url: Callable[[], str], patience: _Patience, dry_run: bool
) -> str:
    """Send all messages, or none; return why not, or the empty text."""

    def work() -> None:
        from dlstbx_cli.transport.broker import connect

        link = connect(url(), patience.for_sending)
        if dry_run:
            link.check()
        else:
            link.send(messages)
        link.close()

    try:
        patience.send(work)
    except Exception as error:  # whatever it is, the trigger is stored
        return str(error) or type(error).__name__
    return ""


def _store(run: Run, message: Message, option: str | None, patience: _Patience) -> Path:
    """Store a trigger where it should be, else in our own directory. Raises Unavailable."""
    from dlstbx_cli.services.errors import Misconfigured, Unavailable
    from dlstbx_cli.transport.drop import store

    try:
        return patience.store(
            "the drop directory", lambda: store(message, run.configuration.drop_dir(option))
        )
    except (Misconfigured, Unavailable) as error:
        home: Path = run.configuration.home / "drop"
        run.say(f"{error}; trying {home}", message)
    try:
        return patience.store(str(home), lambda: store(message, home))
    except Unavailable as error:
        raise Unavailable(f"{error}: this trigger is LOST unless it is given again") from None


def _words(message: Message) -> str:
    parameters = message.body["parameters"]
    recipes = ", ".join(message.body["recipes"]) or "custom recipe"
    for key, what in (("ispyb_dcid", "data collection"), ("ispyb_process", "processing job")):
        if key in parameters:
            return f"{recipes} for {what} {parameters[key]}"
    return f"{recipes} without data collection"


def _numbers(ids: tuple[str, ...]) -> Iterator[int]:
    for text in ids:
        words = sys.stdin.read().split() if text == "-" else [text]
        for word in words:
            if not (word.isascii() and word.isdigit()) or not word.strip("0"):
                raise click.UsageError(f"{word!r} is not an ID: a positive number is wanted.")
            yield int(word)


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"-s takes KEY=VALUE, not {text!r}.")
    return key, value


def _recipe_from(path: str) -> Any:
    from dlstbx_cli.services.dispatcher import validated

    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"-f {path}: {error}") from None
    validated(text, f"the recipe in {path}")
    return json.loads(text)


def _sender() -> dict[str, str]:
    """Return the headers that say who triggered, as ``zocalo.go`` writes them."""
    return {"zocalo.go.user": user_name(), "zocalo.go.host": os.uname().nodename}
