"""Messages a second through a stage on the embedded broker, and lines through a pipe.

``python -m tests.benchmarks.bench_broker``
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from dlstbx_cli.services.message import Message, Queue, new_id
from dlstbx_cli.transport.driver import Way, run
from dlstbx_cli.transport.envelope import render
from dlstbx_cli.transport.lines import Output
from dlstbx_cli.transport.pipe import Pipe
from dlstbx_cli.transport.sqlite import SqliteBroker
from dlstbx_cli.transport.stop import Stop

MESSAGES = 2_000
WAITING = 10_000
LINES = 50_000
#: About as large as a wrapped message of the recipe ``mimas``.
BODY = {"environment": {"ID": "x" * 36}, "recipe": {"1": {"parameters": {"x": "y" * 2_000}}}}


class Stage:
    """A stage that sends one result for each message, until it has handled enough."""

    name = "bench"
    queue = "in"
    topics: Sequence[str] = ("news",)

    def __init__(self, stop: Stop, enough: int) -> None:
        self._left = enough
        self._stop = stop

    def handle(self, message: Message) -> Sequence[Message]:
        self._left -= 1
        if not self._left:
            self._stop.request()
        return [Message(Queue("out"), message.body)]

    def observe(self, message: Message) -> None:
        """Listen to nothing."""


def messages(number: int, delay: float = 0.0) -> list[Message]:
    return [Message(Queue("in"), BODY, {"dlstbx-id": new_id()}, delay) for _ in range(number)]


def through_a_stage(directory: Path, ready: int, delayed: int) -> float:
    """Return messages/s with so many others waiting in the queue."""
    with closing(SqliteBroker(directory / f"{ready}-{delayed}.sqlite3")) as broker:
        broker.send(messages(delayed, delay=3600) + messages(MESSAGES + ready))
        with closing(broker.consumer("in", ("news",))) as link, Stop() as stop:
            began = time.perf_counter()
            run(Stage(stop, MESSAGES), link, Way.LISTEN, stop)
            return MESSAGES / (time.perf_counter() - began)


def through_a_pipe(line: bytes, directory: Path) -> float:
    """Return lines/s from a real pipe to nowhere."""
    path = directory / "lines"
    path.write_bytes(line * LINES)
    with (
        subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as cat,
        Path(os.devnull).open("wb") as nowhere,
        Stop() as stop,
    ):
        assert cat.stdout is not None
        output = Output(nowhere)
        pipe = Pipe("in", ("news",), cat.stdout, emit=output.emit, pass_on=output.write)
        began = time.perf_counter()
        run(Stage(stop, LINES + 1), pipe, Way.FILTER, stop)
        return LINES / (time.perf_counter() - began)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for ready, delayed in ((0, 0), (WAITING, 0), (0, WAITING), (WAITING, WAITING)):
            rate = through_a_stage(Path(name), ready, delayed)
            print(f"embedded broker, {ready:6} ready, {delayed:6} delayed: {rate:8.0f} messages/s")
        for text, queue in (("passed through", "other"), ("handled", "in")):
            line = render(Message(Queue(queue), BODY, {"dlstbx-id": new_id()}))
            rate = through_a_pipe(line, Path(name))
            print(f"pipe, lines of {len(line)} bytes {text}: {rate:8.0f} lines/s")


if __name__ == "__main__":
    main()
