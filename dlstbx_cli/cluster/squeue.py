"""Slurm by its program ``squeue``, on this host or on another."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from dlstbx_cli.cluster.source import TIMEOUT, is_state
from dlstbx_cli.services.errors import Misconfigured, Unavailable

#: What a shell answers, here or at the other end of ssh, for a program that it has not.
_NO_PROGRAM = (126, 127)
_SHOWN = 160


class Squeue:
    """See :class:`dlstbx_cli.cluster.source.Source`.

    :param account: nothing in it may mean anything to a shell: ``ssh`` hands it to one.
    :param prefix: the command that runs ``squeue``, such as ``ssh head``; none: this host's.
    :param timeout: seconds, after which the program and all that it has started are ended.
    """

    def __init__(self, account: str, prefix: Sequence[str] = (), timeout: float = TIMEOUT) -> None:
        self._command = [
            *prefix,
            "squeue",
            "--noheader",
            "--states=all",
            "--format=%T",
            f"--account={account}",
        ]
        self._name = shlex.join([*prefix, "squeue"])
        self._timeout = timeout
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._closed = False

    def states(self) -> list[str]:
        """Return the state of each job of the account. Raises Unavailable, Misconfigured."""
        # Not a pipe: ssh leaves a connection that is to be shared behind, which keeps it open.
        with tempfile.TemporaryFile() as said:
            process = self._start(said)
            try:
                out, _ = process.communicate(timeout=self._timeout)
            except subprocess.TimeoutExpired:
                raise Unavailable(
                    f"{self._name} does not answer within {self._timeout:g} s"
                ) from None
            finally:
                self._end(process)
            said.seek(0)
            err = said.read()
        if process.returncode != 0:
            raise self._failure(process.returncode, err)
        states = out.decode("utf-8", "replace").split()
        for state in states:
            if not is_state(state):
                raise Misconfigured(f"{self._name} prints what is no job state: {state!r:.60}")
        return states

    def close(self) -> None:
        """End the program, if it is running."""
        with self._lock:
            self._closed = True
            process = self._running
        if process is not None:
            _kill(process)

    def _start(self, said: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise Unavailable(f"{self._name}: no longer asked")
            try:
                self._running = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    env=_environment(),
                    # Whatever the program starts ends with it; and ssh has no terminal on
                    # which it could ask for a password.
                    start_new_session=True,
                )
            except OSError as error:
                raise Misconfigured(
                    f"{self._name} cannot be run: {error.strerror} (--squeue 'ssh HOST' runs it "
                    "on another host)"
                ) from None
            return self._running

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running = None
        _kill(process)
        if process.stdout is not None:
            process.stdout.close()
        # What has become another user (sudo) cannot be killed, and is not waited for.
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)

    def _failure(self, code: int, err: bytes) -> Unavailable | Misconfigured:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        reason = f"{self._name}: {lines[-1][:_SHOWN] if lines else f'ended with {code}'}"
        return Misconfigured(reason) if code in _NO_PROGRAM else Unavailable(reason)


def _environment() -> dict[str, str]:
    """Return our environment without what would change the output of ``squeue``."""
    return {name: text for name, text in os.environ.items() if not name.startswith("SQUEUE_")}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started, unless it has ended by itself.

    Then its number may be another's already.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
