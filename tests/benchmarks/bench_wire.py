"""All four stages on RabbitMQ and MariaDB, one process each; and ``dlstbx.go`` to RabbitMQ.

What is measured is the way of a trigger until every recipe that follows from it has been
started: it then lies in the queue that the demo recipes name. ``zocalo.go`` of the package
``zocalo`` is the peer of ``dlstbx.go``: both send to the same broker, in turn.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from dlstbx_cli.services.message import Message, new_id
from dlstbx_cli.transport.broker import connect
from tests.benchmarks.arrivals import Arrivals
from tests.benchmarks.table import print_table
from tests.servers import mariadb, rabbitmq
from tests.servers.broker import PASSWORD, USER
from tests.soak import site
from tests.soak.forecast import facility, trigger

ROUNDS = 3
SINGLE = 15
GO_ROUNDS = 15
DCID = 993677
_COLUMNS = ["what", "measured", "to reach", ""]
_PATIENCE = 300.0

#: A site's configuration. The host is also the vhost that stomp.py's users come to: they
#: cannot name another.
_CONFIGURATION = """
version: 1
stomp:
  plugin: stomp
  host: {host}
  port: {port}
  username: {user}
  password: "{password}"
  prefix: zocalo
transport:
  plugin: transport
  default: StompTransport
storage:
  plugin: storage
  zocalo.go.fallback_location: {drop}
environments:
  live:
    plugins: [stomp, transport, storage]
  default: live
"""


def verdict(what: str, value: float, unit: str, limit: float, *, least: bool = False) -> list[str]:
    """Return a row of a table: reached or missed."""
    reached = value >= limit if least else value <= limit
    shown = f"{'at least' if least else 'at most'} {limit:g} {unit}"
    return [what, f"{value:.3g} {unit}", shown, "pass" if reached else "MISS"]


class Chain:
    """The four stages at work, and what arrives behind them."""

    def __init__(
        self, place: site.Site, wire: site.Wire, database: mariadb.MariaDB, seen: Arrivals
    ) -> None:
        self.plans = facility().plans
        self._wire, self._database, self._seen = wire, database, seen
        self._listeners = {stage: place.start(stage) for stage in site.STAGES}

    def warm_up(self, link: Any) -> None:
        """Wait until all stages have done their first work."""
        self._send(link, [DCID])
        wanted = len(self.plans["end", DCID])
        # A broadcast reaches those alone who listen already.
        while not self._seen.wait(wanted, 0.5):
            link.send([site.statistic(time.time())])

    def seconds(self) -> dict[str, float]:
        """Return the processor time that each has used."""
        used = {stage: site.processor_seconds(one.pid) for stage, one in self._listeners.items()}
        used["RabbitMQ"] = site.server_seconds(self._wire.server)
        used["MariaDB"] = site.server_seconds(self._database)
        return used

    def latencies(self, link: Any) -> tuple[float, float]:
        """Return the seconds to the first and to the fifth recipe, median of single triggers."""
        times: list[tuple[float, float]] = []
        for _ in range(SINGLE):
            time.sleep(0.5)
            self._seen.forget()
            began = time.perf_counter()
            self._send(link, [DCID])
            self._complete(len(self.plans["end", DCID]))
            came = self._seen.times
            times.append((came[0] - began, came[4] - began))
        first, fifth = (median(column) for column in zip(*times, strict=True))
        return first, fifth

    def throughput(self, link: Any) -> tuple[int, int, float, dict[str, float]]:
        """Return triggers, recipes, seconds, and the processor time of each for all of them."""
        dcids = sorted({dcid for event, dcid in self.plans if event == "end"}) * ROUNDS
        recipes = sum(len(self.plans["end", dcid]) for dcid in dcids)
        self._seen.forget()
        before = self.seconds()
        began = time.perf_counter()
        self._send(link, dcids)
        self._complete(recipes)
        took = self._seen.times[recipes - 1] - began
        after = self.seconds()
        used = {name: after[name] - before[name] for name in after}
        return len(dcids), recipes, took, used

    def end(self) -> None:
        """End the listeners."""
        site.end(list(self._listeners.values()))

    def _send(self, link: Any, dcids: list[int]) -> None:
        triggers: list[Message] = [trigger(dcid, "end", new_id()) for dcid in dcids]
        link.send(triggers)

    def _complete(self, number: int) -> None:
        if not self._seen.wait(number, _PATIENCE):
            raise TimeoutError(f"{len(self._seen.times)} of {number} recipes in {_PATIENCE:g} s")


@contextmanager
def chain(database: mariadb.MariaDB, wire: site.Wire) -> Iterator[tuple[Chain, Any]]:
    """Give the stages at work, and a connection to send triggers by."""
    with (
        site.site(database, wire) as place,
        closing(connect(wire.url)) as link,
        closing(Arrivals(wire)) as seen,
    ):
        stages = Chain(place, wire, database, seen)
        try:
            stages.warm_up(link)
            yield stages, link
        finally:
            stages.end()


def stages(database: mariadb.MariaDB, server: rabbitmq.RabbitMQ) -> None:
    """Measure the chain."""
    with chain(database, site.wire_of("rabbitmq", server)) as (work, link):
        first, fifth = work.latencies(link)
        triggers, recipes, took, used = work.throughput(link)
    ours = sum(used[stage] for stage in site.STAGES)
    rows = [
        verdict(f"{triggers} triggers at once", triggers / took, "triggers/s", 15, least=True),
        verdict("processor, all stages, each trigger", ours / triggers, "s", 0.15),
        verdict(f"idle, to the first recipe, median of {SINGLE}", first, "s", 0.15),
        verdict(f"idle, to the fifth recipe, median of {SINGLE}", fifth, "s", 0.4),
    ]
    print_table("all stages on RabbitMQ and MariaDB, one process each", _COLUMNS, rows)
    print_table(
        f"processor time of {triggers} triggers, {recipes} recipes, {took:.1f} s",
        ["who", "each trigger", "share of the stages'"],
        [
            [name, f"{1000 * one / triggers:.1f} ms", f"{one / ours:.0%}"]
            for name, one in used.items()
        ],
    )


# --- dlstbx.go ----------------------------------------------------------------------------


def go(server: rabbitmq.RabbitMQ, folder: Path) -> None:
    """Measure ``dlstbx.go`` against ``zocalo.go``, then with the broker gone. Kills it."""
    ours, configured = _environments(server, folder)
    arguments = ["-r", "mimas", "-s", "event=end", str(DCID)]
    dlstbx_go = [str(site.BIN / "dlstbx.go"), *arguments]
    zocalo_go = [str(Path(sys.executable).parent / "zocalo.go"), *arguments]
    times: list[tuple[float, float, float]] = []
    for _ in range(GO_ROUNDS + 1):
        theirs = _run(zocalo_go, configured, "Submitted")
        direct = _run(dlstbx_go, ours, ": sent")
        times.append((direct / theirs, _run(dlstbx_go, configured, ": sent") / theirs, theirs))
    # The first round has read the programs from the disk.
    direct, same, theirs = (median(column) for column in zip(*times[1:], strict=True))
    rows = [
        verdict("dlstbx.go, DLSTBX_BROKER", direct, "x zocalo.go", 0.5),
        verdict("dlstbx.go, the same ZOCALO_CONFIG", same, "x zocalo.go", 0.85),
        ["zocalo.go", f"{1000 * theirs:.0f} ms", "", ""],
    ]
    server.pause()
    hanging = {limit: _run([*dlstbx_go, f"--timeout={limit}"], ours, "stored") for limit in (1, 5)}
    server.resume()
    server.kill()
    away = _run(dlstbx_go, ours, "stored")
    for limit, took in hanging.items():
        rows.append(verdict(f"dlstbx.go, the broker hangs, --timeout {limit}", took, "s", limit))
    rows.append(verdict("dlstbx.go, the broker is away", away, "s", 5))
    print_table(f"dlstbx.go to RabbitMQ, median of {GO_ROUNDS} rounds", _COLUMNS, rows)


def _environments(server: rabbitmq.RabbitMQ, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return an environment with our own setting, and one with a site's configuration."""
    server.management("PUT", f"vhosts/{server.host}", {})
    server.allow(USER, server.host)
    (folder / "drop").mkdir()
    path = folder / "zocalo.yml"
    path.write_text(
        _CONFIGURATION.format(
            host=server.host, port=server.port, user=USER, password=PASSWORD, drop=folder / "drop"
        ),
        encoding="utf-8",
    )
    bare = site.bare_environment() | {"DLSTBX_HOME": str(folder)}
    return {**bare, "DLSTBX_BROKER": server.url(prefix="zocalo")}, {
        **bare,
        "ZOCALO_CONFIG": str(path),
    }


def _run(command: list[str], environment: dict[str, str], word: str) -> float:
    """Return how many seconds a command takes; it must say the word."""
    began = time.perf_counter()
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode != 0 or word not in done.stdout + done.stderr:
        raise RuntimeError(f"{command[0]}: {done.returncode}, {done.stdout}{done.stderr}")
    return took


def main() -> None:
    """Measure all, or the parts that are named: stages, go."""
    parts = sys.argv[1:] or ["stages", "go"]
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with rabbitmq.serving() as server, tempfile.TemporaryDirectory() as folder:
        if "stages" in parts:
            with mariadb.serving(()) as database:
                stages(database, server)
        if "go" in parts:
            go(server, Path(folder))


if __name__ == "__main__":
    main()
