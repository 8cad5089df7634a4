from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, run, shell, start

RECIPE = {"1": {"service": "x", "queue": "x"}, "start": [[1, []]]}


def sent(*arguments: str | int, stdin: str = "") -> list[Any]:
    outcome = run("dlstbx.go", "--stdout", *arguments, stdin=stdin)
    assert outcome.code == 0, outcome.err
    return outcome.lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-r", "a", "7"], {"recipes": ["a"], "parameters": {"ispyb_dcid": 7}}),
        (
            ["-r", "a", "-r", "b", "-s", "event=end", "-s", "x=1=2", "-s", "y=", "7"],
            {
                "recipes": ["a", "b"],
                "parameters": {"event": "end", "x": "1=2", "y": "", "ispyb_dcid": 7},
            },
        ),
        (["-p", "7"], {"recipes": [], "parameters": {"ispyb_process": 7}}),
        (["-n", "-r", "a"], {"recipes": ["a"], "parameters": {}}),
        (
            ["-a", "5", "-r", "a", "7"],
            {"recipes": ["a"], "parameters": {"ispyb_autoprocscalingid": 5, "ispyb_dcid": 7}},
        ),
    ],
)
def test_messages_are_those_of_zocalo_go(
    home: Path, arguments: list[str], message: dict[str, Any]
) -> None:
    (line,) = sent(*arguments)
    assert line["queue"] == "processing_recipe"
    assert line["message"] == message
    assert set(line["headers"]) == {"dlstbx-id", "zocalo.go.user", "zocalo.go.host"}
    assert line["headers"]["zocalo.go.host"] == socket.gethostname()


def test_a_recipe_from_a_file(home: Path) -> None:
    (home / "recipe.json").write_text(json.dumps(RECIPE))
    (line,) = sent("-f", home / "recipe.json", "-n")
    assert line["message"] == {"recipes": [], "custom_recipe": RECIPE, "parameters": {}}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"1": {}}'])
def test_a_recipe_file_that_is_none(home: Path, text: str) -> None:
    (home / "recipe.json").write_text(text)
    outcome = run("dlstbx.go", "--stdout", "-n", "-f", home / "recipe.json")
    assert outcome.code in (1, 2)
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1


def test_several_dcids_and_stdin(home: Path) -> None:
    lines = sent("-r", "a", 1, "-", 4, stdin="2\n3\n")
    assert [line["message"]["parameters"]["ispyb_dcid"] for line in lines] == [1, 2, 3, 4]
    assert len({line["headers"]["dlstbx-id"] for line in lines}) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["7"],
        ["-r", "a"],
        ["-r", "a", "0"],
        ["-r", "a", "00"],
        ["-r", "a", "x"],
        ["-r", "a", "--", "-5"],
        ["-r", "a", "1.5"],
        ["-r", "a", "٣"],
        ["-r", "a", "-s", "novalue", "7"],
        ["-r", "a", "-s", "=x", "7"],
        ["-r", "a", "-a", "0", "7"],
        ["-n", "-r", "a", "7"],
        ["-f", "/no/such/file", "7"],
        ["--timeout", "0", "-r", "a", "7"],
    ],
)
def test_wrong_use(home: Path, arguments: list[str]) -> None:
    outcome = run("dlstbx.go", "--stdout", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1


def test_sends_to_the_broker(home: Path) -> None:
    outcome = run("dlstbx.go", "-r", "mimas", 7)
    assert (outcome.code, outcome.out) == (0, "")
    assert "mimas for data collection 7: sent" in outcome.err
    (line,) = run("queue-get", "processing_recipe").lines
    assert line["message"]["parameters"] == {"ispyb_dcid": 7}


def test_a_dry_run_sends_nothing(home: Path) -> None:
    outcome = run("dlstbx.go", "--dry-run", "-v", "-r", "mimas", 7)
    assert outcome.code == 0
    assert '"ispyb_dcid": 7' in outcome.err
    assert run("queue-ls").lines == []
    assert run("dlstbx.go", "--dry-run", "--broker", "sqlite:////proc/x", "-r", "a", 7).code == 75


def stored(directory: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in directory.iterdir()]


def test_drop_stores_at_once_in_the_format_of_zocalo(home: Path) -> None:
    outcome = run("dlstbx.go", "--drop", "-r", "mimas", "-s", "event=end", 7)
    assert outcome.code == 0
    (entry,) = stored(home / "drop")
    assert set(entry) == {"headers", "message"}
    assert entry["message"] == {
        "recipes": ["mimas"],
        "parameters": {"event": "end", "ispyb_dcid": 7},
    }
    assert str(next((home / "drop").iterdir())) in outcome.err
    assert run("queue-ls").lines == []


@pytest.mark.parametrize(
    "broker",
    ["sqlite:////proc/nowhere/queue.sqlite3", "stomp://localhost:1/", "nonsense", "sqlite:///"],
)
def test_what_cannot_be_sent_is_stored(home: Path, tmp_path: Path, broker: str) -> None:
    arguments = ["-r", "mimas", "--broker", broker, "--drop-dir", str(tmp_path / "drop"), "7"]
    outcome = run("dlstbx.go", *arguments)
    assert outcome.code == 0
    assert "stored in" in outcome.err
    assert len(stored(tmp_path / "drop")) == 1


def test_a_broken_configuration_costs_no_trigger(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zocalo.yml").write_text("version: 1\nenvironments: [")
    monkeypatch.setenv("ZOCALO_CONFIG", str(tmp_path / "zocalo.yml"))
    outcome = run("dlstbx.go", "-r", "mimas", 7)
    assert outcome.code == 0
    assert len(stored(home / "drop")) == 1
    assert str(tmp_path / "zocalo.yml") in outcome.err


def test_a_trigger_that_can_neither_be_sent_nor_stored_is_loud(home: Path) -> None:
    broken = ["--broker", "sqlite:////proc/x/q", "--drop-dir", "/proc/nowhere"]
    (home / "drop").write_text("this is no directory")
    outcome = run("dlstbx.go", "-r", "mimas", *broken, 7)
    assert outcome.code == 75
    assert "/proc/nowhere" in outcome.err
    assert "LOST" in outcome.err


def test_a_drop_directory_that_cannot_be_written_to_is_replaced_by_our_own(home: Path) -> None:
    broken = ["--broker", "sqlite:////proc/x/q", "--drop-dir", "/proc/nowhere"]
    outcome = run("dlstbx.go", "-r", "mimas", *broken, 7)
    assert outcome.code == 0
    assert len(stored(home / "drop")) == 1


def test_a_full_disk_is_loud(home: Path) -> None:
    """A real one: a file system of a few kilobytes."""
    full = home / "full"
    full.mkdir()
    (home / "drop").symlink_to(full)
    script = f"""
        mount -t tmpfs -o size=4k tmpfs {full} && dd if=/dev/zero of={full}/x bs=4k 2>/dev/null
        dlstbx.go --broker sqlite:////proc/x/q --drop-dir {full} -r mimas 7; code=$?
        ls -A {full}; umount {full}; exit $code
    """
    outcome = shell(f"unshare -m bash -c '{script}'")
    if "unshare" in outcome.err or "mount:" in outcome.err:
        pytest.skip("this user may not mount: " + outcome.err.strip())
    assert outcome.code == 75
    assert "No space left" in outcome.err
    assert outcome.out == "x\n"  # nothing half-written stays behind


def test_a_locked_broker_holds_nobody_up(home: Path) -> None:
    run("dlstbx.go", "-r", "mimas", 1)
    lock = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None)"
    lock += "; c.execute('BEGIN IMMEDIATE'); print(flush=True); time.sleep(30)"
    locker = subprocess.Popen(
        ["python3", "-c", lock, home / "queue.sqlite3"], stdout=subprocess.PIPE
    )
    assert locker.stdout is not None
    locker.stdout.readline()
    try:
        begin = time.monotonic()
        outcome = shell("dlstbx.go --timeout 1 -r mimas 2")
        assert time.monotonic() - begin < 3
    finally:
        locker.kill()
        locker.wait()
        locker.stdout.close()
    assert outcome.code == 0
    assert len(stored(home / "drop")) == 1


def test_a_password_is_neither_taken_nor_shown(home: Path) -> None:
    outcome = run("dlstbx.go", "-r", "a", "--broker", "stomp://me:secret@host:1/", 7)
    assert outcome.code == 2
    assert "secret" not in outcome.err + outcome.out


def collect_script(name: str, *arguments: str, log: Path) -> tuple[int, float]:
    begin = time.monotonic()
    result = subprocess.run(
        [BIN / name, *arguments],
        env={**os.environ, "DLSTBX_COLLECT_LOG": str(log)},
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert (result.stdout, result.stderr) == (b"", b"")
    return result.returncode, time.monotonic() - begin


def logged(log: Path) -> str:
    for _ in range(100):
        if log.exists() and log.read_text().endswith("\n"):
            return log.read_text()
        time.sleep(0.1)
    raise AssertionError("nothing was logged")


@pytest.mark.parametrize(
    ("script", "event"), [("RunAtStartOfCollect", "start"), ("RunAtEndOfCollect", "end")]
)
def test_the_beamline_scripts_trigger(home: Path, tmp_path: Path, script: str, event: str) -> None:
    code, _ = collect_script(script, "993677", "further", "arguments", log=tmp_path / "log")
    assert code == 0
    text = logged(tmp_path / "log")
    assert text.count("\n") == 1
    assert (
        f"{event} of collection 993677: dlstbx.go: mimas for data collection 993677: sent" in text
    )
    (line,) = run("queue-get", "processing_recipe").lines
    assert line["message"] == {
        "recipes": ["mimas"],
        "parameters": {"event": event, "ispyb_wait_for_runstatus": "1", "ispyb_dcid": 993677},
    }


@pytest.mark.parametrize("arguments", [[], ["-r"], ["x; touch /tmp/never"], ["$(id)"], [""]])
def test_the_beamline_scripts_never_fail(home: Path, tmp_path: Path, arguments: list[str]) -> None:
    code, _ = collect_script("RunAtEndOfCollect", *arguments, log=tmp_path / "log")
    assert code == 0
    assert "is not an ID" in logged(tmp_path / "log")
    assert not Path("/tmp/never").exists()


def test_the_beamline_scripts_never_wait(home: Path, tmp_path: Path) -> None:
    """Even a dlstbx.go that hangs, in the place of the real one, holds nobody up."""
    for name in ("RunAtEndOfCollect", "dlstbx.go"):
        (tmp_path / name).write_text(
            (BIN / name).read_text() if name.startswith("Run") else "#!/bin/sh\nexec sleep 3\n"
        )
        (tmp_path / name).chmod(stat.S_IRWXU)
    begin = time.monotonic()
    subprocess.run([tmp_path / "RunAtEndOfCollect", "1"], check=True, capture_output=True)
    assert time.monotonic() - begin < 1


def test_many_triggers_at_once_all_arrive(home: Path) -> None:
    threads = [
        threading.Thread(target=lambda n=n: start("dlstbx.go", "-r", "a", str(n)).communicate())
        for n in range(1, 13)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = run("queue-get", "processing_recipe").lines
    dcids = sorted(line["message"]["parameters"]["ispyb_dcid"] for line in lines)
    assert dcids == list(range(1, 13))
