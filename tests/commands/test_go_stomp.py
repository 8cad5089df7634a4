"""``dlstbx.go`` and a STOMP broker that is away, hangs or refuses: no trigger is lost.

Each runs as a process of its own, as on a beamline, so that its time is the true one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Outcome, run, shell
from tests.servers.broker import PASSWORD
from tests.transport.stomp.fake import CONNECTED, Fake, deaf, polite, silent

#: Seconds that a busy machine takes to start Python.
START = 2.0


def go(url: str, *arguments: str, timeout: float = 0.7) -> Outcome:
    """Trigger, and see that it takes no longer than allowed."""
    begin = time.monotonic()
    words = " ".join(arguments or ("7",))
    outcome = shell(f"dlstbx.go --timeout {timeout} -r mimas {words}", DLSTBX_BROKER=url)
    assert time.monotonic() - begin < timeout + START
    assert "Traceback" not in outcome.err
    assert PASSWORD not in outcome.err
    assert quote(PASSWORD, "") not in outcome.err
    return outcome


def stored(home: Path) -> list[Any]:
    drop = home / "drop"
    return [json.loads(path.read_text()) for path in drop.iterdir()] if drop.exists() else []


def is_stored(outcome: Outcome, home: Path, reason: str, number: int = 1) -> None:
    assert outcome.code == 0
    said = outcome.err.splitlines()
    assert len(said) == number
    paths = {str(path) for path in (home / "drop").iterdir()}
    assert len(paths) == number
    for line in said:
        assert "mimas for data collection" in line
        assert sum(f"stored in {path}" in line for path in paths) == 1
        assert reason in line


@pytest.fixture(params=["rabbitmq", "activemq"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    server = request.getfixturevalue(f"{request.param}_server")
    yield server
    server.resume()


def test_a_broker_that_is_away(home: Path) -> None:
    is_stored(go("stomp://127.0.0.1:1/"), home, "broker stomp://127.0.0.1:1: Connection refused")


def test_a_broker_that_takes_the_connection_and_is_silent(home: Path) -> None:
    with Fake(silent) as fake:
        is_stored(go(fake.url, "7", "8"), home, "answer", 2)
        # A time that the URL allows is not the time that the beamline allows.
        outcome = go(f"{fake.url}?timeout=60", "9")
    assert outcome.code == 0
    assert "does not answer within" in outcome.err
    assert len(stored(home)) == 3


def test_a_broker_that_does_not_confirm(home: Path) -> None:
    with Fake(deaf) as fake:
        is_stored(go(fake.url), home, "does not answer")
        assert fake.commands[:2] == ["STOMP", "SEND"]


def test_a_broker_that_does_not_say_farewell(home: Path) -> None:
    """It has confirmed: the trigger is sent, and not stored as well."""

    def rude(command: str, headers: dict[str, str]) -> bytes | None:
        return None if command == "DISCONNECT" else polite(command, headers)

    with Fake(rude) as fake:
        outcome = go(fake.url, timeout=3)
    assert outcome.code == 0
    assert "7: sent" in outcome.err
    assert stored(home) == []


def test_a_broker_that_reports_an_error(home: Path) -> None:
    error = b"ERROR\nmessage:no room\n\nthe disk of the broker is full\n\0"
    with Fake(lambda command, _: CONNECTED if command == "STOMP" else error) as fake:
        is_stored(go(fake.url), home, "no room: the disk of the broker is full")


def test_one_that_speaks_another_language(home: Path) -> None:
    with Fake(lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n") as fake:
        is_stored(go(fake.url), home, "answer")


def test_the_second_host(home: Path) -> None:
    with Fake(silent) as hangs, Fake(polite) as serves:
        outcome = go(f"stomp://127.0.0.1:{hangs.port},127.0.0.1:{serves.port}/", timeout=2)
    assert "7: sent" in outcome.err
    assert stored(home) == []


def test_wrong_password(server: Any, home: Path) -> None:
    is_stored(go(server.url_as("dlstbx", "s3cr3t")), home, "dlstbx")
    assert "s3cr3t" not in json.dumps(stored(home))


def test_a_certificate_that_is_not_trusted(server: Any, home: Path) -> None:
    outcome = go(server.tls_url(ca=server.certificates.other_ca))
    is_stored(outcome, home, "certificate verify failed")


def test_a_trigger_that_is_refused_is_sent_later(server: Any, home: Path) -> None:
    place = server.place()
    if hasattr(server, "reader_url"):
        url, reason = server.reader_url(**place), "not authorized to write"
    else:
        server.add_user("reader", "pw", ".*", "", ".*", vhost=place["vhost"])
        url, reason = server.url_as("reader", "pw", **place), "ACCESS_REFUSED"
    is_stored(go(url, "7", "8"), home, reason, 2)
    picked_up(server.url(**place), home)


def test_a_broker_that_hangs_gets_the_trigger_later(server: Any, home: Path) -> None:
    url = server.url(**server.place(), idle=0.1)
    server.pause()
    is_stored(go(url, "7", "8"), home, "answer", 2)
    # Nothing is sent, and nothing lost, as long as it hangs.
    picking = run("dlstbx.pickup", "--broker", "stomp://127.0.0.1:1/")
    assert picking.code == 75
    assert len(stored(home)) == 2
    server.resume()
    picked_up(url, home)


def picked_up(url: str, home: Path) -> None:
    """Send what is stored, and see that the broker has it: once, with its identity."""
    waiting = {entry["headers"]["dlstbx-id"]: entry["message"] for entry in stored(home)}
    outcome = shell("dlstbx.pickup", DLSTBX_BROKER=url)
    assert outcome.code == 0, outcome.err
    assert stored(home) == []
    lines = shell("queue-get processing_recipe", DLSTBX_BROKER=url).lines
    assert {line["headers"]["dlstbx-id"]: line["message"] for line in lines} == waiting
    assert len(lines) == len(waiting)
    dcids = sorted(line["message"]["parameters"]["ispyb_dcid"] for line in lines)
    assert dcids == [7, 8]
    assert {line["headers"]["zocalo.go.host"] for line in lines} != {""}


@pytest.mark.parametrize("answer", [None, silent])
def test_a_full_disk_as_well_is_loud(home: Path, answer: Any) -> None:
    """A real one: a file system of a few kilobytes, in the place of both directories."""
    full = home / "full"
    full.mkdir()
    (home / "drop").symlink_to(full)
    script = f"""
        mount -t tmpfs -o size=4k tmpfs {full} && dd if=/dev/zero of={full}/x bs=4k 2>/dev/null
        dlstbx.go --drop-dir {full} --timeout 1 -r mimas 7; code=$?
        ls -A {full}; umount {full}; exit $code
    """
    with Fake(answer or silent) as fake:
        url = fake.url if answer else "stomp://127.0.0.1:1/"
        outcome = shell(f"unshare -m bash -c '{script}'", DLSTBX_BROKER=url)
    if "unshare" in outcome.err or "mount:" in outcome.err:
        pytest.skip("this user may not mount: " + outcome.err.strip())
    assert outcome.code == 75
    assert "No space left" in outcome.err
    assert "LOST" in outcome.err
    assert outcome.out == "x\n"
