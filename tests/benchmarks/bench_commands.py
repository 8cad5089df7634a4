"""Whole commands, as a beamline or a developer starts them: ratios of one run.

Each is measured against a Python that only imports what the command cannot do without,
alternating, so that both see the same load of the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.table import print_table

BIN = Path(__file__).parent.parent.parent / "bin"
ROUNDS = 15
SCENARIOS = 5000


def seconds(arguments: list[str], stdin: bytes = b"") -> float:
    start = time.perf_counter()
    subprocess.run(
        arguments, input=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - start


def ratio(command: list[str], imports: str) -> tuple[float, float]:
    """Return a command's median seconds, and how many times those of the bare imports."""
    bare = [sys.executable, "-c", f"import {imports}"]
    pairs = [(seconds(command), seconds(bare)) for _ in range(ROUNDS)]
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    return ours, ours / theirs


def scenario_lines() -> bytes:
    """Return scenarios of all beamlines, events, classes and detectors, as lines."""
    beamlines = ["i02-1", "i02-2", "i03", "i04", "i04-1", "i23", "i24", "i19-1", "i19-2", "i15"]
    classes = ["rotation", "gridscan", "screening", "characterization", "serial_jet"]
    lines = [
        json.dumps(
            {
                "dcid": 1000 + number,
                "event": ["start", "end"][number % 2],
                "dc_class": classes[number // 2 % 5],
                "beamline": beamlines[number // 10 % 10],
                "visit": "cm37235-4",
                "detectorclass": ["eiger", "pilatus"][number // 100 % 2],
                "sweep_list": [[1000 + number, 1, 3600]],
                "space_group": "P41212" if number % 3 else None,
                "preferred_processing": "xia2/DIALS",
            }
        )
        for number in range(SCENARIOS)
    ]
    return "\n".join(lines).encode() + b"\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["DLSTBX_HOME"] = home
        subprocess.run([BIN / "dlstbx-demo"], capture_output=True, check=True)
        go = [str(BIN / "dlstbx.go"), "--stdout", "-r", "mimas", "-s", "event=end", "993677"]
        plan = [str(BIN / "mimas-plan"), "993677"]
        rows = []
        for name, command, imports, limit in (
            ("dlstbx.go --stdout", go, "click", 3.0),
            ("mimas-plan DCID", plan, "click, sqlalchemy", 2.0),
        ):
            took, times = ratio(command, imports)
            rows.append(
                [name, f"{took * 1e3:.0f} ms", f"{times:.2f} x import {imports}", f"{limit} x"]
            )
        lines = scenario_lines()
        took = median(seconds([plan[0]], lines) for _ in range(5))
        rate = f"{SCENARIOS / took:.0f} lines/s"
        rows.append(
            [f"mimas-plan, {SCENARIOS} scenario lines", f"{took:.2f} s", rate, "3000 lines/s"]
        )
        took = median(seconds([str(BIN / "mimas-rules"), "--check"]) for _ in range(5))
        rows.append(["mimas-rules --check", f"{took:.2f} s", "all scenarios of our rules", "10 s"])
    print_table("whole commands", ["command", "median", "measured", "to reach"], rows)


if __name__ == "__main__":
    main()
