"""A server that the tests start, kill, start again on the same data, and stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode

import pytest

#: Seconds that a server may take to start.
_PATIENCE = 90.0


def lacking(reason: str) -> NoReturn:
    """Skip the test that needs a server; where everything must be there, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


#: Ends a process group when its standard input does: with the tests, however they end.
_WATCH = 'read -r _; kill -s KILL -- "-$1"'


class ServerProcess:
    """A server in a process group of its own; it is up when all its ports answer."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        ports: Sequence[int],
    ) -> None:
        self._command = command
        self._environment = environment
        self._log = log
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watch = subprocess.Popen(
            ["sh", "-c", _WATCH, "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{self._command[0]} does not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a loss of power would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server and whatever it has started."""
        self._end(signal.SIGTERM)
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let the server hang, with its connections open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a server that hangs go on."""
        self._signal(signal.SIGCONT)

    @staticmethod
    def with_settings(url: str, settings: Mapping[str, object]) -> str:
        """Return a URL with settings; an underscore in a name stands for a hyphen."""
        query = {name.replace("_", "-"): value for name, value in settings.items()}
        return f"{url}?{urlencode(query)}" if query else url

    def _end(self, number: int) -> None:
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        self._signal(number)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        with suppress(OSError):
            for port in self._ports:
                socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False
