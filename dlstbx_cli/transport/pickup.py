"""Stored triggers as a link: the drop directory is the source, the broker the sink.

A file is locked while it is in hand, and removed when the broker has confirmed its
message: of two who pick up at once, one sends it; one that is killed in between leaves the
file, and whoever sends it again sends the same identity.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Rejected, Unavailable
from dlstbx_cli.services.message import ERROR_HEADER, ID_HEADER, Message, Queue, derived_id
from dlstbx_cli.transport.envelope import from_record, load
from dlstbx_cli.transport.link import Delivery

#: Seconds between two looks at a directory that was empty.
_INTERVAL = 1.0


@dataclass(frozen=True)
class Order:
    """Which stored triggers are sent, and in which order.

    :param priority: names of recipes; triggers with one of them go first, in this order.
    :param max_age: seconds; older triggers stay where they are. None: all are sent.
    """

    priority: Sequence[str] = ()
    max_age: float | None = None

    def rank(self, message: Any) -> int:
        """Return the place of a trigger among the priorities; those without come last."""
        recipes = message.get("recipes") if isinstance(message, dict) else None
        named = recipes if isinstance(recipes, list) else []
        return next(
            (place for place, name in enumerate(self.priority) if name in named),
            len(self.priority),
        )


@dataclass
class _Taken:
    path: Path
    descriptor: int


@dataclass
class DropDirectory:
    """The link from a drop directory to a broker.

    :param send: sends messages, all or none, and returns when they are safe.
    :param progress: told after each file how many there still are.
    """

    directory: Path
    queue: str
    send: Callable[[Sequence[Message]], None]
    order: Order = field(default_factory=Order)
    delay: float = 0.0
    progress: Callable[[int], None] = lambda _: None
    _waiting: deque[Path] = field(default_factory=deque)
    _taken: dict[int, _Taken] = field(default_factory=dict)
    _scanned: float = -_INTERVAL
    _count: int = 0

    def receive(self, timeout: float | None) -> Delivery | None:
        """Return the next stored trigger, None if there is none now. Raises Unavailable."""
        if not self._waiting and time.monotonic() - self._scanned >= _INTERVAL:
            self._waiting.extend(stored(self.directory, self.order))
            self._scanned = time.monotonic()
        while self._waiting:
            delivery = self._take(self._waiting.popleft())
            if delivery is not None:
                return delivery
        if timeout:
            time.sleep(timeout)
        return None

    def commit(self, delivery: Delivery, results: Sequence[Message]) -> None:
        """Send the trigger and remove its file; one that is broken is set aside."""
        taken = self._taken[delivery.tag]
        if delivery.fault is None:
            self.send(results)
            taken.path.unlink(missing_ok=True)
        else:
            set_aside(taken.path, results[0].headers[ERROR_HEADER])
        self.give_back(delivery)
        self.progress(len(self._waiting))
        if self.delay and self._waiting:
            time.sleep(self.delay)

    def give_back(self, delivery: Delivery) -> None:
        """Let go of the file: whoever looks next finds it."""
        os.close(self._taken.pop(delivery.tag).descriptor)

    def close(self) -> None:
        """Let go of everything."""
        for taken in self._taken.values():
            os.close(taken.descriptor)
        self._taken.clear()

    def _take(self, path: Path) -> Delivery | None:
        """Lock and read a file; None if another process has it, or had it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"the stored trigger {path}: {error.strerror}") from None
        taken = _Taken(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            still_there = os.path.samestat(path.stat(), os.fstat(descriptor))
            content = b"" if not still_there else _read(descriptor)
        except OSError:
            still_there = False
        if not still_there:
            os.close(descriptor)
            return None
        self._count += 1
        self._taken[self._count] = taken
        return _delivery(path, content, self.queue, self._count)


def stored(directory: Path, order: Order) -> list[Path]:
    """Return the files of a drop directory in the order they are to be sent.

    Oldest first, those of equal age by name. A directory that is not there is empty: it is
    made with the first trigger that is stored. Raises Unavailable.
    """
    now = time.time()
    found = []
    try:
        for entry in os.scandir(directory):
            if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
                continue
            written = entry.stat().st_mtime
            if order.max_age is None or now - written <= order.max_age:
                path = Path(entry.path)
                rank = order.rank(_message(path)) if order.priority else 0
                found.append((rank, written, path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unavailable(f"the drop directory {directory}: {error.strerror}") from None
    return [path for _, _, path in sorted(found)]


def look(directory: Path) -> Iterator[tuple[float, Message]]:
    """Yield the stored triggers and when each was stored, oldest first; none is taken.

    Seconds since the epoch. A file that is broken, or gone meanwhile, is passed over. Raises
    Unavailable.
    """
    for path in stored(directory, Order()):
        with suppress(OSError, Rejected):
            written = path.stat().st_mtime
            yield written, _trigger(load(path.read_bytes()), "processing_recipe")


def set_aside(path: Path, reason: str) -> Path:
    """Move a broken file out of the way, with the reason beside it; return where it is.

    To a directory beside the drop directory: in it, ``zocalo.pickup`` would stumble over it.
    Raises Unavailable.
    """
    aside = path.parent.with_name(f"{path.parent.name}.broken")
    try:
        aside.mkdir(exist_ok=True)
        (aside / f"{path.name}.reason").write_text(f"{reason}\n", encoding="utf-8")
        return path.rename(aside / path.name)
    except OSError as error:
        raise Unavailable(f"{path} cannot be set aside in {aside}: {error.strerror}") from None


def _message(path: Path) -> Any:
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_bytes())
        return content.get("message") if isinstance(content, dict) else None
    return None


def _read(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _trigger(record: Any, queue: str) -> Message:
    if not isinstance(record, dict) or "message" not in record:
        raise Rejected("a stored trigger must be an object with headers and message")
    headers = record.get("headers") or {}
    return from_record({"queue": queue, "message": record["message"], "headers": headers})


def _delivery(path: Path, content: bytes, queue: str, number: int) -> Delivery:
    try:
        message = _trigger(load(content), queue)
    except Rejected as error:
        return Delivery(Message(Queue(queue), None), str(path), fault=str(error), tag=number)
    if ID_HEADER not in message.headers:
        # Sent again after a crash, it has the same identity.
        message = message.with_headers({ID_HEADER: derived_id(path.name, "stored")})
    return Delivery(message, str(path), tag=number)
