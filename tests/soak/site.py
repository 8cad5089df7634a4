"""A whole site: a broker, an ISPyB on a MariaDB, and the four stages as processes of their own.

For what looks at all stages together: the soak ``wire`` and the benchmark of that name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlstbx_cli.services.backlog import STATISTICS_TOPIC
from dlstbx_cli.services.message import Message, Topic
from dlstbx_cli.transport.broker import connect
from tests.servers import process

BIN = Path(__file__).parent.parent.parent / "bin"

STAGES = ("recipe-dispatch", "mimas-plan", "ispyb-create-job", "backlog-release")
#: A release counts as a waiting job for a minute: a limit of production's would measure that.
_OPTIONS = {"backlog-release": ("--limit", f"slurm={10**6}")}
#: Where the demo recipes send their start to.
END = "demo.processing"
#: Seconds for which a RabbitMQ may forget a queue, see dlstbx(5).
_YOUNG = 4.0
BROKERS = ("rabbitmq", "activemq", "sqlite")


@dataclass(frozen=True)
class Wire:
    """A broker between the stages, empty.

    :param server: what can be killed and started again; None: it is a file.
    :param top: the URL of the same broker without a namespace.
    """

    kind: str
    url: str
    top: str
    server: Any = None

    def let_grow_old(self, *queues: str) -> None:
        """Make queues, and wait until the broker will still know them when it is killed.

        A RabbitMQ may forget those of its last seconds, with all that is in them.
        """
        if self.kind != "rabbitmq":
            return
        with closing(connect(self.url)) as link:
            for queue in queues:
                with closing(link.consumer(queue)) as consumer:
                    # It subscribes, and so makes the queue, when it is first asked.
                    assert consumer.receive(0.1) is None
        time.sleep(_YOUNG)


def wire_of(kind: str, server: Any) -> Wire:
    """Return an empty place on a running server, with a namespace as in production."""
    if kind == "rabbitmq":
        vhost = server.vhost()
        return Wire(kind, server.url(vhost=vhost, prefix="zocalo"), server.url(vhost=vhost), server)
    return Wire(kind, server.url(prefix=server.namespace()), server.url(), server)


@contextmanager
def wire(kind: str, folder: Path) -> Iterator[Wire]:
    """Give a broker of a kind that runs as long as it is needed."""
    if kind == "sqlite":
        url = f"sqlite:///{folder}/queue.sqlite3"
        yield Wire(kind, url, url)
        return
    from tests.servers import activemq, rabbitmq

    serving = rabbitmq.serving if kind == "rabbitmq" else activemq.serving
    with serving() as server:
        yield wire_of(kind, server)


@dataclass(frozen=True)
class Site:
    """What the stages are started in.

    :param database: the name of the ISPyB on *mariadb*.
    """

    folder: Path
    mariadb: Any
    database: str
    environment: Mapping[str, str]

    def start(self, stage: str) -> subprocess.Popen[bytes]:
        """Start a listener; what it says is kept in a file."""
        with self.log(stage).open("ab") as log:
            return subprocess.Popen(
                [BIN / stage, "--listen", *_OPTIONS.get(stage, ())],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def log(self, stage: str) -> Path:
        """Return the file with what the listeners of a stage have said."""
        return self.folder / f"{stage}.log"


@contextmanager
def site(mariadb: Any, broker: Wire) -> Iterator[Site]:
    """Give a site on a running MariaDB, whose ISPyB has the demo facility's collections."""
    from dlstbx_cli.database.connection import connect
    from dlstbx_cli.database.demo import fill

    name = mariadb.ispyb()
    facility = connect(mariadb.url(name))
    fill(facility)
    facility.dispose()
    with tempfile.TemporaryDirectory(prefix="dlstbx-site-") as folder:
        environment = bare_environment() | {
            "DLSTBX_HOME": folder,
            "DLSTBX_BROKER": broker.url,
            "DLSTBX_ISPYB": mariadb.service_url(name),
            "DLSTBX_STATE": mariadb.state_url(),
        }
        yield Site(Path(folder), mariadb, name, environment)


def bare_environment() -> dict[str, str]:
    """Return this process's environment without any setting of ours."""
    prefixes = ("DLSTBX_", "ZOCALO_", "ISPYB_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def statistic(timestamp: float, pending: int = 0) -> Message:
    """Return the broadcast that so many jobs wait on the cluster."""
    return Message(
        Topic(STATISTICS_TOPIC),
        {
            "statistic-group": "cluster",
            "statistic": "job-states",
            "statistic-cluster": "slurm",
            "statistic-timestamp": timestamp,
            "PENDING": pending,
        },
    )


def end(listeners: Sequence[subprocess.Popen[bytes]], patience: float = 30.0) -> list[int | None]:
    """Ask listeners to end (SIGTERM), then make them; return their exit codes."""
    for listener in listeners:
        listener.send_signal(signal.SIGTERM)
    for listener in listeners:
        with suppress(subprocess.TimeoutExpired):
            listener.wait(patience)
    codes = [listener.poll() for listener in listeners]
    for listener in listeners:
        listener.kill()
        listener.wait()
    return codes


def processor_seconds(listener: int) -> float:
    """Return the seconds of processor time that a process has used, all threads together."""
    fields = _stat(Path(f"/proc/{listener}/stat"))
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def server_seconds(server: process.ServerProcess) -> float:
    """Return the seconds of processor time that a server has used, with all its helpers."""
    leader = str(server._process.pid)  # type: ignore[union-attr]
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):
            fields = _stat(path)
            # By session: some helpers are in a process group of their own.
            if fields[3] == leader:
                total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """Return the fields of a stat file from the third on: the second may hold anything."""
    return path.read_text(encoding="utf-8").rpartition(")")[2].split()
