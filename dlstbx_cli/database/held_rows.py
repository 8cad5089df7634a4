"""Rows of the store of held jobs, as values: whatever an older version, or a hand, has written."""

from __future__ import annotations

from typing import Any

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.held.port import Entry
from dlstbx_cli.services.held.values import Held
from dlstbx_cli.services.json_text import loads
from dlstbx_cli.services.message import Message, Queue


def job_of(row: Any) -> Held:
    """Return the job of a row."""
    return Held(
        row.id,
        row.cluster,
        seconds(row.taken),
        row.beamline,
        row.visit,
        row.recipe,
        _number(row.dcid),
        _number(row.job),
    )


def entry_of(row: Any) -> Entry:
    """Return a row with its message; one that cannot be read has its text for a body."""
    faults = []
    body: Any = row.body
    headers: dict[str, str] = {}
    try:
        body = loads(row.body)
    except Rejected as error:
        faults.append(f"its message is {error}")
    try:
        headers = _headers(loads(row.headers))
    except Rejected as error:
        faults.append(f"its headers are {error}")
    return Entry(
        job_of(row),
        row.state,
        seconds(row.changed),
        row.owner,
        row.reason,
        Message(Queue("mimas.held"), body, headers),
        f"in the store of held jobs {'; '.join(faults)}" if faults else None,
    )


def seconds(milliseconds: Any) -> float:
    """Return a time of a row; 0 for what is none."""
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else 0.0


def _headers(found: Any) -> dict[str, str]:
    """Return headers as text, numbers as Python writes them. Raises Rejected."""
    if not isinstance(found, dict) or not all(
        name and isinstance(value, str | int | float) for name, value in found.items()
    ):
        raise Rejected("not texts by name")
    return {name: str(value) for name, value in found.items()}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
