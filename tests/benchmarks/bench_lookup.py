"""How long a look-up takes in a warm process: on an embedded ISPyB, and on a MariaDB.

Run by ``python -m tests.benchmarks.bench_lookup``. To reach, for every collection of the
demo facility: at most 8 SQL statements; 5 ms embedded, 10 ms on a MariaDB over loopback.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from dlstbx_cli.database import demo
from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.jobs import IspybJobs
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.database.state import JobState
from dlstbx_cli.services.ispyb_job import Job, Sweep
from tests.benchmarks.table import print_table
from tests.database.building import counted
from tests.servers import mariadb

FIRST = 993677
ROUNDS = 20
COLUMNS = ("look-up", "statements", "first ms", "median ms", "slowest ms", "to reach")


@dataclass
class Site:
    """An ISPyB with the demo facility: for whom it is read, and by whom it is written."""

    name: str
    reader: Any
    writer: Any
    state: str
    to_reach: str


@contextmanager
def sites() -> Iterator[list[Site]]:
    """Give the embedded ISPyB, and one on a MariaDB if one can be started."""
    with tempfile.TemporaryDirectory(prefix="dlstbx-bench-") as directory, ExitStack() as stack:
        engine = demo.make(f"sqlite:///{Path(directory) / 'ispyb.sqlite3'}")
        state = f"sqlite:///{Path(directory) / 'state.sqlite3'}"
        found = [Site("embedded", engine, engine, state, "8 statements, 5 ms")]
        missing = mariadb.lacking()
        if missing:
            print(f"no figures for MariaDB: {missing}")
        else:
            found.append(_server(stack.enter_context(mariadb.serving()), f"{state}-mariadb"))
        yield found
        for site in found:
            site.reader.dispose()
            site.writer.dispose()


def _server(server: mariadb.MariaDB, state: str) -> Site:
    name = server.ispyb()
    writer = connect(server.url(name))
    demo.fill(writer)
    reader = connect(server.service_url(name))
    return Site("MariaDB", reader, writer, state, "8 statements, 10 ms")


def timed(work: Sequence[Callable[[], object]]) -> tuple[float, list[float]]:
    """Return the first time, and the median time of each piece of work, in milliseconds."""
    times: list[list[float]] = [[] for _ in work]
    for _ in range(ROUNDS + 1):
        for place, one in enumerate(work):
            start = perf_counter()
            one()
            times[place].append(1000 * (perf_counter() - start))
    return times[0][0], [median(several[1:]) for several in times]


def rows(site: Site) -> Iterator[Sequence[str]]:
    """Measure one site; yield the rows of the table."""
    lookup, statements = Lookup(site.reader), counted(site.reader)
    jobs = IspybJobs(site.reader, JobState.at(site.state))
    sweeps = tuple(Sweep(FIRST + n, 1, 3600) for n in range(3))
    job = Job(FIRST, True, "autoprocessing-multi-xia2-dials", "xia2", "", (("a", "b"),), sweeps)
    number = jobs.create("bench", job).job_id
    every = [one.dcid for one in demo.collections(site.reader)]
    parts: dict[str, list[Callable[[], object]]] = {
        f"all {len(every)} demo collections": [
            partial(lookup, {"parameters": {"ispyb_dcid": dcid}}) for dcid in every
        ],
        "processing job": [partial(lookup, {"parameters": {"ispyb_process": number}})],
        "run status": [partial(lookup.run_status, FIRST)],
    }
    for what, work in parts.items():
        first, typical = timed(work)
        most = 0
        for one in work:
            statements.clear()
            one()
            most = max(most, len(statements))
        times = (first, median(typical), max(typical))
        yield [f"{site.name}: {what}", str(most), *(f"{ms:.2f}" for ms in times), site.to_reach]


def main() -> None:
    with sites() as found:
        print_table("look-up, warm process", COLUMNS, [row for site in found for row in rows(site)])


if __name__ == "__main__":
    main()
