"""The tests' own Slurm leaves nothing behind, however the tests end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import TOP
from tests.servers.process import lacking
from tests.servers.slurm import lacking as missing
from tests.servers.slurm import serving

_TESTS = """
import time
from tests.servers.slurm import serving
with serving() as slurm:
    slurm.submit(3)
    slurm.wait("gda2", PENDING=1, RUNNING=2)
    print(slurm.environment["SLURM_CONF"], flush=True)
    time.sleep(600)
"""


def processes(configuration: str) -> list[str]:
    """Return the processes of a Slurm, its jobs among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if configuration.encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_nothing_is_left_when_it_is_done() -> None:
    if reason := missing():
        lacking(reason)
    with serving() as slurm:
        configuration = slurm.environment["SLURM_CONF"]
        slurm.submit(3)
        slurm.wait("gda2", PENDING=1, RUNNING=2)
        assert len(processes(configuration)) > 4
    assert processes(configuration) == []
    assert not Path(configuration).parent.exists()


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    if reason := missing():
        lacking(reason)
    tests = subprocess.Popen([sys.executable, "-c", _TESTS], cwd=TOP, stdout=subprocess.PIPE)
    assert tests.stdout is not None
    configuration = tests.stdout.readline().decode().strip()
    # The daemons, two jobs and those who see to them; some of these come and go.
    assert len(processes(configuration)) > 4
    tests.kill()
    tests.communicate()
    deadline = time.monotonic() + 10
    while processes(configuration) or Path(configuration).parent.exists():
        assert time.monotonic() < deadline, processes(configuration)
        time.sleep(0.1)
