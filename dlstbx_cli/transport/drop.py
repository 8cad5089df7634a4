"""Stored triggers: what could not be sent waits as a file in the drop directory.

The format is the one that ``zocalo.pickup`` reads: ``{"headers": {...}, "message": {...}}``.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import Message, new_id


def store(message: Message, directory: Path) -> Path:
    """Write a message to a file of its own, safely on disk, and return its path.

    The name is written last: whoever reads the directory sees whole files only. It is
    new, and not the message's identity, which may come from elsewhere.
    Raises Unavailable if the file cannot be written.
    """
    path = directory / new_id()
    hidden = path.with_name(f".{path.name}")
    content = json.dumps({"headers": dict(message.headers), "message": message.body}, indent=2)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with hidden.open("w", encoding="utf-8") as file:
            file.write(content + "\n")
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(path)
        _sync_directory(directory)
    except OSError as error:
        with suppress(OSError):
            hidden.unlink()
        raise Unavailable(
            f"the trigger cannot be stored in {directory}: {error.strerror}"
        ) from None
    return path


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
