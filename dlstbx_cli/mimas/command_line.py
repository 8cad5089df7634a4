"""Invocations as commands that a person can paste into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from dlstbx_cli.mimas.objects import MimasISPyBJobInvocation, MimasRecipeInvocation

#: What a shell acts on between double quotes (``!`` in an interactive one); a backslash
#: never comes that far, as Python writes it twice.
_ACTIVE_IN_DOUBLE_QUOTES = frozenset("$`!")


def zocalo_command_line(obj: Any) -> str:
    """Return the command that does what an invocation asks for.

    Values that a shell would act on are quoted, so that every word arrives as it is
    meant. Raises ValueError for anything but a recipe or a job invocation.
    """
    if isinstance(obj, MimasRecipeInvocation):
        return f"zocalo.go -r {shlex.quote(obj.recipe)} {obj.DCID}"
    if isinstance(obj, MimasISPyBJobInvocation):
        return " ".join(_job_words(obj))
    raise ValueError(f"there is no command for a {type(obj).__name__}")


def _job_words(job: MimasISPyBJobInvocation) -> Iterator[str]:
    yield "ispyb.job --new"
    yield f"--dcid={job.DCID}"
    yield f"--source={_quoted(job.source)}"
    yield f"--recipe={_quoted(job.recipe)}"
    for sweep in job.sweeps:
        yield f"--add-sweep={sweep.DCID}:{sweep.start}:{sweep.end}"
    for parameter in job.parameters:
        yield f"--add-param={_quoted(parameter.key)}:{_quoted(parameter.value)}"
    if job.displayname:
        yield f"--display={_repr_quoted(job.displayname)}"
    if job.comment:
        yield f"--comment={_repr_quoted(job.comment)}"
    if job.autostart:
        yield "--trigger"
    for variable in job.triggervariables:
        yield f"--trigger-variable={_quoted(variable.key)}:{_quoted(variable.value)}"


def _quoted(text: str) -> str:
    # Within a word an empty text needs no quotes.
    return shlex.quote(text) if text else ""


def _repr_quoted(text: str) -> str:
    """Return the text as Python writes it if a shell reads that as the same text."""
    python = repr(text)
    if python == f"'{text}'" and "'" not in text:
        return python
    if python == f'"{text}"' and _ACTIVE_IN_DOUBLE_QUOTES.isdisjoint(text):
        return python
    return shlex.quote(text)
