"""The logbook: every dispatched request as a file, for whoever asks later what was run.

Source for places and form: Zocalo's dispatcher, whose own readers find these files.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlstbx_cli.services.bounded import Bounded
from dlstbx_cli.services.dispatcher import Dispatched
from dlstbx_cli.services.errors import Unavailable

logger = logging.getLogger("dlstbx_cli")

#: Seconds that a logbook may take; then the request goes on without.
_PATIENCE = 5.0
_SHORTEST = 3


class Logbook:
    """Writes ``LOGBOOK/YYYY-MM/GU/ID-REST``: the guid's first two characters, then the rest.

    A logbook that cannot be written to is a warning, never a failure.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bounded = Bounded()

    def __call__(self, dispatched: Dispatched) -> None:
        """Write the entry of a request; handled again, it is replaced."""
        name = re.sub(r"[^a-z0-9A-Z-]+", "", dispatched.guid)
        try:
            if len(name) < _SHORTEST:
                raise Unavailable(f"{dispatched.guid!r:.60} cannot name a file")  # noqa: TRY301
            month = self._directory / time.strftime("%Y-%m")
            path = month / name[:2] / name[2:]
            self._bounded.run(str(self._directory), _PATIENCE, lambda: _write(path, dispatched))
        except (Unavailable, OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            logger.warning(
                "the logbook %s is not written: %s",
                self._directory,
                reason,
                extra={"action": "logbook", "recipe_id": dispatched.guid},
            )


def _write(path: Path, dispatched: Dispatched) -> None:
    """Write under another name and rename: nobody ever reads half an entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4()}.part")
    try:
        part.write_text(_entry(dispatched), encoding="utf-8", errors="backslashreplace")
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _entry(dispatched: Dispatched) -> str:
    sections: Mapping[str, Any] = {
        "Incoming message header": dict(dispatched.headers),
        "Incoming message body": dispatched.body,
        "Parsed message body": dispatched.request,
        "Recipe object": dispatched.recipe,
    }
    return (
        "\n\n".join(
            f"{title}:\n"
            + json.dumps(content, sort_keys=True, indent=2, separators=(",", ": "), default=str)
            for title, content in sections.items()
        )
        + "\n"
    )
