"""How often a message has been in the hand of a consumer that died: files on this host.

A broker marks a message that came back, but neither counts nor tells whether its consumer
had begun with it, or only received it ahead. So a consumer writes down, for such a message
alone, that it begins with it, and takes the note away when it has ended: a note that is
still there was left by a death. It costs nothing for messages that come the first time.
"""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger("dlstbx_cli")

#: Seconds after which a note is of no interest: another host has ended the message.
_FORGET = 7 * 86400.0


class Attempts:
    """The notes in a directory, one file for each message.

    :param directory: made when it is needed; None: nothing is counted. A directory that
        cannot be written to is a warning, once: messages are handled all the same.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._swept = False

    @property
    def counts(self) -> bool:
        """Whether notes are kept: the consumer is a service."""
        return self._directory is not None

    def begin(self, identity: str) -> int:
        """Note that a message which came back is begun; return which attempt this is."""
        if self._directory is None:
            return 1
        path = self._path(self._directory, identity)
        try:
            self._sweep(self._directory)
            deaths = len(path.read_bytes()) if path.exists() else 0
            with path.open("ab") as file:
                file.write(b".")
        except OSError as error:
            logger.warning(
                "%s: %s; messages that kill their consumer are not counted",
                self._directory,
                error.strerror,
                extra={"action": "attempts"},
            )
            self._directory = None
            return 1
        # The first time, which left no note, is the one that the broker's mark tells of.
        return deaths + 2

    def end(self, identity: str) -> None:
        """Note that a message has ended, one way or another."""
        if self._directory is not None:
            with suppress(OSError):
                self._path(self._directory, identity).unlink(missing_ok=True)

    def undo(self, identity: str) -> None:
        """Take the last beginning back: the message was given back, nobody has died."""
        if self._directory is not None:
            path = self._path(self._directory, identity)
            with suppress(OSError):
                deaths = len(path.read_bytes()) - 1
                if deaths > 0:
                    path.write_bytes(b"." * deaths)
                else:
                    path.unlink()

    def _sweep(self, directory: Path) -> None:
        if self._swept:
            return
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._swept = True
        before = time.time() - _FORGET
        for path in directory.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()

    @staticmethod
    def _path(directory: Path, identity: str) -> Path:
        # What comes from a queue is no file name: its digest is.
        digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
        return directory / digest
