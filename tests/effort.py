"""How much work something is, whatever else the machine and the other tests do."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Effort:
    """The CPU seconds of this thread, as soon as the work is done."""

    seconds = 0.0


@contextmanager
def effort() -> Iterator[Effort]:
    """Measure the work inside, without collecting the garbage of all tests before."""
    measured = Effort()
    gc.collect()
    gc.disable()
    begin = time.thread_time()
    try:
        yield measured
    finally:
        measured.seconds = time.thread_time() - begin
        gc.enable()
