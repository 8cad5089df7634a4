"""Claims that are kept up while their owner is busy elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from dlstbx_cli.services.errors import Misconfigured, Unavailable

#: Seconds to wait at the end for work in progress: it does no harm if it comes later.
_PATIENCE = 1.0


@contextmanager
def repeated(work: Callable[[], object], interval: float) -> Iterator[None]:
    """Do some work every so many seconds, in a thread, until the block has ended.

    What does not work because of the surroundings is tried again at the next time.
    """
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(interval):
            with suppress(Unavailable, Misconfigured):
                work()

    thread = threading.Thread(target=loop, name="renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_PATIENCE)
