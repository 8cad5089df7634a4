"""Reading the logbook: what was dispatched, when, by whose request.

The files are those of :mod:`dlstbx_cli.recipes.logbook`, and of Zocalo's own dispatcher.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import ID_HEADER, Message, Queue
from dlstbx_cli.services.tracing import Named, guid_of, named_in, parent_of, recipe_in

_MONTH = re.compile(r"\d{4}-\d\d")
_SECTIONS = ("Incoming message header", "Incoming message body", "Parsed message body")
#: Bytes of an entry that are read: the recipe at its end may be long.
_LONGEST = 4_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, read.

    :param time: when it was written: when the request was dispatched, seconds since the epoch.
    :param message: the request as it came.
    :param request: the request with what was looked up.
    """

    guid: str
    time: float
    message: Message
    request: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """What the identities of the messages that it was made into follow from."""
        return self.message.headers.get(ID_HEADER, self.guid)

    @property
    def parent(self) -> str | None:
        """The recipe's id that the request came from; None: from somebody outside."""
        return parent_of(self.message)

    @property
    def who(self) -> str | None:
        """Who triggered it, as ``dlstbx.go`` and ``zocalo.go`` write it: user and host."""
        names = [self.message.headers.get(f"zocalo.go.{part}") for part in ("user", "host")]
        return "@".join(name for name in names if name) or None

    @property
    def named(self) -> Named:
        """The collections, jobs and requests that it names."""
        looked_up = named_in(Message(Queue(""), dict(self.request)))
        return Named(looked_up.dcids, looked_up.jobs, frozenset({self.guid}))

    @property
    def recipe(self) -> str | None:
        """The recipe, a job's too: its look-up has found it out."""
        return recipe_in(Message(Queue(""), dict(self.request))) or recipe_in(self.message)


class Entries:
    """The entries of a logbook's directory. Raises Unavailable if there is none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            names = os.listdir(directory)  # noqa: PTH208  names are all that is wanted
        except OSError as error:
            raise Unavailable(f"{directory}: {error.strerror}") from None
        self._months = sorted((name for name in names if _MONTH.fullmatch(name)), reverse=True)

    def named(self, guids: Iterable[str], since: float | None = None) -> Iterator[Entry]:
        """Yield the entries of requests; what is no recipe's id names no file."""
        months = [month for month in self._months if since is None or month >= _month(since)]
        for text in guids:
            guid = guid_of(text)
            for month in months if guid else ():
                if entry := _read(self._directory / month / str(guid)[:2] / str(guid)[2:]):
                    yield entry

    def of_collection(
        self, dcid: int, since: float, until: float, deadline: float
    ) -> Iterator[Entry | None]:
        """Yield the entries of a collection that were written in a time.

        :param deadline: of ``time.monotonic``; None is yielded if there is more to look at then.
        """
        wanted = re.compile(rb'"ispyb_dcid": "?%d\b' % dcid)
        for path in self._written(since, until, deadline):
            if path is None:
                yield None
            elif _has(path, wanted) and (entry := _read(path)) is not None:
                yield entry

    def _written(self, since: float, until: float, deadline: float) -> Iterator[Path | None]:
        for month in reversed(self._months):
            if not _month(since) <= month <= _month(until):
                continue
            for path in (self._directory / month).glob("??/*"):
                if time.monotonic() > deadline:
                    yield None
                    return
                written = _written_at(path)
                if written is not None and since <= written <= until:
                    yield path


def _has(path: Path, wanted: re.Pattern[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            return wanted.search(file.read(_LONGEST)) is not None
    except OSError:
        return False


def _month(seconds: float) -> str:
    return time.strftime("%Y-%m", time.localtime(seconds))


def _written_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _read(path: Path) -> Entry | None:
    """Return an entry, None if there is none, or nothing that can be read."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8", "replace")
            written = os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    guid = guid_of(path.parent.name + path.name)
    headers, body, request = (_section(text, title) for title in _SECTIONS)
    if guid is None or not isinstance(request, dict):
        return None
    texts = headers.items() if isinstance(headers, dict) else ()
    message = Message(Queue("processing_recipe"), body, {k: str(v) for k, v in texts})
    return Entry(guid, written, message, request)


def _section(text: str, title: str) -> Any:
    """Return the JSON value of a section, None if it has none."""
    begin = re.search(rf"^{title}:\n", text, re.M)
    if begin is None:
        return None
    try:
        return json.JSONDecoder().raw_decode(text, begin.end())[0]
    except (ValueError, RecursionError):
        return None
