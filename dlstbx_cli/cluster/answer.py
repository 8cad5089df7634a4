"""What slurmrestd answers, as values: jobs, errors, and which versions of its API there are.

Sources: Slurm's OpenAPI specifications; the answers of Debian's slurmrestd 22.05 (v0.0.38).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dlstbx_cli.cluster.source import is_state

_JOBS = re.compile(r"/slurm/(v(\d+)\.(\d+)\.(\d+))/jobs/?")

#: Those that exclude each other. Since v0.0.40 a state is a list: one of these, and flags such
#: as COMPLETING or REQUEUED. (Slurm's ``enum job_states``.)
_BASE = frozenset(
    {
        *("PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT"),
        *("NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY"),
    }
)


def states_of(answer: Any, account: str) -> list[str] | None:
    """Return the state of each job of an account; None if this is no list of jobs.

    :param answer: of ``GET /slurm/VERSION/jobs``: the JSON value of any version. A state is a
        text in v0.0.38 and v0.0.39, since v0.0.40 a list of texts.
    :param account: letter case makes no difference: Slurm's accounts are in lower case.
    """
    jobs = answer.get("jobs") if isinstance(answer, dict) else None
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        return None
    wanted = account.lower()
    states = [_state(job) for job in jobs if str(job.get("account") or "").lower() == wanted]
    found = [state for state in states if state is not None]
    return found if len(found) == len(states) else None


def errors_of(answer: Any) -> str:
    """Return what went wrong, in the words of Slurm; empty if nothing did."""
    errors = answer.get("errors") if isinstance(answer, dict) else None
    texts = []
    for error in errors if isinstance(errors, list) else ():
        words = error if isinstance(error, dict) else {"error": error}
        parts = [words.get(key) for key in ("description", "error")]
        texts.append(": ".join(str(part) for part in parts if part) or "an error without words")
    return "; ".join(texts)


def newest_version(specification: Any) -> str | None:
    """Return the newest version of the API in which jobs can be asked for; None without one.

    :param specification: the JSON value of ``GET /openapi/v3``.
    """
    paths = specification.get("paths") if isinstance(specification, dict) else None
    found = list(_versions(paths if isinstance(paths, dict) else {}))
    return max(found)[1] if found else None


def _versions(paths: dict[str, Any]) -> Iterator[tuple[tuple[int, ...], str]]:
    for path in paths:
        if match := _JOBS.fullmatch(path):
            yield tuple(map(int, match.groups()[1:])), match[1]


def _state(job: dict[str, Any]) -> str | None:
    """Return the state of a job, None if it has none: a job counts once, whatever its flags."""
    given = job.get("job_state")
    names = given if isinstance(given, list) else [given]
    if not names or not all(map(is_state, names)):
        return None
    return str(next((name for name in names if name in _BASE), names[0]))
