"""A request to stop: SIGTERM and SIGINT let the message in hand be finished."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from types import FrameType
from typing import Any, Self

from dlstbx_cli.services.trace import in_any_hand

logger = logging.getLogger("dlstbx_cli")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Seconds that a service has for its end: 5 are promised, and Python needs a moment.
GRACE = 4.5


def _die() -> None:
    """End the process, whatever its threads are doing."""
    os._exit(0)


class Stop:
    """Says whether the run is to end, and lets a wait be cut short by that.

    As a context it answers SIGTERM and SIGINT by a request to stop, and puts the former
    handlers back at the end. Outside the main thread, where Python allows no handlers, it
    works by :meth:`request` alone.

    :param grace: seconds after the request in which the run ends by itself. Then the process
        ends at once, with exit code 0: a broker or a database that hangs cannot hold it.
        Nothing is lost by that, as by any other death: what was in hand comes again.
        None: the run takes the time that it needs.
    """

    def __init__(self, grace: float | None = None) -> None:
        self.requested = False
        self._grace = grace
        self._ended = threading.Event()
        self._guard: threading.Thread | None = None
        self._former: dict[int, Any] = {}
        self._ears, self._mouth, self._former_mouth = -1, -1, -1

    def __enter__(self) -> Self:
        # A pipe, not a threading.Event: setting an event inside a signal handler can
        # dead-lock with the very wait that it is to end.
        self._ears, self._mouth = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._former[number] = signal.signal(number, self._on_signal)
            # A main thread that hangs in a database's library runs no handler: the guard is
            # told by the signal itself.
            self._former_mouth = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        if self._grace is not None:
            self._guard = threading.Thread(target=self._see_to_it, daemon=True)
            self._guard.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._former:
            signal.set_wakeup_fd(self._former_mouth)
        for number, handler in self._former.items():
            # None: a handler that was not installed from Python cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former.clear()
        if self._guard is not None:
            self._ended.set()
            self.request()
            self._guard.join()
            self._guard = None
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
            heard = select.select([self._ears] if self._ears >= 0 else [], [], [], seconds)[0]
            # On a thread: the main one may not have come to the handler yet.
            self.requested = self.requested or bool(heard)
        return self.requested

    def _see_to_it(self) -> None:
        """Wait for the request, then for the end of the run, but not beyond the grace."""
        select.select([self._ears], [], [])
        self.requested = True
        if self._ended.wait(self._grace):
            return
        text = "told to stop, and still waiting: what is in hand goes back to its place"
        extra = {"action": "stop", **in_any_hand()}
        # The main thread may hang while it holds what logging needs.
        words = threading.Thread(
            target=logger.warning, args=(text,), kwargs={"extra": extra}, daemon=True
        )
        words.start()
        words.join(0.2)
        _die()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()
