"""``--metrics-port``: what Prometheus reads of a service that listens, over HTTP."""

from __future__ import annotations

import json
import signal
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.broker import connect
from tests.conftest import run, start
from tests.servers.ports import free_ports
from tests.soak.held import statistic

SERVICES = {
    "recipe-dispatch": "processing_recipe",
    "mimas-plan": "mimas",
    "ispyb-create-job": "ispyb_connector",
    "backlog-release": "mimas.held",
}

Key = tuple[str, frozenset[tuple[str, str]]]


def scrape(port: int) -> dict[Key, float]:
    """Return all values of a scrape by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: dict[Key, float], name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def wait_for(port: int, good: Callable[[dict[Key, float]], bool]) -> dict[Key, float]:
    deadline = time.monotonic() + 20
    found: dict[Key, float] = {}
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, ConnectionError):
            found = scrape(port)
            if good(found):
                return found
        time.sleep(0.1)
    pytest.fail(f"never came to be: {sorted(found.items(), key=str)}")


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


def send(home: Path, *messages: Message) -> None:
    with closing(connect(f"sqlite:///{home}/queue.sqlite3")) as broker:
        broker.send(list(messages))


@pytest.mark.parametrize(("command", "queue"), SERVICES.items())
def test_a_service_counts(
    command: str, queue: str, home: Path, port: int, processes: list[Any]
) -> None:
    process = start(command, "--listen", "--metrics-port", str(port))
    processes.append(process)
    labels = {"command": command, "queue": queue}

    def of(found: dict[Key, float], name: str) -> float | None:
        return value(found, name, **labels)

    # The zeros are there before anything happens: a rate needs them.
    first = wait_for(port, lambda found: of(found, "dlstbx_handled_total") == 0)
    assert of(first, "dlstbx_rejected_total") == 0
    assert of(first, "dlstbx_handling_seconds_count") == 0
    assert of(first, "dlstbx_failures_total") == 0
    send(home, *[Message(Queue(queue), "no message of this queue")] * 3)
    then = wait_for(port, lambda found: of(found, "dlstbx_rejected_total") == 3)
    assert of(then, "dlstbx_handled_total") == 0
    assert of(then, "dlstbx_handling_seconds_count") == 3
    assert 0 < (of(then, "dlstbx_handling_seconds_sum") or 0) < 20
    assert (value(then, "process_resident_memory_bytes") or 0) > 1e6
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
    with pytest.raises(urllib.error.URLError):
        scrape(port)


def test_whoever_goes_away_leaves_no_traceback(home: Path, port: int, processes: list[Any]) -> None:
    process = start("mimas-plan", "--listen", "--log-format", "json", "--metrics-port", str(port))
    processes.append(process)
    wait_for(port, bool)
    for place in range(40):
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.send(b"no request\r\n\r\n" if place % 2 else b"GET /metrics HTTP/1.1\r\n\r\n")
    assert scrape(port)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert [json.loads(line)["level"] for line in err.decode().splitlines()] == ["warning"]


def test_what_is_handled_counts(home: Path, port: int, processes: list[Any]) -> None:
    processes.append(start("mimas-plan", "--listen", "--metrics-port", str(port)))
    scenario = {"dcid": 1, "event": "end", "beamline": "i03", "detectorclass": "eiger"}
    send(home, Message(Queue("mimas"), {"parameters": scenario}), Message(Queue("mimas"), scenario))
    labels = {"command": "mimas-plan", "queue": "mimas"}
    found = wait_for(
        port, lambda found: value(found, "dlstbx_handling_seconds_count", **labels) == 2
    )
    handled = value(found, "dlstbx_handled_total", **labels) or 0
    rejected = value(found, "dlstbx_rejected_total", **labels) or 0
    assert (handled, rejected) == (1, 1)
    assert value(found, "dlstbx_handling_seconds_bucket", le="+Inf", **labels) == 2


def held(number: int) -> Message:
    return Message(Queue("mimas.held"), {"parameters": {"ispyb_process": number}})


def test_the_backlog_as_it_is_at_each_scrape(home: Path, port: int, processes: list[Any]) -> None:
    processes.append(start("backlog-release", "--listen", "--metrics-port", str(port)))
    labels = {"command": "backlog-release", "queue": "mimas.held"}
    first = wait_for(port, lambda found: value(found, "dlstbx_held_jobs", cluster="slurm") == 0)
    assert value(first, "dlstbx_statistics_age_seconds", cluster="slurm") is None
    send(home, *[held(number) for number in range(1, 6)])
    wait_for(port, lambda found: value(found, "dlstbx_held_jobs", cluster="slurm") == 5)
    # Somebody else changes the store: the next scrape says so at once.
    assert run("backlog-cancel", "5", "--reason", "test").code == 0
    assert value(scrape(port), "dlstbx_held_jobs", cluster="slurm") == 4
    taken = time.time() - 100
    send(home, statistic("slurm", 58, taken), statistic("iris", 0, taken))
    name = "dlstbx_statistics_age_seconds"
    then = wait_for(
        port,
        lambda found: (
            value(found, name, cluster="iris") is not None
            and value(found, "dlstbx_released_total", **labels) == 2
        ),
    )
    assert value(then, "dlstbx_held_jobs", cluster="slurm") == 2
    before = value(then, name, cluster="slurm") or 0
    assert 100 <= before < 130
    time.sleep(0.5)
    now = scrape(port)
    # It is the age now, not that of when the statistic came.
    assert 0.4 < (value(now, name, cluster="slurm") or 0) - before < 10
    assert abs((value(now, name, cluster="slurm") or 0) - (time.time() - taken)) < 2


def test_cluster_stats(home: Path, port: int, processes: list[Any]) -> None:
    squeue = "sh -c 'echo PENDING'"
    arguments = ["--squeue", squeue, "--listen", "--interval", "1", "--metrics-port", str(port)]
    process = start("cluster-stats", *arguments)
    processes.append(process)
    labels = {"command": "cluster-stats", "queue": "transient.statistics.cluster"}
    found = wait_for(port, lambda found: (value(found, "dlstbx_handled_total", **labels) or 0) >= 2)
    assert value(found, "dlstbx_failures_total", **labels) == 0
    count = value(found, "dlstbx_handling_seconds_count", **labels) or 0
    assert count >= 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0


def test_a_cluster_that_fails_counts(home: Path, port: int, processes: list[Any]) -> None:
    arguments = ["--squeue", "sh -c 'exit 1'", "--listen", "--metrics-port", str(port)]
    processes.append(start("cluster-stats", *arguments))
    labels = {"command": "cluster-stats", "queue": "transient.statistics.cluster"}
    found = wait_for(
        port, lambda found: (value(found, "dlstbx_failures_total", **labels) or 0) >= 1
    )
    assert value(found, "dlstbx_handled_total", **labels) == 0


def test_pickup(home: Path, port: int, processes: list[Any]) -> None:
    assert run("dlstbx.go", "--drop", "-r", "mimas", "993677").code == 0
    processes.append(start("dlstbx.pickup", "--listen", "--metrics-port", str(port)))
    labels = {"command": "dlstbx.pickup", "queue": "processing_recipe"}
    found = wait_for(port, lambda found: value(found, "dlstbx_handled_total", **labels) == 1)
    assert value(found, "dlstbx_rejected_total", **labels) == 0


LISTENERS = [*SERVICES, "cluster-stats", "dlstbx.pickup"]


@pytest.mark.parametrize("command", LISTENERS)
def test_a_port_in_use_is_an_error_of_configuration(command: str, home: Path) -> None:
    more = ["--squeue", "true"] if command == "cluster-stats" else []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        outcome = run(command, *more, "--listen", "--metrics-port", port)
    assert (outcome.code, outcome.out) == (78, "")
    last = outcome.err.splitlines()[-1]
    assert f"--metrics-port {port}" in last
    assert "in use" in last


def test_a_host_that_is_not_ours(home: Path, port: int) -> None:
    options = ["--metrics-port", port, "--metrics-host", "192.0.2.1"]
    outcome = run("mimas-plan", "--listen", *options)
    assert outcome.code == 78
    assert "192.0.2.1" in outcome.err


@pytest.mark.parametrize("command", LISTENERS)
def test_it_goes_with_listening(command: str, home: Path, port: int) -> None:
    more = ["--squeue", "true"] if command == "cluster-stats" else []
    outcome = run(command, *more, "--metrics-port", port)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--listen" in outcome.err


def test_without_it_prometheus_is_not_loaded(home: Path) -> None:
    from tests.test_architecture import loaded_by

    line = json.dumps({"queue": "nobody", "message": 1})
    code = (
        "import contextlib, io, sys\n"
        f"sys.stdin = io.TextIOWrapper(io.BytesIO({line!r}.encode()))\n"
        "from dlstbx_cli.commands.mimas_plan import main\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main([])\n"
    )
    assert "prometheus_client" not in loaded_by(code)


def test_the_page_names_what_is_given(home: Path, port: int, processes: list[Any]) -> None:
    from tests.docs.pages import MAN, Page

    processes.append(start("backlog-release", "--listen", "--metrics-port", str(port)))
    taken = statistic("slurm", 60, time.time())
    send(home, taken)
    wait_for(port, lambda found: value(found, "dlstbx_held_jobs", cluster="slurm") == 0)
    send(home, taken)
    found = wait_for(
        port,
        lambda found: value(found, "dlstbx_statistics_age_seconds", cluster="slurm") is not None,
    )
    given = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
             for name, _ in found if name.startswith("dlstbx_")}  # fmt: skip
    blocks = Page(MAN / "dlstbx.5").blocks("AS SERVICES")
    table = next(block for block in blocks if block.startswith("dlstbx_handled_total"))
    named = {line.split()[0] for line in table.splitlines()}
    assert named - {"process_..."} == given
