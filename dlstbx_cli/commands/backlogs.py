"""What the commands of the backlog share: which jobs are meant, and how one is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import Run
from dlstbx_cli.services.held.explain import Kept
from dlstbx_cli.services.held.values import Held, Pause
from dlstbx_cli.services.recipe import JOB_PREFIX

if TYPE_CHECKING:
    from dlstbx_cli.database.held_lists import HeldLists

Function = TypeVar("Function", bound=Callable[..., Any])

#: Characters that the store takes of a name and of a reason.
NAME, REASON = 100, 255
#: Digits of an ID: what has more is none, and no database would take it.
_DIGITS = 18

ids = click.argument("ids", nargs=-1, required=True, metavar="ID...")


def filters(function: Function) -> Function:
    """Add the options that narrow a list of jobs down."""
    for option in (
        click.option(
            "--dcid",
            type=click.IntRange(1, 10**15),
            metavar="N",
            help="Only jobs of this data collection.",
        ),
        click.option(
            "--recipe", metavar="NAME", callback=_job_name, help="Only jobs of this recipe."
        ),
        click.option("--visit", metavar="NAME", help="Only jobs of this visit."),
        click.option("--beamline", metavar="NAME", help="Only jobs of this beamline."),
        click.option("--cluster", metavar="NAME", help="Only jobs that wait for this cluster."),
    ):
        function = option(function)
    return function


def _job_name(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    # Held jobs have the job's name, which the name of its recipe's file prolongs.
    return name.removeprefix(JOB_PREFIX) if name else None


def store(run: Run, state: str | None) -> HeldLists:
    """Return the store of held jobs. Raises UsageError, Misconfigured."""
    from dlstbx_cli.database.held_lists import HeldLists

    return HeldLists.at(options.state_url(run, state))


def numbers(texts: Sequence[str]) -> list[int]:
    """Return IDs as numbers, each once. Raises UsageError."""
    for text in texts:
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
            raise click.UsageError(f"{text!r} is not an ID: backlog-ls lists them.")
    return list(dict.fromkeys(int(text) for text in texts))


def words(text: str, flag: str, width: int) -> str:
    """Return a text as it can be kept, on one line. Raises UsageError."""
    text = " ".join(text.split())
    if not text or not text.isprintable():
        raise click.UsageError(f"{flag} takes a text, not {text!r}.")
    if len(text) > width:
        raise click.UsageError(f"{flag} takes at most {width} characters.")
    return text


def of_job(job: Held) -> dict[str, Any]:
    """Return what is listed of a job, whatever became of it."""
    return {
        "id": job.number,
        "cluster": job.cluster,
        "beamline": job.beamline or None,
        "visit": job.visit or None,
        "recipe": job.recipe or None,
        "dcid": job.dcid,
        "job": job.job,
    }


def of_state(found: Any, now: float) -> dict[str, Any]:
    """Return what is listed of a job's state, of a Listed or an Entry."""
    record = {"state": found.state, "taken": found.job.taken, "age": now - found.job.taken}
    if found.state != "held":
        record |= {
            "changed": found.changed,
            "waited": found.changed - found.job.taken,
            "owner": found.owner or None,
            "reason": found.reason or None,
        }
    return record


def of_pause(pause: Pause, now: float) -> dict[str, Any]:
    """Return what is listed of a pause."""
    return {
        "id": pause.number,
        "kind": pause.kind,
        "name": pause.name,
        "begun": pause.begun,
        "until": pause.until,
        "left": pause.until - now if pause.lasts(now) else 0,
        "owner": pause.owner,
        "reason": pause.reason,
        "ended": pause.ended,
        "ended_by": pause.ended_by or None,
    }


def of_kept(kept: Kept, now: float) -> dict[str, Any]:
    """Return what is listed of a pause and of the held jobs that it keeps."""
    return {**of_pause(kept.pause, now), "keeps": kept.jobs}


def print_history(kept: Sequence[Kept], now: float) -> None:
    """Print all pauses that there have been as a table for a person."""
    from dlstbx_cli.commands.times import shown
    from dlstbx_cli.commands.trees import print_table

    rows = [
        (
            one.pause.number,
            one.pause.name,
            one.pause.owner,
            one.pause.reason,
            None if one.pause.begun is None else shown(one.pause.begun),
            shown(one.pause.until),
            None if one.pause.ended is None else shown(one.pause.ended),
            one.pause.ended_by or ("lasts" if one.pause.lasts(now) else "its time"),
            one.jobs if one.pause.lasts(now) else None,
        )
        for one in kept
    ]
    columns = ["id", "paused", "owner", "reason", "begun", "until", "ended", "ended by", "keeps"]
    print_table(columns, rows)


def print_pauses(kept: Sequence[Kept], now: float) -> None:
    """Print pauses as a table for a person."""
    from dlstbx_cli.commands.times import shown
    from dlstbx_cli.commands.trees import age, print_table

    rows = [
        (
            one.pause.name,
            one.pause.kind,
            one.pause.number,
            one.jobs,
            shown(one.pause.until),
            age(one.pause.until - now),
            one.pause.owner,
            one.pause.reason,
        )
        for one in kept
    ]
    print_table(["paused", "kind", "id", "keeps", "until", "left", "owner", "reason"], rows)
