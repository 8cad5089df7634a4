"""Jobs on a MariaDB, while ``ispyb-create-job --listen`` is killed: each exactly once.

Requests wait on the embedded broker; the listeners are killed (SIGKILL) at random instants,
and the database server too if that is asked for. In the end there must be one job for each
request, whole, and triggered or held once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlstbx_cli.services.message import Message, Queue, new_id
from dlstbx_cli.transport.broker import connect

BIN = Path(__file__).parent.parent.parent / "bin"
_RESULTS = ("processing_recipe", "mimas.held")
#: Seconds that a fresh listener works on its first requests: it is killed within them.
_WORK = 0.05


def run(
    database: Any,
    jobs: int,
    kills: int,
    instances: int,
    server_kills: int,
    dice: random.Random,
    say: Any = print,
) -> list[str]:
    """Run the soak on a running server; return what went wrong, in words."""
    with tempfile.TemporaryDirectory(prefix="dlstbx-soak-") as folder:
        environment, name = _site(Path(folder), database)
        broker = connect(environment["DLSTBX_BROKER"])
        with closing(broker):
            began = time.monotonic()
            running = [_start(environment) for _ in range(instances)]
            try:
                requests = [_request(number) for number in range(jobs)]
                storm = Storm(environment, database, broker, running, dice)
                struck = storm.rage(requests, kills, server_kills)
                _finish(broker, jobs)
            finally:
                for process in running:
                    process.kill()
                    process.wait()
            states = {state.name: state for state in broker.states()}
            results = [message for queue in _RESULTS for message in broker.peek(queue)]
        took = time.monotonic() - began
        say(
            f"{jobs} jobs, {kills} kills of {instances} listener(s),"
            f" {struck} with a request in hand, {server_kills} of the server, {took:.0f} s:"
            f" {len(results)} triggered or held"
        )
        return _faults(database, name, jobs, results, states)


def _site(folder: Path, database: Any) -> tuple[dict[str, str], str]:
    from dlstbx_cli.database.connection import connect as engine
    from dlstbx_cli.database.demo import fill

    name = database.ispyb()
    facility = engine(database.url(name))
    fill(facility)
    facility.dispose()
    environment = {
        **os.environ,
        "DLSTBX_HOME": str(folder),
        "DLSTBX_BROKER": f"sqlite:///{folder}/queue.sqlite3",
        "DLSTBX_ISPYB": database.service_url(name),
        "DLSTBX_STATE": database.state_url(),
    }
    environment.pop("ZOCALO_CONFIG", None)
    return environment, name


def _request(number: int) -> Message:
    content = {
        "DCID": 993677,
        "autostart": number % 2 == 0,
        "recipe": f"recipe-{number}",
        "source": "automatic",
        "parameters": [{"key": f"k{place}", "value": "v"} for place in range(number % 5)],
        "sweeps": [
            {"DCID": 993677, "start": 1, "end": 90 + place} for place in range(1 + number % 3)
        ],
    }
    body = {"parameters": {"ispyb_command": "create_ispyb_job"}, "content": content}
    return Message(Queue("ispyb_connector"), body, {"dlstbx-id": new_id()})


def _start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # One request may be in hand at each kill, and none is to be given up here.
        [BIN / "ispyb-create-job", "--listen", "--max-attempts", "1000"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@dataclass
class Storm:
    """What befalls the listeners."""

    environment: dict[str, str]
    database: Any
    broker: Any
    running: list[subprocess.Popen[bytes]]
    dice: random.Random

    def rage(self, requests: list[Message], kills: int, server_kills: int) -> int:
        """Kill listeners and start them again; return how many had a request in hand.

        The requests come in small parts, one before each death: sent all at once, they
        would be done after the first few, and the other deaths would find nothing to harm.
        """
        servers = set(self.dice.sample(range(kills), server_kills))
        struck = 0
        for number in range(kills):
            part = slice(number * len(requests) // kills, (number + 1) * len(requests) // kills)
            self.broker.send(requests[part])
            self._await_work()
            time.sleep(self.dice.uniform(0, _WORK))
            if number in servers:
                self.database.kill()
            victim = self.dice.randrange(len(self.running))
            self.running[victim].send_signal(signal.SIGKILL)
            self.running[victim].wait()
            struck += self._in_hand()
            if number in servers:
                # So long the others see a server that is away.
                time.sleep(self.dice.uniform(0, 1))
                self.database.start()
            self.running[victim] = _start(self.environment)
        return struck

    def _await_work(self) -> None:
        """Wait until a listener has taken a request; now and then, do not wait for that."""
        if self.dice.random() < 0.1:
            time.sleep(self.dice.uniform(0, 0.4))
            return
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            state = {one.name: one for one in self.broker.states()}.get("ispyb_connector")
            if state is None or state.in_hand:
                return
            time.sleep(0.002)

    def _in_hand(self) -> bool:
        """Tell whether a request is in hand; the broker itself would give a dead one's back."""
        path = self.environment["DLSTBX_BROKER"].removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as file:
            question = "SELECT EXISTS (SELECT 1 FROM messages WHERE consumer IS NOT NULL)"
            return bool(file.execute(question).fetchone()[0])


def _finish(broker: Any, jobs: int) -> None:
    """Wait until all requests are handled, or nothing happens any more."""
    last, since = -1, time.monotonic()
    while True:
        states = {state.name: state for state in broker.states()}
        done = sum(states[name].ready for name in _RESULTS if name in states)
        if done >= jobs and "ispyb_connector" not in states:
            return
        if done != last:
            last, since = done, time.monotonic()
        if time.monotonic() - since > 90:
            return
        time.sleep(0.2)


def _faults(
    database: Any, name: str, jobs: int, results: list[Message], states: dict[str, Any]
) -> list[str]:
    """Compare what there is with what there should be."""
    rows = database.execute(
        "SELECT j.processingJobId, j.recipe,"
        " (SELECT count(*) FROM ProcessingJobParameter p"
        "  WHERE p.processingJobId = j.processingJobId),"
        " (SELECT count(*) FROM ProcessingJobImageSweep s"
        "  WHERE s.processingJobId = j.processingJobId) FROM ProcessingJob j",
        database=name,
    )
    made = {recipe: (job, parameters, sweeps) for job, recipe, parameters, sweeps in rows}
    faults = [] if len(rows) == jobs else [f"{len(rows)} jobs instead of {jobs}"]
    for number in range(jobs):
        _, parameters, sweeps = made.get(f"recipe-{number}", (None, None, None))
        if (parameters, sweeps) != (number % 5, 1 + number % 3):
            faults.append(f"request {number}: {parameters} parameters, {sweeps} sweeps")
    sent = Counter(message.body["parameters"]["ispyb_process"] for message in results)
    faults += [f"job {job} was sent {times} times" for job, times in sent.items() if times != 1]
    faults += [f"job {job} was not sent" for job, *_ in rows if job not in sent]
    faults += [f"left in {queue}" for queue in states if queue not in _RESULTS]
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Run the soak as the arguments say; return the exit code."""
    from tests.servers.mariadb import serving

    parser = argparse.ArgumentParser(prog="bin/soak jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--instances", type=int, default=1)
    parser.add_argument("--server-kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args(arguments)
    print(json.dumps(vars(chosen)))
    with serving(()) as database:
        faults = run(
            database, chosen.jobs, chosen.kills, chosen.instances, chosen.server_kills,
            random.Random(chosen.seed),
        )  # fmt: skip
    for fault in faults:
        print(f"WRONG: {fault}")
    print("all is well" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
