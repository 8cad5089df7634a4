"""A Slurm of the tests' own: one node, free ports, its own munge, and an end whatever happens.

``slurm`` is the fixture. It needs root: slurmrestd runs as another user than the controller.
Accounting is off, so an account is a name that a job is given, and any name will do.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from tests.servers import process
from tests.servers.ports import free_ports
from tests.servers.process import ServerProcess

#: Jobs that run at the same time; the others wait.
CPUS = 2

_PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmrestd", "sbatch", "scontrol", "setpriv")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_CONFIGURATION = """
ClusterName=dlstbx
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/jwt.key
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
PlugStackConfig=/dev/null
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
ReturnToService=2
# The node is as it says here, whatever machine it is.
SlurmdParameters=config_overrides
# A client gives up a controller that is away sooner than the usual 10 seconds.
MessageTimeout=3
KillWait=1
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname=localhost CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""

#: Ends everything that has this Slurm's configuration in its environment: jobs and what
#: watches over them are in no process group of the daemons.
_SWEEP = r"""
while
    found=$(grep -las "SLURM_CONF=$1/slurm.conf" /proc/[0-9]*/environ | cut -d/ -f3)
    [ -n "$found" ]
do
    kill -s KILL $found 2>/dev/null
    sleep 0.1
done
"""
_WATCH = f'read -r _\n{_SWEEP}\nrm -rf -- "$1"'


def lacking() -> str | None:
    """Return in one line what a Slurm needs and this machine lacks, None if nothing."""
    missing = [name for name in _PROGRAMS if not shutil.which(name, path=_PATH)]
    missing += [] if any(_plugins("auth_jwt.so")) else ["auth_jwt.so"]
    if missing:
        packages = "slurm-wlm slurmrestd munge slurm-wlm-jwt-plugin"
        return f"no {', '.join(missing)}: apt-get install {packages}"
    return "a Slurm of the tests' own needs root" if os.geteuid() else None


def _plugins(name: str) -> Iterator[Path]:
    for folder in ("lib*/slurm*", "lib/*/slurm*"):
        yield from Path("/usr").glob(f"{folder}/{name}")


class Slurm:
    """One cluster in *folder*.

    ``controller``, ``node`` and ``rest`` are its daemons (slurmctld, slurmd, slurmrestd): they
    can be killed, started again, made to hang. A controller that is killed forgets the jobs
    of the last seconds.
    """

    def __init__(self, folder: Path) -> None:
        controller, node, rest = free_ports(3)
        self.url = f"http://127.0.0.1:{rest}"
        self._folder = folder
        self._ports = {"controller": controller, "node": node}
        self._accounts = count(1)
        self._watch: subprocess.Popen[bytes] | None = None
        self.munge = _Munge(folder, self.environment)
        self.controller = self._daemon("slurmctld", controller, "-D", "-v")
        self.node = self._daemon("slurmd", node, "-D", "-v", "-N", "localhost")
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        options = ["-v", "-s", "openapi/v0.0.38", "-a", "rest_auth/jwt", f"127.0.0.1:{rest}"]
        self.rest = ServerProcess(
            [*as_nobody, "slurmrestd", *options],
            # It has no login of its own, only those of its callers.
            {**self.environment, "SLURM_JWT": "daemon"},
            folder / "slurmrestd.log",
            [rest],
        )

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's programs (``squeue``) mean this cluster."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM", "SQUEUE", "SBATCH"))
        }
        return kept | {"SLURM_CONF": str(self._folder / "slurm.conf"), "PATH": _PATH}

    def start(self) -> None:
        """Write the configuration, start all daemons, and wait until jobs can run."""
        # slurmrestd is another user, and reads the configuration.
        self._folder.chmod(0o755)
        for name in ("jwt.key", "munge.key"):
            (self._folder / name).touch(0o600)
            (self._folder / name).write_bytes(os.urandom(128))
        for name in ("state", "spool"):
            (self._folder / name).mkdir()
        text = _CONFIGURATION.format(folder=self._folder, cpus=CPUS, **self._ports)
        (self._folder / "slurm.conf").write_text(text, encoding="utf-8")
        self._watch = subprocess.Popen(
            ["sh", "-c", _WATCH, "sh", str(self._folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": _PATH},
            start_new_session=True,
        )
        for daemon in (self.munge, self.controller, self.node, self.rest):
            daemon.start()
        self._wait_for_node()

    def end(self) -> None:
        """End all daemons and all jobs."""
        for daemon in (self.rest, self.node, self.controller, self.munge):
            daemon.kill()
        sweep = ["sh", "-c", _SWEEP, "sh", str(self._folder)]
        subprocess.run(sweep, env={"PATH": _PATH}, check=True)
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()

    # --- using it --------------------------------------------------------------------

    def account(self) -> str:
        """Return the name of an account that has no jobs yet.

        Jobs that have ended are seen for a while: a test that counts wants an account of
        its own.
        """
        return f"account{next(self._accounts)}"

    def submit(self, number: int, seconds: float = 600, account: str | None = "gda2") -> list[int]:
        """Submit jobs of one CPU each that last so long, and return their ids."""
        options = ["--parsable", "--ntasks=1", "--chdir=/", "--output=/dev/null"]
        options += [f"--account={account}"] if account else []
        command = ["sbatch", *options, f"--wrap=exec sleep {seconds}"]
        return [int(self.run(*command)) for _ in range(number)]

    def cancel_all(self) -> None:
        """Cancel all jobs, and wait until none runs."""
        deadline = time.monotonic() + 30
        while self.run("squeue", "--noheader"):
            self.run("scancel", "--user=root")
            assert time.monotonic() < deadline, self.run("squeue")
            time.sleep(0.1)

    def states(self, account: str) -> dict[str, int]:
        """Return how many jobs of an account are in which state."""
        command = ["squeue", "--noheader", "--states=all", "--format=%a %T"]
        jobs = [line.split() for line in self.run(*command).splitlines()]
        return dict(Counter(state for owner, state in jobs if owner == account))

    def wait(self, account: str, **states: int) -> None:
        """Wait until the jobs of an account are in these states, and in no others."""
        deadline = time.monotonic() + 30
        while (found := self.states(account)) != states:
            assert time.monotonic() < deadline, f"{found} in place of {states}"
            time.sleep(0.1)

    def token(self, user: str = "root", lifespan: int = 3600) -> str:
        """Return a token for a user that is valid for so many seconds."""
        printed = self.run("scontrol", "token", f"username={user}", f"lifespan={lifespan}")
        return printed.removeprefix("SLURM_JWT=")

    def run(self, *command: str) -> str:
        """Run one of Slurm's programs, and return what it prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    # --- inside ----------------------------------------------------------------------

    def _daemon(self, name: str, port: int, *options: str) -> ServerProcess:
        log = self._folder / f"{name}.log"
        return ServerProcess([name, *options], self.environment, log, [port])

    def _wait_for_node(self) -> None:
        deadline = time.monotonic() + 30
        while self.run("sinfo", "--noheader", "--format=%T") != "idle":
            if time.monotonic() > deadline:
                log = (self._folder / "slurmctld.log").read_text()
                pytest.fail(f"the node of Slurm does not come up: {log[-2000:]}")
            time.sleep(0.05)


class _Munge(ServerProcess):
    """What vouches for who somebody is; it answers on a socket of the file system."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._socket = folder / "munge.socket"
        command = [
            *("munged", "--foreground", "--force"),
            f"--socket={self._socket}",
            f"--key-file={folder / 'munge.key'}",
            f"--pid-file={folder / 'munged.pid'}",
            f"--seed-file={folder / 'munged.seed'}",
        ]
        super().__init__(command, environment, folder / "munged.log", [])

    def _answers(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self._socket))
            return True
        return False


@contextmanager
def serving() -> Iterator[Slurm]:
    """Give a new Slurm that runs; in the end it is stopped and its folder removed."""
    with tempfile.TemporaryDirectory(prefix="dlstbx-slurm-", ignore_cleanup_errors=True) as name:
        server = Slurm(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.end()


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A running Slurm. Skips where there is none to be started; fails if CI=true."""
    missing = lacking()
    if missing:
        process.lacking(missing)
    with serving() as server:
        yield server
