"""Work in processes of their own, each forked from one that has no threads.

The tests themselves have threads, and so must not fork: a lock that another thread holds at
that instant, SQLite's own among them, would stay locked in the child for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import event

from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.jobs import IspybJobs
from dlstbx_cli.database.state import JobState
from dlstbx_cli.services.ispyb_job import Job

_CONTEXT = multiprocessing.get_context("forkserver")
# Imported once: so a child begins in milliseconds.
_CONTEXT.set_forkserver_preload([__name__])
#: Seconds after which a child hangs.
_PATIENCE = 120


class Child:
    """A function at work in a process of its own; it and its arguments are pickled."""

    def __init__(self, work: Callable[..., Any], *arguments: Any) -> None:
        self._result, given = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_work, args=(given, work, arguments))
        self._process.start()
        given.close()

    def result(self) -> Any:
        """Return what the function has returned; the test fails if it has not."""
        try:
            assert self._result.poll(_PATIENCE), "the child hangs"
            return self._result.recv()
        except EOFError:
            raise AssertionError(f"the child has ended: {self._code()}") from None
        finally:
            self._process.kill()
            self._process.join()

    def killed(self) -> int:
        """Return the signal that has killed it, or 0; the test fails if the function has."""
        code = self._code()
        assert code is not None, "the child hangs"
        assert code <= 0, code
        return -code

    def _code(self) -> int | None:
        self._process.join(_PATIENCE)
        return self._process.exitcode


def _work(given: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    given.send(work(*arguments))


def create_and_be_killed(url: str, state: str, instant: int, identity: str, job: Job) -> None:
    """Create a job, but die at the given event of either database, counted from 1."""
    engine, store = connect(url), connect(state, create=True)
    instants = count(1)

    def tick(*_: object) -> None:
        if next(instants) == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    for database in (engine, store):
        for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(database, name, tick)
        # After the commit: the connection goes back to the pool.
        event.listen(database.pool, "checkin", tick)
    IspybJobs(engine, JobState(store)).create(identity, job)
