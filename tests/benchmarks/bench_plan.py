"""How quick ``mimas-plan --since`` is, and what memory it takes: ``bin/bench plan``.

To reach, on an embedded ISPyB with 20,000 collections: 300 collections a second, with the
same memory as for 2,000. The command is a process of its own, so that its start and its
output are in the figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.period import dcids
from tests.benchmarks import period
from tests.benchmarks.table import print_table

SIZES = (2_000, 20_000)
TO_REACH = 300
#: How much more memory may be taken for the greater number, in MB.
GROWTH = 8.0
BIN = Path(__file__).parents[2] / "bin"
COLUMNS = (
    "mimas-plan --since", "collections", "lines", "seconds", "CPU s", "per second", "peak MB",
    "to reach", "",
)  # fmt: skip
WAYS = {
    "lines": (),
    "all four events": ("--event", "all"),
    "--explain": ("--explain",),
    "--commands": ("--commands",),
    "one beamline": ("--beamline", "i03"),
}


def measured(database: str, options: Sequence[str]) -> tuple[int, float, float, float]:
    """Run the command; return its lines, its seconds by the clock and of CPU, its peak in MB."""
    environment = {**os.environ, "DLSTBX_ISPYB": database}
    begun = perf_counter()
    process = subprocess.Popen(
        [BIN / "mimas-plan", "--since", "2026-01-01", *options],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    lines = sum(chunk.count(b"\n") for chunk in iter(lambda: process.stdout.read(1 << 16), b""))
    _, status, used = os.wait4(process.pid, 0)
    seconds = perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"mimas-plan ended with {process.returncode}")
    return lines, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _number(database: str, options: Sequence[str]) -> int:
    """Return how many collections these options plan for."""
    engine = connect(database)
    found = len(dcids(engine, beamlines=options[1:] if "--beamline" in options else ()))
    engine.dispose()
    return found


def main() -> None:
    """Measure each way with both numbers of collections, and print the table."""
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="dlstbx-bench-") as directory:
        databases = {size: f"sqlite:///{directory}/{size}.sqlite3" for size in SIZES}
        for size, database in databases.items():
            begun = perf_counter()
            period.make(database, size).dispose()
            print(f"{size} collections made in {perf_counter() - begun:.1f} s")
        for way, options in WAYS.items():
            least = None
            for size, database in databases.items():
                planned = _number(database, options)
                lines, seconds, cpu, peak = measured(database, options)
                least = peak if least is None else least
                rate = planned / seconds
                figures = (planned, lines, f"{seconds:.1f}", f"{cpu:.1f}", f"{rate:.0f}")
                target = verdict = ""
                if size == SIZES[-1]:  # the smaller one is there to compare the memory with
                    target = f"{TO_REACH} a second, {GROWTH:.0f} MB more at most"
                    reached = rate >= TO_REACH and peak - least <= GROWTH
                    verdict = "pass" if reached else "MISS"
                rows.append([way, *map(str, figures), f"{peak:.0f}", target, verdict])
    print_table("plans for a period, embedded ISPyB", COLUMNS, rows)


if __name__ == "__main__":
    main()
