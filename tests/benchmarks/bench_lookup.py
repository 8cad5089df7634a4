"""How long a look-up takes on an embedded ISPyB, in a warm process.

Run by ``python -m tests.benchmarks.bench_lookup``. To reach: 8 SQL statements and 5 ms
for each, at most.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from dlstbx_cli.database import demo
from dlstbx_cli.database.jobs import IspybJobs
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.database.state import JobState
from dlstbx_cli.services.ispyb_job import Job, Sweep
from tests.database.building import counted

FIRST = 993677
REPEATS = 200


@contextmanager
def facility() -> Iterator[tuple[Any, str]]:
    with tempfile.TemporaryDirectory(prefix="dlstbx-bench-") as directory:
        engine = demo.make(f"sqlite:///{Path(directory) / 'ispyb.sqlite3'}")
        yield engine, f"sqlite:///{Path(directory) / 'state.sqlite3'}"
        engine.dispose()


def timed(work: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Return the first time and the median of the following ones, in milliseconds."""
    times = []
    for _ in range(repeats + 1):
        start = perf_counter()
        work()
        times.append(1000 * (perf_counter() - start))
    return times[0], median(times[1:])


def main() -> None:
    with facility() as (engine, state):
        lookup = Lookup(engine)
        jobs = IspybJobs(engine, JobState.at(state))
        sweeps = tuple(Sweep(FIRST + n, 1, 3600) for n in range(3))
        job = Job(FIRST, True, "autoprocessing-multi-xia2-dials", "xia2", "", (("a", "b"),), sweeps)
        numbers = iter(range(1000000))
        job_id = jobs.create("bench", job)
        statements = counted(engine)
        print(
            f"{'look-up, embedded ISPyB':<36} {'statements':>10} {'first ms':>9} {'median ms':>9}"
        )
        for name, work in (
            ("collection", lambda: lookup({"parameters": {"ispyb_dcid": FIRST}})),
            ("processing job", lambda: lookup({"parameters": {"ispyb_process": job_id}})),
            ("run status", lambda: lookup.run_status(FIRST)),
            ("job written (3 sweeps)", lambda: jobs.create(f"new {next(numbers)}", job)),
            ("job known already", lambda: jobs.create("bench", job)),
        ):
            first, typical = timed(work)
            statements.clear()
            work()
            print(f"{name:<36} {len(statements):>10} {first:>9.2f} {typical:>9.2f}")


if __name__ == "__main__":
    main()
