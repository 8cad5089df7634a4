"""A request to stop: SIGTERM and SIGINT let the message in hand be finished."""

from __future__ import annotations

import os
import select
import signal
import threading
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Says whether the run is to end, and lets a wait be cut short by that.

    As a context it answers SIGTERM and SIGINT by a request to stop, and puts the former
    handlers back at the end. Outside the main thread, where Python allows no handlers, it
    works by :meth:`request` alone.
    """

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[int, Any] = {}
        self._ears, self._mouth = -1, -1

    def __enter__(self) -> Self:
        # A pipe, not a threading.Event: setting an event inside a signal handler can
        # dead-lock with the very wait that it is to end.
        self._ears, self._mouth = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            # None: a handler that was not installed from Python cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former.clear()
        os.close(self._ears)
        os.close(self._mouth)
        self._ears, self._mouth = -1, -1

    def request(self) -> None:
        """Ask for the end of the run, from a signal handler or another thread."""
        if not self.requested:
            self.requested = True
            if self._mouth >= 0:
                os.write(self._mouth, b".")

    def wait(self, seconds: float) -> bool:
        """Wait, at most until a request to stop; return whether there is one."""
        if not self.requested:
            select.select([self._ears] if self._ears >= 0 else [], [], [], seconds)
        return self.requested

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()
