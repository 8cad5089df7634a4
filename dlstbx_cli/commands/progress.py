"""A bar on stderr for a person at a terminal who has to wait."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

#: Told what is done, how much of it, and of how much if that is known.
Tell = Callable[[str, int, int | None], None]

#: With so much to do a person is shown a bar, and it is moved once in so many steps.
MANY, STEPS = 5000, 500


@contextmanager
def progress(many: int = MANY, steps: int = STEPS) -> Iterator[Tell]:
    """Show a bar to a person at a terminal who has to wait for it.

    What is said on stderr meanwhile stands above it.
    """
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    with ExitStack() as stack:
        yield _Bar(stack, many, steps).tell


class _Bar:
    """A bar for each thing that is done; it comes when there is much of it."""

    def __init__(self, stack: ExitStack, many: int, steps: int) -> None:
        self._stack = stack
        self._many, self._steps = many, steps
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}

    def tell(self, what: str, done: int, total: int | None) -> None:
        """See Tell."""
        if max(done, total or 0) < self._many or (done % self._steps and done != total):
            return
        if what not in self._tasks:
            self._tasks[what] = self._shown().add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)

    def _shown(self) -> Any:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            # Data on stdout go where they went: the bar's console is stderr.
            bar = Progress(
                *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
            )
            self._progress = self._stack.enter_context(bar)
            _log_to(sys.stderr, self._stack)
        return self._progress


def _log_to(stream: Any, stack: ExitStack) -> None:
    """Let logs go to what stands for stderr while there is a bar: above it."""
    for handler in logging.getLogger("dlstbx_cli").handlers:
        if isinstance(handler, logging.StreamHandler):
            before = handler.setStream(stream)
            if before is not None:
                stack.callback(handler.setStream, before)
