"""Jobs and look-ups on a MariaDB over loopback, against the ``ispyb`` package's own way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from dlstbx_cli.database.connection import connect
from dlstbx_cli.database.demo import collections, fill
from dlstbx_cli.database.jobs import IspybJobs
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.database.state import JobState
from dlstbx_cli.services.ispyb_job import Job, Sweep
from dlstbx_cli.services.message import new_id
from tests.benchmarks.table import print_table
from tests.servers.mariadb import OWNER, PASSWORD, serving

BIN = Path(__file__).parent.parent.parent / "bin"
ROUNDS = 60
DCID = 993677


def job(parameters: int) -> Job:
    pairs = tuple((f"key{number}", "value") for number in range(parameters))
    return Job(DCID, True, "recipe", "display", "", pairs, (Sweep(DCID, 1, 3600),))


def milliseconds(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    work()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return 1000 * median(times)


def theirs(server: Any, name: str, parameters: int) -> Callable[[], None]:
    """Return what writes a job by the ispyb package, each call committed by itself."""
    import ispyb

    server.execute(f"GRANT ALL ON {name}.* TO {OWNER}@localhost IDENTIFIED BY '{PASSWORD}'")
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(
            f"[ispyb_mariadb_sp]\nuser = {OWNER}\npw = {PASSWORD}\nhost = 127.0.0.1\n"
            f"port = {server.port}\ndb = {name}\n"
        )
        file.flush()
        database = ispyb.open(file.name)
    mx = database.mx_processing

    def write() -> None:
        params = mx.get_job_params()
        params.update(datacollectionid=DCID, display_name="display", recipe="recipe", automatic=1)
        number = mx.upsert_job(list(params.values()))
        for place in range(parameters):
            one = mx.get_job_parameter_params()
            one.update(job_id=number, parameter_key=f"key{place}", parameter_value="value")
            mx.upsert_job_parameter(list(one.values()))
        sweep = mx.get_job_image_sweep_params()
        sweep.update(job_id=number, datacollectionid=DCID, start_image=1, end_image=3600)
        mx.upsert_job_image_sweep(list(sweep.values()))

    return write


def databases(server: Any, name: str, state: str) -> list[list[str]]:
    engine = connect(server.service_url(name))
    jobs = IspybJobs(engine, JobState.at(state))
    lookup = Lookup(engine)
    dcids = [one.dcid for one in collections(engine)]
    times = [
        milliseconds(lambda dcid=dcid: lookup({"parameters": {"ispyb_dcid": dcid}}), 5)
        for dcid in dcids
    ]
    rows = [["look-up, median of the demo collections", f"{median(times):.1f} ms", "10 ms"]]
    for parameters, limit in ((2, "6 ms"), (13, "10 ms")):
        ours = milliseconds(lambda n=parameters: jobs.create(new_id(), job(n)))
        package = milliseconds(theirs(server, name, parameters), 15)
        what = f"job, {parameters} parameters, one sweep"
        rows.append([what, f"{ours:.1f} ms ({ours / package:.2f} x ispyb's own)", limit])
    return rows


def processes(environment: dict[str, str]) -> list[list[str]]:
    bare = [sys.executable, "-c", "import click, sqlalchemy"]
    trigger = subprocess.run(
        [BIN / "dlstbx.go", "--stdout", "-r", "mimas", "-s", "event=end", str(DCID)],
        env=environment, capture_output=True, check=True,
    ).stdout  # fmt: skip
    commands = {
        "recipe-dispatch": ([BIN / "recipe-dispatch"], trigger),
        "ispyb-create-job": (
            [BIN / "ispyb-create-job", f"--dcid={DCID}", "--recipe=x", "--add-param=a:b"], b"",
        ),
    }  # fmt: skip
    rows = []
    for name, (command, stdin) in commands.items():
        pairs = [(_run(command, environment, stdin), _run(bare, environment)) for _ in range(9)]
        ours, base = (median(column) for column in zip(*pairs, strict=True))
        times = f"{ours / base:.2f} x import click, sqlalchemy"
        rows.append([f"{name}, whole process", f"{ours * 1e3:.0f} ms, {times}", "2.2 x"])
    return rows


def _run(command: list[Any], environment: dict[str, str], stdin: bytes = b"") -> float:
    begin = time.perf_counter()
    subprocess.run(command, env=environment, input=stdin, capture_output=True, check=True)
    return time.perf_counter() - begin


def main() -> None:
    with serving() as server, tempfile.TemporaryDirectory() as home:
        name = server.ispyb()
        owner = connect(server.url(name))
        fill(owner)
        owner.dispose()
        environment = {
            **os.environ,
            "DLSTBX_HOME": home,
            "DLSTBX_ISPYB": server.service_url(name),
        }
        state = f"sqlite:///{home}/state.sqlite3"
        rows = databases(server, name, state) + processes(environment)
    print_table("MariaDB over loopback", ["what", "measured", "to reach"], rows)


if __name__ == "__main__":
    main()
