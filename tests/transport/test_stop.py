"""Requests to stop, by signal and otherwise."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dlstbx_cli.transport.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_wait_at_once(number):
    former = signal.getsignal(number)
    with Stop() as stop:
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
        began = time.monotonic()
        assert stop.wait(10)
        assert time.monotonic() - began < 2
        assert stop.requested
    assert signal.getsignal(number) is former


def test_a_signal_may_come_often():
    with Stop() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)


def test_a_wait_without_a_request_takes_its_time():
    with Stop() as stop:
        began = time.monotonic()
        assert not stop.wait(0.1)
        assert time.monotonic() - began >= 0.1


def descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_no_descriptor_is_left_open():
    before = descriptors()
    with Stop() as stop:
        stop.request()
    stop.request()
    assert descriptors() == before


HANGING = """
import hashlib, os, signal, threading
from dlstbx_cli.transport.stop import Stop
with Stop(0.2):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    # Python runs no handler in there, as in a database's library that waits for its server.
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def test_a_main_thread_that_hangs_in_a_library():
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HANGING], check=False, timeout=60)
    assert done.returncode == 0
    assert time.monotonic() - began < 5


def test_the_descriptor_that_signals_write_to_is_put_back():
    with Stop():
        pass
    former = signal.set_wakeup_fd(-1)
    assert former == -1


def test_outside_the_main_thread_it_works_by_request():
    former = signal.getsignal(signal.SIGTERM)
    seen = []

    def wait():
        with Stop() as stop:
            threading.Timer(0.1, stop.request).start()
            seen.append((stop.wait(10), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert seen == [(True, former)]


STUCK = """
import os, signal, time
from dlstbx_cli.transport.stop import Stop
with Stop(0.2) as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(stop.requested and {seconds})
print("by itself")
"""


@pytest.mark.parametrize(("seconds", "out"), [(60, ""), (0, "by itself\n")])
def test_a_run_that_hangs_is_ended(seconds, out):
    begin = time.monotonic()
    code = STUCK.format(seconds=seconds)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, out)
    assert ("still waiting" in ended.stderr) is (not out)
    assert time.monotonic() - begin < 10


ABOUT = STUCK.replace(
    "with Stop(0.2) as stop:",
    """
from dlstbx_cli.commands.logs import start_logging
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.services.trace import about
start_logging("x", 0, "json")
with Stop(0.2) as stop, about(Message(Queue("q"), {{"dcid": 7}})):""",
)


def test_what_hangs_is_said_with_the_message_in_hand():
    code = ABOUT.format(seconds=60)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    record = json.loads(ended.stderr)
    assert (record["action"], record["dcid"]) == ("stop", 7)


def test_a_run_that_ends_by_itself_leaves_no_thread():
    before = threading.active_count()
    with Stop(60):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
