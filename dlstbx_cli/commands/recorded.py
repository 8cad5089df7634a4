"""Reading the records of ``mimas-plan --record``: what was planned for a collection."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.tracing import Event, guid_of, number_of

_NAME = re.compile(r"mimas-(\d{4}-\d\d-\d\d)(?:\.\d+)?\.jsonl")


def plans(
    directory: Path, dcid: int | None, guids: Iterable[str], since: float | None = None
) -> Iterator[Event]:
    """Yield the plans of a collection and of requests, each as an event of the trace.

    :param since: nothing older is looked for, seconds since the epoch.

    Raises Unavailable if the directory cannot be read.
    """
    words = [rb'"guid": "%s"' % guid.encode() for guid in sorted(guids)]
    if dcid is not None:
        words.append(rb'"dcid": %d\b' % dcid)
    if not words:
        return
    wanted = re.compile(b"|".join(words), re.IGNORECASE)
    for path in _files(directory, since):
        try:
            with path.open("rb") as lines:
                # What a record is about stands at its beginning: most lines end the search there.
                for line in lines:
                    if wanted.search(line, 0, 400) and (event := _plan(line)) is not None:
                        yield event
        except FileNotFoundError:  # the day has come for it to be removed
            continue
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from None


def _files(directory: Path, since: float | None) -> list[Path]:
    # A day more, for a clock that is behind.
    oldest = datetime.fromtimestamp(since, UTC) - timedelta(days=1) if since else None
    day = oldest.date().isoformat() if oldest else ""
    try:
        names = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    except OSError as error:
        raise Unavailable(f"{directory}: {error.strerror}") from None
    return sorted(path for path in names if path.name[6:16] >= day)


def _plan(line: bytes) -> Event | None:
    """Return a record as an event; None for half a line, or what is no record."""
    try:
        record = json.loads(line)
        time, dcid = float(record["time"]), number_of(record["dcid"])
        refused, event = record.get("refused"), str(record.get("event", "")).lower()
        tasks = tuple(_task(task) for task in record.get("tasks") or ())
        datetime.fromtimestamp(time, UTC)  # a time that is none makes no record
    except (OverflowError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    text = f"refused for {event}" if refused else f"for {event}: {_counted(tasks)}"
    dropped = record.get("dropped")
    if isinstance(dropped, list) and dropped:
        text += f", {len(dropped)} dropped by overrides"
    return Event(
        stage="planned",
        source="records",
        text=text,
        time=time,
        dcid=dcid,
        guid=guid_of(record.get("guid")),
        reason=str(refused) if refused else None,
        tasks=tasks,
    )


def _task(task: dict[str, Any]) -> dict[str, Any]:
    return {key: task.get(key) for key in ("recipe", "kind", "rule", "override")}


def _counted(tasks: Iterable[dict[str, Any]]) -> str:
    kinds = [task["kind"] for task in tasks]
    parts = [
        f"{kinds.count(kind)} {what}"
        for kind, what in (("run", "to run"), ("start", "to start"), ("hold", "to hold"))
        if kind in kinds
    ]
    return ", ".join(parts) or "nothing to do"
