"""``ispyb-create-job``: write processing jobs to ISPyB, and trigger or hold them."""

from __future__ import annotations

from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run, command
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.message import ID_HEADER, Message, Queue, new_id

EXAMPLES = """\
mimas-plan 993677 | ispyb-create-job
ispyb-create-job --dcid=993677 --source=user --recipe=autoprocessing-fast-dp --trigger
ispyb-create-job --dcid=993677 --recipe=my-recipe --add-param=d_min:1.8 --add-sweep=993677:1:90
ispyb-create-job --listen"""


@command("ispyb-create-job", EXAMPLES)
@click.option(
    "--new", is_flag=True, help="A new job from the options below (this is implied by them)."
)
@click.option(
    "--dcid", type=click.IntRange(min=1), metavar="DCID", help="Data collection the job belongs to."
)
@click.option(
    "--source",
    metavar="TEXT",
    default=None,
    help="Who asks: automatic, or anything else. [default: user]",
)
@click.option("--recipe", metavar="NAME", help="Recipe of the job, without the ispyb- in front.")
@click.option(
    "--add-sweep",
    "sweeps",
    multiple=True,
    metavar="DCID:START:END",
    help="Images to process; may be repeated. [default: all of DCID]",
)
@click.option(
    "--add-param",
    "parameters",
    multiple=True,
    metavar="KEY:VALUE",
    help="Processing parameter; may be repeated.",
)
@click.option("--display", metavar="TEXT", help="Name of the job for people.")
@click.option("--comment", metavar="TEXT", help="Comment of the job.")
@click.option("--trigger", is_flag=True, help="Start the job at once instead of holding it.")
@click.option(
    "--trigger-variable",
    "variables",
    multiple=True,
    metavar="KEY:VALUE",
    help="Variable of the trigger; may be repeated.",
)
@click.option(
    "--dedupe",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Make one job of requests that ask for the same within this time.",
)
@options.service
@options.ispyb
@options.state
def main_command(
    run: Run,
    ispyb: str | None,
    state: str | None,
    dedupe: float,
    once: bool,
    listen: bool,
    send: bool,
    queue: str | None,
    broker: str | None,
    max_attempts: int,
    metrics_port: int | None,
    metrics_host: str,
    **job: Any,
) -> int:
    """Write processing jobs to ISPyB, and trigger or hold them.

    Takes the requests addressed to ispyb_connector, or one job given by options. Each job
    is written with its parameters and sweeps in one transaction; in the request's place
    stands the message that triggers the job (processing_recipe) or holds it (mimas.held).
    """
    from dlstbx_cli.commands.serving import Filtering, Serving, serve
    from dlstbx_cli.services.ispyb_job import IspybJobService

    serving = Serving(once, listen, send, queue, broker, max_attempts, metrics_port, metrics_host)
    filtering = Filtering(messages=[_request(**job)] if any(job.values()) else None)

    def make() -> IspybJobService:
        return IspybJobService(_jobs(run, ispyb, state), dedupe)

    return serve(run, make, serving, filtering)


main = main_command.main


def _jobs(run: Run, ispyb: str | None, state: str | None) -> Any:
    """Return the port to ISPyB. Raises UsageError, Misconfigured, Unavailable."""
    from dlstbx_cli.database.connection import connect
    from dlstbx_cli.database.jobs import IspybJobs
    from dlstbx_cli.database.state import JobState

    reader = options.engine(run, ispyb)
    store = options.state_url(run, state)
    if reader.dialect.name == "sqlite" and store == run.configuration.ispyb(ispyb).value:
        raise Misconfigured(
            "ISPyB and the state store are the same SQLite file: name another one with "
            "--state or DLSTBX_STATE"
        )
    writer = run.configuration.ispyb_writer(ispyb)
    return IspybJobs(reader, JobState.at(store), connect(writer) if writer else None)


def _request(
    new: bool,
    dcid: int | None,
    source: str | None,
    recipe: str | None,
    sweeps: tuple[str, ...],
    parameters: tuple[str, ...],
    display: str | None,
    comment: str | None,
    trigger: bool,
    variables: tuple[str, ...],
) -> Message:
    """Return the job of the options as a request. Raises UsageError."""
    del new
    if not recipe:
        raise click.UsageError("A job needs a recipe: --recipe.")
    if not dcid and not sweeps:
        raise click.UsageError("A job needs a data collection: --dcid or --add-sweep.")
    content = {
        "DCID": dcid or 0,
        "autostart": trigger,
        "recipe": recipe,
        "source": source or "user",
        "comment": comment or "",
        "displayname": display or "",
        "parameters": [_pair(text, "--add-param") for text in parameters],
        "sweeps": [_sweep(text) for text in sweeps],
        "triggervariables": [_pair(text, "--trigger-variable") for text in variables],
    }
    body = {"parameters": {"ispyb_command": "create_ispyb_job"}, "content": content}
    return Message(Queue("ispyb_connector"), body, {ID_HEADER: new_id()})


def _pair(text: str, flag: str) -> dict[str, str]:
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise click.UsageError(f"{flag} takes KEY:VALUE, not {text!r}.")
    return {"key": key, "value": value}


def _sweep(text: str) -> dict[str, int]:
    numbers = text.split(":")
    if len(numbers) != 3 or not all(part.isascii() and part.isdigit() for part in numbers):
        raise click.UsageError(f"--add-sweep takes DCID:START:END, not {text!r}.")
    return dict(zip(("DCID", "start", "end"), map(int, numbers), strict=True))
