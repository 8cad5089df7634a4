"""Programs that the tests start, and kill: a filter, a listener, a consumer, a sender."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.driver import Way, exit_code, run
from dlstbx_cli.transport.pipe import Pipe
from dlstbx_cli.transport.stop import Stop


class Echo:
    """A stage from the queue ``in`` to the queue ``out``."""

    name = "echo"
    queue = "in"
    topics: Sequence[str] = ("news",)

    def handle(self, message: Message) -> Sequence[Message]:
        asked = message.body if isinstance(message.body, dict) else {}
        if "say" in asked:
            say(asked["say"])
        if "die" in asked:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(asked.get("sleep", 0))
        return [Message(Queue("out"), message.body)]

    def observe(self, message: Message) -> None:
        pass


def scratch() -> Path | None:
    given = os.environ.get("SCRATCH")
    return Path(given) if given else None


def say(text: str) -> None:
    print(text, flush=True)


def filter_() -> int:
    with Stop() as stop, closing(Pipe("in", ("news",), sys.stdin.buffer)) as pipe:
        return exit_code(run(Echo(), pipe, Way.FILTER, stop))


def listen(url: str, attempts: str = "5", way: str = "listen") -> int:
    with Stop() as stop, closing(connect(url, scratch=scratch())) as broker:
        say("ready")
        with closing(broker.consumer("in", ("news",))) as link:
            return exit_code(run(Echo(), link, Way(way), stop, int(attempts)))


def take(url: str, queue: str, number: str) -> int:
    """Take some messages and hold them, until killed."""
    link = connect(url, scratch=scratch()).consumer(queue)
    for _ in range(int(number)):
        delivery = link.receive(5)
        say(str(delivery and delivery.message.body))
    time.sleep(60)
    return 0


def send(url: str, queue: str, name: str, number: str) -> int:
    broker = connect(url)
    for count in range(int(number)):
        broker.send([Message(Queue(queue), [name, count])])
    return 0


def work(url: str) -> int:
    """Work from ``in`` to ``out`` until killed, or there is nothing for a second."""
    link = connect(url).consumer("in")
    say("ready")
    while (delivery := link.receive(1)) is not None:
        result = Message(Queue("out"), delivery.message.body)
        link.commit(delivery, [result.child(delivery.message.identity, 0)])
    return 0


PROGRAMS = {"filter": filter_, "listen": listen, "take": take, "send": send, "work": work}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
