"""Requests that wait while others go on: for a run status, for a file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from sqlalchemy import text

from dlstbx_cli.database import visit
from dlstbx_cli.database.connection import connect, writing
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.broker import connect as broker_at
from tests.conftest import run, start

READY, WAITING = 993677, 993688


@pytest.fixture
def running(home: Path) -> Path:
    """A home where the second collection has no run status yet."""
    status(home, None)
    return home


def status(home: Path, value: str | None) -> None:
    engine = connect(f"sqlite:///{home / 'ispyb.sqlite3'}")
    with writing(engine) as connection:
        connection.execute(
            text("UPDATE DataCollection SET runStatus = :value WHERE dataCollectionId = :dcid"),
            {"value": value, "dcid": WAITING},
        )
    engine.dispose()


def request(dcid: int, **more: Any) -> dict[str, Any]:
    parameters = {"ispyb_dcid": dcid, "ispyb_wait_for_runstatus": "1", "event": "end", **more}
    return {"recipes": ["mimas"], "parameters": parameters}


def line(dcid: int, **more: Any) -> bytes:
    message = request(dcid, **more)
    return json.dumps({"queue": "processing_recipe", "message": message}).encode() + b"\n"


def dcid_of(record: dict[str, Any]) -> int:
    return int(record["message"]["recipe"]["1"]["parameters"]["dcid"])


def test_a_filter_waits_and_looks_again(
    running: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    command = start("recipe-dispatch")
    processes.append(command)
    ended = Timer(1, lambda: status(running, "DataCollection Successful"))
    ended.start()
    out, _ = command.communicate(line(WAITING) + line(READY), timeout=20)
    ended.join()
    assert command.returncode == 0
    lines = [json.loads(one) for one in out.splitlines()]
    assert [dcid_of(one) for one in lines] == [WAITING, READY]
    recipe = lines[0]["message"]["recipe"]["1"]["parameters"]
    assert recipe["run_status"] == "DataCollection Successful"


def test_a_filter_does_not_wait_for_ever(running: Path) -> None:
    begin = time.monotonic()
    lines = [line(WAITING, dispatcher_timeout=1), line(READY)]
    outcome = run("recipe-dispatch", stdin=b"".join(lines))
    assert 1 <= time.monotonic() - begin < 10
    assert outcome.code == 1
    assert [one["queue"] for one in outcome.lines] == ["dlq.processing_recipe", "mimas"]
    assert "no run status" in outcome.lines[0]["headers"]["dlstbx-error"]


def send(home: Path, *bodies: Any) -> None:
    with closing(broker_at(f"sqlite:///{home / 'queue.sqlite3'}")) as broker:
        broker.send([Message(Queue("processing_recipe"), body) for body in bodies])


def arrived(home: Path, queue: str, number: int, seconds: float = 15) -> list[Any]:
    """Return what is in a queue as soon as it is so many messages."""
    deadline = time.monotonic() + seconds
    with closing(broker_at(f"sqlite:///{home / 'queue.sqlite3'}")) as broker:
        while True:
            found = broker.peek(queue)
            if len(found) >= number or time.monotonic() > deadline:
                return [message.body for message in found]
            time.sleep(0.05)


def test_listening_the_others_go_on_meanwhile(
    running: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    send(running, request(WAITING), request(READY))
    processes.append(start("recipe-dispatch", "--listen"))
    (first,) = arrived(running, "mimas", 1)
    assert dcid_of({"message": first}) == READY
    (again,) = arrived(running, "processing_recipe", 1)
    assert again["parameters"]["dispatcher_expiration"] > time.time() + 100
    status(running, "DataCollection Successful")
    _, second = arrived(running, "mimas", 2)
    assert dcid_of({"message": second}) == WAITING
    processes[0].terminate()
    assert processes[0].wait(5) == 0


@pytest.fixture
def hanging(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home where the second collection's visit has a file that hangs whoever opens it."""
    directory = tmp_path / "cm14451-1" / "processing"
    directory.mkdir(parents=True)
    # Without a writer, opening it for reading waits for ever.
    os.mkfifo(directory / "sample_groups.yml")
    engine = connect(f"sqlite:///{home / 'ispyb.sqlite3'}")
    with writing(engine) as connection:
        connection.execute(
            text("UPDATE DataCollection SET imageDirectory = :path WHERE dataCollectionId = :dcid"),
            {"path": f"{tmp_path}/cm14451-1/run1/", "dcid": WAITING},
        )
    engine.dispose()
    monkeypatch.setattr(visit, "PATIENCE", 0.5)
    return home


def test_a_filter_passes_on_what_hangs(hanging: Path) -> None:
    lines = line(READY) + line(WAITING) + line(READY)
    outcome = run("recipe-dispatch", stdin=lines)
    assert outcome.code == 75
    assert "cm14451-1 does not answer within 0.5 s" in outcome.err
    queues = [one["queue"] for one in outcome.lines]
    assert queues == ["mimas", "processing_recipe", "processing_recipe"]


def test_once_leaves_what_hangs(hanging: Path) -> None:
    send(hanging, request(WAITING), request(READY))
    assert run("recipe-dispatch", "--once").code == 75
    assert arrived(hanging, "processing_recipe", 2) == [request(WAITING), request(READY)]


def test_a_listener_goes_on_with_the_others(
    hanging: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    send(hanging, request(WAITING), *[request(READY)] * 3)
    listener = (
        "from dlstbx_cli.database import visit\n"
        "visit.PATIENCE = 0.5\n"
        "from dlstbx_cli.commands.recipe_dispatch import main\n"
        "main(['--listen'])"
    )
    processes.append(subprocess.Popen([sys.executable, "-c", listener]))
    assert len(arrived(hanging, "mimas", 3)) == 3
    assert arrived(hanging, "processing_recipe", 1) == [request(WAITING)]
    processes[0].terminate()
    assert processes[0].wait(5) == 0
