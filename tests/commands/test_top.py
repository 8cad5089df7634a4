"""``dlstbx-top``: what it sees, what it says where there is nothing to see, how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dlstbx_cli.commands.recording import last
from dlstbx_cli.commands.top_sources import Found, Looker
from dlstbx_cli.commands.top_view import page, shares
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.broker import connect
from tests.conftest import BIN, make_dead_letters, run, shell, start

PANELS = ("queues", "clusters", "held", "dead_letters", "decisions")


@pytest.fixture(scope="module")
def made(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with some of everything: held jobs, a statistic, dead letters, a decision."""
    home = tmp_path_factory.mktemp("busy") / "home"
    shutil.copytree(demo_home, home)
    statistic = {
        "statistic-group": "cluster", "statistic": "job-states", "statistic-cluster": "slurm",
        "statistic-timestamp": time.time(), "PENDING": 58,
    }  # fmt: skip
    line = json.dumps({"topic": "transient.statistics.cluster", "message": statistic})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLSTBX_HOME", str(home))
        done = shell(
            "dlstbx.go --stdout -r mimas -s event=end 993677 | recipe-dispatch |"
            f" mimas-plan --record {home}/records | ispyb-create-job | queue-put &&"
            f" echo '{line}' | backlog-release --once"
        )
        assert done.code == 0, done.err
        make_dead_letters()
    return home


@pytest.fixture
def busy(made: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That home, for a test of its own."""
    shutil.rmtree(home)
    shutil.copytree(made, home)
    monkeypatch.setenv("DLSTBX_RECORDS", str(home / "records"))
    return home


def look(*arguments: str) -> dict[str, Any]:
    outcome = run("dlstbx-top", "--once", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    (found,) = outcome.lines
    assert isinstance(found, dict)
    return found


def test_it_shows_what_the_others_show(busy: Path) -> None:
    found = look()
    assert found["faults"] == {}
    queues = [{key: one[key] for key in one if key != "change"} for one in found["queues"]]
    assert queues == run("queue-ls").lines
    assert [one["change"] for one in found["queues"]] == [None] * len(queues)
    assert (found["dead_letters"]["count"], found["dead_letters"]["looked_at"]) == (3, 3)
    letters = run("dlq-ls").lines
    assert {one["id"] for one in found["dead_letters"]["last"]} == {one["id"] for one in letters}
    (slurm,) = (one for one in found["clusters"] if one["cluster"] == "slurm")
    explained = {one.get("cluster"): one for one in run("backlog-release", "--explain").lines}
    assert abs(slurm.pop("age") - explained["slurm"].pop("age")) < 20
    assert slurm.pop("released_last_hour") == 2
    assert slurm == explained["slurm"]
    held = run("backlog-ls").lines
    assert len(held) > 3
    (visit,) = found["held"]
    assert (visit["visit"], visit["cluster"], visit["jobs"]) == ("mx37124-8", "slurm", len(held))
    assert visit["oldest"] == min(one["taken"] for one in held)
    (decision,) = found["decisions"]
    assert (decision["dcid"], decision["event"]) == (993677, "END")
    assert (decision["beamline"], decision["visit"]) == ("i03", "mx37124-8")
    assert {"kind": "run", "recipe": "archive-nexus", "rule": "eiger-end-archive",
            "override": None} in decision["tasks"]  # fmt: skip


def test_it_changes_nothing(busy: Path) -> None:
    before = run("queue-ls").lines, run("backlog-ls", "--all").out.count("\n")
    look()
    assert (run("queue-ls").lines, run("backlog-ls", "--all").out.count("\n")) == before


def test_limits_are_those_of_the_service(busy: Path) -> None:
    (slurm,) = (one for one in look("--limit", "slurm=70")["clusters"] if one["cluster"] == "slurm")
    assert (slurm["limit"], slurm["limit_from"]) == (70, "--limit")
    assert slurm["room"] == 10


def test_as_a_table(busy: Path) -> None:
    outcome = run("dlstbx-top", "--once", "--table")
    assert outcome.code == 0
    for words in ("mx37124-8", "slurm", "58 of 60", "dead letters: 3", "993677", "start 3"):
        assert words in outcome.out, words
    assert "\x1b[" not in outcome.out


def test_nothing_there_is_said_and_nothing_is_made(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(home.rglob("*"))
    found = look()
    assert {name: found[name] for name in PANELS} == dict.fromkeys(PANELS)
    assert found["faults"].keys() == set(PANELS)
    assert str(home / "queue.sqlite3") in found["faults"]["queues"]
    assert str(home / "state.sqlite3") in found["faults"]["held"]
    assert "DLSTBX_RECORDS" in found["faults"]["decisions"]
    monkeypatch.setenv("DLSTBX_RECORDS", str(home / "nowhere"))
    assert str(home / "nowhere") in look()["faults"]["decisions"]
    assert sorted(home.rglob("*")) == before


def test_a_broker_and_a_store_that_are_away(busy: Path) -> None:
    with _nobody_answers() as port:
        found = look(
            "--broker", f"stomp://localhost:{port}/", "--state", f"mysql://u@127.0.0.1:{port}/x"
        )
    assert found["faults"].keys() == {"queues", "dead_letters", "held", "clusters"}
    assert "not available" in found["faults"]["held"]
    assert len(found["decisions"]) == 1
    table = run("dlstbx-top", "--once", "--table", "--state", f"mysql://u@127.0.0.1:{port}/x")
    assert table.code == 0
    assert table.out.count("not available") == 2
    assert "dead letters: 3" in table.out


@contextmanager
def _nobody_answers() -> Iterator[int]:
    """Give a port that refuses connections for as long as this lasts."""
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_lines_for_ever_with_the_change_of_queues(busy: Path, processes: list[Any]) -> None:
    process = start("dlstbx-top", "--interval", "0.5")
    processes.append(process)
    url = f"sqlite:///{busy}/queue.sqlite3"
    assert json.loads(process.stdout.readline())["faults"] == {}
    with closing(connect(url)) as broker:
        broker.send([Message(Queue("new"), number) for number in range(5)])
    deadline = time.monotonic() + 20
    change = None
    while time.monotonic() < deadline and not change:
        queues = json.loads(process.stdout.readline())["queues"]
        change = next((one["change"] for one in queues if one["queue"] == "new"), None)
    assert change
    assert change > 5  # five in less than a minute
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0


def test_what_comes_back_is_seen_again(home: Path, processes: list[Any]) -> None:
    process = start("dlstbx-top", "--interval", "0.5")
    processes.append(process)
    assert "queues" in json.loads(process.stdout.readline())["faults"]
    make_dead_letters()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = json.loads(process.stdout.readline())
        if found["dead_letters"] and found["dead_letters"]["count"] == 3:
            assert len(found["dead_letters"]["last"]) == 3
            return
    pytest.fail(f"not seen: {found}")


class Hangs:
    panels: tuple[str, ...] = ("queues",)
    what = "the broker"

    def look(self, now: float) -> dict[str, Any]:
        time.sleep(3)
        return {}


class Fails(Hangs):
    def look(self, now: float) -> dict[str, Any]:
        raise KeyError("bug")


def found_of(source: Any) -> Found:
    looker = Looker(source, 0.5)
    looker.start()
    looker.ready.wait(0.5)
    looker.end()
    return looker.found()


def test_a_source_that_hangs_or_fails_is_a_fault() -> None:
    assert "has not answered" in (found_of(Hangs()).fault or "")
    assert "internal error: KeyError" in (found_of(Fails()).fault or "")


def test_nobody_looks_when_it_has_ended(busy: Path) -> None:
    look("--interval", "0.5")
    deadline = time.monotonic() + 10
    while "looker" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Screen:
    """A terminal with ``dlstbx-top`` on it."""

    def __init__(self, columns: int, lines: int, *arguments: str, term: str = "xterm") -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            [BIN / "dlstbx-top", *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": term, "COLUMNS": "", "LINES": ""},
        )  # fmt: skip
        os.close(theirs)

    def read_until(self, *words: str, seconds: float = 20) -> str:
        text, deadline = "", time.monotonic() + seconds
        while time.monotonic() < deadline and not all(word in text for word in words):
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    text += os.read(self._ours, 1 << 16).decode(errors="replace")
                except OSError:  # the other side is closed
                    break
        return text

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_live_view_ends_as_it_is_told_and_gives_the_terminal_back(
    busy: Path, number: signal.Signals
) -> None:
    with closing(Screen(100, 40)) as screen:
        text = screen.read_until("every 2 s", "last decisions", "993677", "╰")
        assert "\x1b[?1049h" in text
        assert "58 of 60" in text
        screen.process.send_signal(number)
        assert screen.process.wait(5) == 0
        assert "\x1b[?1049l" in screen.read_until("\x1b[?1049l", seconds=2)


def test_a_terminal_that_can_only_scroll_gets_page_after_page(busy: Path) -> None:
    with closing(Screen(100, 40, "--interval", "0.5", term="dumb")) as screen:
        assert screen.read_until("last decisions", "993677").count("\x1b") == 0
        assert "last decisions" in screen.read_until("last decisions", "993677")
        screen.process.send_signal(signal.SIGINT)
        assert screen.process.wait(5) == 0


def test_once_at_a_terminal_leaves_it_there(busy: Path) -> None:
    with closing(Screen(100, 40, "--once")) as screen:
        text = screen.read_until("993677", "no such words", seconds=10)
        assert screen.process.wait(5) == 0
    assert "last decisions" in text
    assert "\x1b[?1049h" not in text


def drawn(found: dict[str, Any], columns: int, lines: int) -> list[str]:
    console = Console(width=columns, height=lines, force_terminal=False)
    with console.capture() as capture:
        console.print(page(found, 2.0, (columns, lines)))
    return capture.get().splitlines()


@pytest.mark.parametrize("size", [(80, 24), (80, 50), (100, 30), (149, 40), (150, 24), (220, 60)])
@pytest.mark.parametrize("many", [0, 1, 200])
def test_it_fits_the_terminal(busy: Path, size: tuple[int, int], many: int) -> None:
    found = look()
    for name in ("queues", "clusters", "held", "decisions"):
        found[name] = [found[name][0]] * many
    found["dead_letters"]["last"] *= many
    lines = drawn(found, *size)
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]
    for title in ("queues", "clusters", "held", "dead letters", "last decisions"):
        assert any(title in line for line in lines), title
    # What is left out is said to be left out.
    left = sum(map(int, re.findall(r"and (\d+) more", "\n".join(lines))))
    shown = "\n".join(lines).count("mx37124-8")
    assert (left > 100) == (many == 200)
    assert shown >= (1 if many == 1 else 0)


#: Markup, an emoji's name, escape sequences of two kinds, a backslash at the end.
HOSTILE = "[/] [bold]not[/bold] :100: [red\x1b[2J\x9b31m\r\n\\"
SHOWN = r"[/] [bold]not[/bold] :100: [red\x1b[2J\x9b31m\r\n\\"[:-1]


def test_hostile_texts_are_no_markup(busy: Path) -> None:
    found = look()
    found["queues"].append({**found["queues"][0], "queue": HOSTILE})
    found["held"][0] |= {"visit": HOSTILE, "cluster": HOSTILE}
    found["clusters"][0] |= {"cluster": HOSTILE, "why": HOSTILE}
    found["dead_letters"]["last"][0] |= {"id": "[/red]abc", "dcid": HOSTILE, "reason": HOSTILE}
    found["decisions"][0] |= {"time": HOSTILE, "dcid": HOSTILE, "event": HOSTILE, "visit": HOSTILE}
    found["decisions"].append({**found["decisions"][0], "refused": HOSTILE})
    text = "\n".join(drawn(found, 900, 60))
    assert text.count(SHOWN) == 12
    assert "[/red]ab " in text
    found["faults"]["queues"], found["queues"] = HOSTILE, None
    text = "\n".join(drawn(found, 900, 60))
    assert text.count(SHOWN) == 12
    assert text.replace("\n", "").isprintable()


def test_more_dead_letters_than_are_looked_at(home: Path) -> None:
    with closing(connect(f"sqlite:///{home}/queue.sqlite3")) as broker:
        broker.send([Message(Queue("dlq.mimas"), number) for number in range(1001)])
    found = look()
    assert (found["dead_letters"]["count"], found["dead_letters"]["looked_at"]) == (1001, 1000)
    assert "dead letters: 1001, the last of the first 1000" in "\n".join(drawn(found, 150, 40))


def test_a_letter_with_an_odd_name_does_not_end_the_view(busy: Path) -> None:
    letter = {"queue": "dlq.mimas", "message": 1, "headers": {"dlstbx-id": "[/red]\x1b"}}
    assert run("queue-put", stdin=json.dumps(letter)).code == 0
    outcome = run("dlstbx-top", "--once", "--table")
    assert outcome.code == 0, outcome.err
    assert r"[/red]\x" in outcome.out


@pytest.mark.parametrize(
    ("needs", "room", "given"),
    [
        ([3, 3, 3], 9, [3, 3, 3]),
        ([1, 9, 9], 9, [1, 4, 4]),
        ([9, 9, 9], 4, [2, 1, 1]),
        ([1, 1], 100, [1, 1]),
        ([5], 0, [0]),
        ([5], -3, [0]),
        ([], 5, []),
    ],
)
def test_shares(needs: Sequence[int], room: int, given: list[int]) -> None:
    assert shares(needs, room) == given


def record(number: int, padding: int = 0) -> str:
    return json.dumps({"time": number, "scenario": {}, "padding": "x" * padding}) + "\n"


@pytest.mark.parametrize("padding", [0, 1000, 50_000, 200_000])
@pytest.mark.parametrize("number", [1, 3, 10])
def test_the_last_records_of_many(tmp_path: Path, padding: int, number: int) -> None:
    names = ["2026-11-24", "2026-11-25", "2026-11-25.002", "2026-11-26"]
    for place, name in enumerate(names):
        lines = [record(4 * place + each, padding) for each in range(4)]
        (tmp_path / f"mimas-{name}.jsonl").write_text("".join(lines))
    found = [one["time"] for one in last(tmp_path, number)]
    assert found == list(range(16))[-number:]
    assert len(last(tmp_path, 100)) == 16


def test_what_is_no_record_is_left_out(tmp_path: Path) -> None:
    text = record(1) + "no JSON\n[1]\n{}\n" + record(2) + record(3).rstrip("\n")[:20]
    (tmp_path / "mimas-2026-11-25.jsonl").write_text(text)
    assert [one["time"] for one in last(tmp_path, 10)] == [1, 2]
    assert last(tmp_path / "empty", 10) == []


def test_an_odd_record_hides_no_other(home: Path) -> None:
    odd = {"time": "x", "dcid": [3], "scenario": {"visit": [1]}, "tasks": 5, "dropped": ["y"]}
    late = {"time": 1e300, "scenario": {}, "tasks": [1, None]}
    lines = [record(1), json.dumps(odd) + "\n", json.dumps(late) + "\n"]
    (home / "mimas-2026-11-25.jsonl").write_text("".join(lines))
    outcome = run("dlstbx-top", "--once", "--table", "--record", str(home))
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("no rule asks for anything") == 3


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e20", "0.1", "-1"])
def test_what_is_no_interval(home: Path, seconds: str) -> None:
    outcome = run("dlstbx-top", "--interval", seconds)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--interval" in outcome.err


def test_json_and_table_exclude_each_other(home: Path) -> None:
    assert run("dlstbx-top", "--once", "--json", "--table").code == 2
