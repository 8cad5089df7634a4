"""How long ``mimas-diff`` takes on large plans: ``python -m tests.benchmarks.bench_diff``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

COLLECTIONS = 20_000
_RECIPES = ("archive-nexus", "processing-rlv-eiger", "generate-diffraction-preview")
_JOBS = ("autoprocessing-fast-dp-eiger", "autoprocessing-xia2-dials-eiger", "autoPROC-eiger")


def lines(collections: int, every: int) -> Iterator[str]:
    """Yield a plan of six tasks a collection; in one of *every* some parameters are others."""
    for dcid in range(1, collections + 1):
        notes = {"rule": "rotation-end", "event": "END", "beamline": f"i0{dcid % 5}"}
        for recipe in _RECIPES:
            body = {"recipes": [recipe], "parameters": {"ispyb_dcid": dcid}}
            yield json.dumps({"queue": "processing_recipe", "message": body, **notes}) + "\n"
        for recipe in _JOBS:
            level = "high" if every and dcid % every == 0 else "medium"
            content = {
                "DCID": dcid, "autostart": True, "recipe": recipe, "source": "automatic",
                "comment": "", "displayname": recipe,
                "parameters": [
                    {"key": "resolution.cc_half_significance_level", "value": "0.1"},
                    {"key": "absorption_level", "value": level},
                    {"key": "spacegroup", "value": "P212121"},
                    {"key": "unit_cell", "value": "78.1,78.2,37.3,90.0,90.0,90.0"},
                ],
                "sweeps": [{"DCID": dcid, "start": 1, "end": 3600}],
                "triggervariables": [],
            }  # fmt: skip
            body = {"parameters": {"ispyb_command": "create_ispyb_job"}, "content": content}
            yield json.dumps({"queue": "ispyb_connector", "message": body, **notes}) + "\n"


def main() -> None:
    """Print seconds and memory."""
    command = [sys.executable, "-c", "from dlstbx_cli.commands.mimas_diff import main; main()"]
    with tempfile.TemporaryDirectory() as directory:
        plans = {}
        for name, every in (("old", 0), ("few", 100), ("all", 1)):
            plans[name] = Path(directory) / f"{name}.jsonl"
            with plans[name].open("w") as stream:
                stream.writelines(lines(COLLECTIONS, every))
        plans["empty"] = Path(directory) / "empty.jsonl"
        plans["empty"].touch()
        for name, path in plans.items():
            begun = time.perf_counter()
            process = subprocess.Popen(
                [*command, str(plans["old"]), str(path)], stdout=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            print(
                f"mimas-diff, {COLLECTIONS} collections x 6 tasks, old and {name}:"
                f" {seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s of the processor),"
                f" {usage.ru_maxrss / 1024:.0f} MB, exit code"
                f" {os.waitstatus_to_exitcode(status)}"
            )


if __name__ == "__main__":
    main()
