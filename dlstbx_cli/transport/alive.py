"""Signs of life: a locked file for each consumer, whose lock the kernel drops with the process.

So that others see at once that a consumer has died, by SIGKILL or otherwise, with neither
heart-beats nor time-outs. Only for processes on one machine.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from contextlib import suppress
from pathlib import Path


class Sign:
    """One consumer's file, locked until it is closed or the process ends.

    Raises OSError if the directory cannot be written to.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.name = uuid.uuid4().hex
        self._path = directory / self.name
        self._descriptor = self._locked()
        while not self._stands():
            # Somebody swept it away between its creation and its lock.
            os.close(self._descriptor)
            self._descriptor = self._locked()

    def close(self) -> None:
        """Remove the file: the consumer has ended, and has left nothing in hand."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def drop(self) -> None:
        """Let go of the file: what the consumer has in hand is for others to put back."""
        os.close(self._descriptor)

    def _locked(self) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def _stands(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False


def is_alive(directory: Path, name: str) -> bool:
    """Tell whether a consumer lives; if we may not know, then it does."""
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        # A shared lock: two who ask at once must not take each other for the consumer.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def sweep(directory: Path) -> None:
    """Remove the files of dead consumers. A file that is gone says the same as one unlocked."""
    for path in directory.iterdir():
        if not is_alive(directory, path.name):
            with suppress(OSError):
                path.unlink()
