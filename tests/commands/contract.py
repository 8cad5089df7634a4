"""What every command promises, whatever it is for: one contract, inherited by its tests."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dlstbx_cli.commands.base import EXIT_STATUS
from tests.conftest import run, start

OTHERS = [
    {"queue": "nobody", "message": {"a": 1}, "note": "kept"},
    {"topic": "news", "message": [1, 2], "headers": {"x": "y"}},
]


class Contract:
    """The contract of a command; a subclass names the command and what it takes."""

    command: ClassVar[str]
    #: Arguments with which it reads stdin, or does its usual work.
    arguments: ClassVar[list[str]] = []
    #: Its exit code where there is nothing to do.
    code_without_work: ClassVar[int] = 0
    #: What it is given on stdin while nobody reads its output.
    flood: ClassVar[bytes] = b""

    @pytest.fixture(autouse=True)
    def _at_home(self, home: Path) -> None:
        """Give every test the demo facility."""

    def test_help(self) -> None:
        outcome = run(self.command, "--help")
        assert outcome.code == 0
        assert f"Usage: {self.command}" in outcome.out
        assert "Examples:" in outcome.out
        for line in EXIT_STATUS.splitlines()[1:]:
            assert line.partition("{")[0].strip() in outcome.out
        assert run(self.command, "-h").out == outcome.out

    def test_version(self) -> None:
        assert run(self.command, "--version").out.startswith(f"{self.command}, version ")

    def test_wrong_use(self) -> None:
        outcome = run(self.command, "--no-such-option")
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.startswith(f"{self.command}: ")
        assert outcome.err.count("\n") == 1

    def test_empty_input(self) -> None:
        outcome = run(self.command, *self.arguments, stdin=b"")
        assert outcome.code == self.code_without_work
        self.check_empty(outcome.out)

    def check_empty(self, out: str) -> None:
        """Check what is printed for an empty input."""

    def test_a_closed_pipe_ends_it_quietly(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        process = start(self.command, *self.arguments, stdout=writer)
        os.close(writer)
        _, err = process.communicate(self.flood, timeout=60)
        assert process.returncode == self.code_without_work
        assert b"Traceback" not in err
        assert b"Exception ignored" not in err
        assert b"Broken" not in err


class ReadsLines(Contract):
    """What every command promises that reads stdin line by line."""

    #: The queue whose messages it takes.
    queue: ClassVar[str]

    def check_empty(self, out: str) -> None:
        assert out == ""

    @pytest.mark.parametrize(
        "line",
        [b"this is no JSON", b'{"queue": "x"', b"\xff\xfe", b"nul \x00 byte", b'"text"', b"[1]",
         b'{"message": 1}', b'{"queue": "a", "topic": "b", "message": 1}', b"{}"],
    )  # fmt: skip
    def test_a_bad_line(self, line: bytes) -> None:
        good = json.dumps(OTHERS[0]).encode()
        outcome = run(self.command, *self.arguments, stdin=line + b"\n" + good + b"\n")
        assert outcome.code == 1
        assert f"{self.command}: line 1: " in outcome.err
        self.check_bad_line(outcome.lines)

    def check_bad_line(self, lines: list[Any]) -> None:
        letter, *rest = lines
        assert letter["queue"] == f"dlq.{self.queue}"
        assert letter["headers"]["dlstbx-error"]
        assert letter["headers"]["dlstbx-rejected-by"] == self.command
        assert letter["headers"]["dlstbx-id"]
        assert rest == [OTHERS[0]]

    def test_sigterm_while_waiting_for_input(self, processes: list[Any]) -> None:
        process = start(self.command, *self.arguments)
        processes.append(process)
        self.wait_until_reading(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == self.code_when_stopped

    #: What it is given before it is stopped counts for its exit code: a line refused.
    code_when_stopped: ClassVar[int] = 1

    def wait_until_reading(self, process: Any) -> None:
        """Wait until the command has read what it was given, and waits for more."""
        process.stdin.write(b"no number\n")
        process.stdin.flush()
        while b"line 1" not in process.stderr.readline():
            pass


class FilterContract(ReadsLines):
    """What every filter promises: what is not addressed to it goes through."""

    code_when_stopped = 0
    flood = b"".join(json.dumps(OTHERS[0]).encode() + b"\n" for _ in range(2000))

    def test_lines_for_others_pass_untouched_and_in_order(self) -> None:
        odd = b'{ "queue":"nobody",   "message": "\\u00e4 \xc3\xa4" , "x":1.50}\n'
        text = odd + b"".join(json.dumps(one).encode() + b"\n" for one in OTHERS) + odd
        process = start(self.command, *self.arguments)
        out, err = process.communicate(text, timeout=60)
        assert (out, process.returncode) == (text, 0), err

    def wait_until_reading(self, process: Any) -> None:
        line = json.dumps(OTHERS[0]).encode() + b"\n"
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line  # passed on at once, not at the end


class ServiceContract(FilterContract):
    """What every stage promises on top: the three ways to run."""

    def test_listens_until_told_to_stop(self, home: Path, processes: list[Any]) -> None:
        url = f"sqlite:///{home}/queue.sqlite3"
        process = start(self.command, "--listen", "--broker", url)
        processes.append(process)
        bad = {"queue": self.queue, "message": "no message of this queue"}
        assert run("queue-put", "--broker", url, stdin=json.dumps(bad)).code == 0
        deadline = time.monotonic() + 20
        states: list[Any] = []
        while time.monotonic() < deadline:
            states = run("queue-ls", "--broker", url).lines
            if [state["queue"] for state in states] == [f"dlq.{self.queue}"]:
                break
            time.sleep(0.1)
        assert [(state["queue"], state["ready"]) for state in states] == [(f"dlq.{self.queue}", 1)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0

    def test_once_takes_what_is_there(self, home: Path) -> None:
        bad = {"queue": self.queue, "message": "no message of this queue"}
        run("queue-put", stdin=json.dumps(bad))
        outcome = run(self.command, "--once")
        assert (outcome.code, outcome.out) == (1, "")
        (letter,) = run("queue-get", f"dlq.{self.queue}").lines
        assert letter["message"] == "no message of this queue"
        assert run(self.command, "--once").code == 0

    def test_send_puts_results_into_the_broker(self, home: Path) -> None:
        bad = {"queue": self.queue, "message": "no message of this queue"}
        lines = "\n".join(json.dumps(one) for one in (bad, OTHERS[0]))
        outcome = run(self.command, "--send", stdin=lines)
        assert (outcome.code, outcome.lines) == (1, [OTHERS[0]])
        assert len(run("queue-get", f"dlq.{self.queue}").lines) == 1

    @pytest.mark.parametrize(
        "arguments", [["--once", "--listen"], ["--once", "--send"], ["--listen", "--send"]]
    )
    def test_ways_exclude_each_other(self, arguments: list[str]) -> None:
        assert run(self.command, *arguments).code == 2

    def test_another_queue(self) -> None:
        bad = {"queue": "other", "message": "x"}
        (letter,) = run(self.command, "--queue", "other", stdin=json.dumps(bad)).lines
        assert letter["queue"] == "dlq.other"

    def test_a_broker_that_is_none(self, home: Path) -> None:
        (home / "text").write_text("this is no database, but a text that is long enough " * 40)
        outcome = run(self.command, "--once", "--broker", f"sqlite:///{home}/text")
        assert outcome.code == 78
        assert str(home / "text") in outcome.err
        assert outcome.err.count("\n") == 1 + outcome.err.count("is configured")

    def test_a_password_on_the_command_line_is_refused(self) -> None:
        url = "stomp://user:secret@localhost:61613/"
        outcome = run(self.command, "--once", "--broker", url)
        assert outcome.code == 2
        assert "secret" not in outcome.err
        assert "DLSTBX_BROKER" in outcome.err
