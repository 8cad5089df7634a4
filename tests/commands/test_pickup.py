from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run, shell, start


@pytest.fixture
def drop(home: Path) -> Path:
    """A drop directory with three triggers, the second the oldest."""
    directory = home / "drop"
    for number, recipe in enumerate(["a", "b", "c"]):
        run("dlstbx.go", "--drop", "-r", recipe, number + 1)
        newest = max(directory.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        age = [100, 300, 200][number]
        os.utime(newest, (time.time() - age, time.time() - age))
    return directory


def recipes(lines: list[Any]) -> list[str]:
    return [line["message"]["recipes"][0] for line in lines]


def arrived() -> list[Any]:
    return run("queue-get", "processing_recipe").lines


def test_oldest_first_and_gone_from_the_directory(drop: Path) -> None:
    outcome = run("dlstbx.pickup")
    assert outcome.code == 0
    assert "sent 3 stored triggers" in outcome.err
    assert list(drop.iterdir()) == []
    lines = arrived()
    assert recipes(lines) == ["b", "c", "a"]
    assert all(line["headers"]["zocalo.go.user"] for line in lines)
    assert run("dlstbx.pickup").code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--priority", "a"], ["a", "b", "c"]),
        (["--priority", "c,a"], ["c", "a", "b"]),
        (["--max-age", "250"], ["c", "a"]),
        (["--max-age", "2m"], ["a"]),
        (["--max-age", "1d"], ["b", "c", "a"]),
    ],
)
def test_order_and_age(drop: Path, arguments: list[str], expected: list[str]) -> None:
    assert run("dlstbx.pickup", *arguments).code == 0
    assert recipes(arrived()) == expected
    assert len(list(drop.iterdir())) == 3 - len(expected)


@pytest.mark.parametrize("age", ["x", "-1", "1w", ""])
def test_an_age_that_is_none(drop: Path, age: str) -> None:
    assert run("dlstbx.pickup", f"--max-age={age}").code == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"message": 1, "headers": [1]}']
)
def test_a_broken_file_is_set_aside_with_the_reason(drop: Path, content: bytes) -> None:
    (drop / "broken").write_bytes(content)
    outcome = run("dlstbx.pickup")
    assert outcome.code == 1
    assert str(drop / "broken") in outcome.err
    assert len(arrived()) == 3
    aside = drop.with_name("drop.broken")
    assert (aside / "broken").read_bytes() == content
    assert (aside / "broken.reason").read_text().strip() in outcome.err
    assert list(drop.iterdir()) == []


def test_what_is_no_file_of_ours_is_left_alone(drop: Path) -> None:
    (drop / ".hidden").write_text("being written")
    (drop / "directory").mkdir()
    (drop / "link").symlink_to("/etc/passwd")
    assert run("dlstbx.pickup").code == 0
    assert {path.name for path in drop.iterdir()} == {".hidden", "directory", "link"}


def test_while_the_broker_is_away_nothing_is_lost(drop: Path) -> None:
    locked = "sqlite:////proc/none/queue"
    assert run("dlstbx.pickup", "--broker", locked).code == 78
    assert len(list(drop.iterdir())) == 3


def test_a_trigger_of_zocalo_go_without_identity(drop: Path) -> None:
    entry = {"headers": {"zocalo.go.user": "me"}, "message": {"recipes": ["z"], "parameters": {}}}
    (drop / "0f0f").write_text(json.dumps(entry))
    first = run("dlstbx.pickup", "--stdout")
    (line,) = [line for line in first.lines if recipes([line]) == ["z"]]
    (drop / "0f0f").write_text(json.dumps(entry))
    (again,) = run("dlstbx.pickup", "--stdout").lines
    assert line["headers"] == again["headers"]  # sent again after a crash: the same identity


def test_two_at_once_and_killed_send_nothing_twice_and_lose_nothing(home: Path) -> None:
    run("dlstbx.go", "--drop", "-r", "a", *range(1, 121))
    for _ in range(6):
        both = [start("dlstbx.pickup", "--delay", "0.002") for _ in range(2)]
        time.sleep(0.35)
        both[0].send_signal(signal.SIGKILL)
        both[1].send_signal(signal.SIGTERM)
        # Told to stop before it has begun to listen to that, it simply ends.
        assert both[1].wait(timeout=10) in (0, -signal.SIGTERM)
        for process in both:
            process.communicate()
    assert run("dlstbx.pickup").code == 0
    lines = arrived()
    sent = [line["message"]["parameters"]["ispyb_dcid"] for line in lines]
    assert set(sent) == set(range(1, 121))
    # One that was killed between the broker's word and the removal has sent its last
    # trigger in vain: it comes again with the same identity.
    assert len({line["headers"]["dlstbx-id"] for line in lines}) == 120
    assert len(sent) <= 120 + 6


def test_listen_watches_the_directory(home: Path, processes: list[Any]) -> None:
    process = start("dlstbx.pickup", "--listen")
    processes.append(process)
    run("dlstbx.go", "--drop", "-r", "a", 1)
    deadline = time.monotonic() + 20
    while not (lines := run("queue-get", "--peek", "processing_recipe").lines):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert recipes(lines) == ["a"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0


def test_a_pipe_from_the_directory(drop: Path) -> None:
    outcome = shell("dlstbx.pickup --stdout | head -n 1")
    assert recipes(outcome.lines) == ["b"]
    assert "Traceback" not in outcome.err


def test_a_bar_for_a_person(drop: Path) -> None:
    outcome = shell("script -qec 'dlstbx.pickup' /dev/null </dev/null")
    assert "sending stored triggers" in outcome.out
    assert "100%" in outcome.out
