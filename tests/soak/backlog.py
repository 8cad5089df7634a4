"""Held jobs and clusters with little room, while the releasers are killed, and the broker.

Releasers (``backlog-release --listen``) are killed (SIGKILL) at random instants and started
again, sometimes all at once. In the end each job must have been released, with the identity
that follows from its held message; never may more jobs wait for a cluster, or be on their way
to it, than its limit. A releaser that dies between sending a job and writing that down leaves
it to be sent again, under the same identity: such repeats are counted.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import exists, select

from dlstbx_cli.database.connection import reading
from dlstbx_cli.database.held import HeldJobs
from dlstbx_cli.database.held_tables import GOING, JOBS
from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.transport.broker import connect
from tests.soak import audit, held, site
from tests.soak.clusters import Clusters

_QUEUES = (held.QUEUE, held.RELEASED, f"dlq.{held.QUEUE}", f"dlq.{held.RELEASED}")
#: How many jobs have been sent, as a share, when the first is killed.
_AT_ONCE = 0.3
#: Seconds: what has been claimed for longer was left by one that died before.
_FRESH = 0.2


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    :param clusters: so many, with *limit* jobs each.
    :param pace: see ``held.Releasers``.
    :param timeout: seconds without any progress after which all is given up.
    """

    jobs: int = 1000
    kills: int = 50
    broker_kills: int = 2
    instances: int = 2
    clusters: int = 4
    limit: int = 50
    pace: float = 1.0
    timeout: float = 150.0

    @property
    def names(self) -> list[str]:
        """The clusters' names."""
        return [f"c{number}" for number in range(self.clusters)]


def run(
    broker: site.Wire,
    state: str,
    folder: Path,
    plan: Plan,
    dice: random.Random,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Run the soak on a running broker; return what went wrong, in words."""
    options = [f"--limit={name}={plan.limit}" for name in plan.names]
    releasers = held.Releasers(folder, broker.url, state, options, plan.pace)
    # Dice of their own: threads would throw them in another order each time.
    others = random.Random(dice.random())
    clusters = Clusters(broker.url, plan.names, plan.limit, plan.pace, others)
    storm = Storm(broker, plan, dice, releasers, clusters, HeldJobs.at(state), say)
    began = time.monotonic()
    try:
        storm.begin()
        storm.rage()
        say(f"{plan.jobs} jobs sent, {time.monotonic() - began:.0f} s")
        storm.settle()
        faults = storm.finish()
    finally:
        storm.end()
    claimed = audit.claims(state)
    peaks = [
        max(audit.peak(clusters, name, claimed, repeats=repeats) for name in plan.names)
        for repeats in (False, True)
    ]
    for line in _report(plan, storm, peaks, time.monotonic() - began):
        say(line)
    if peaks[0] > plan.limit:
        faults.append(f"{peaks[0]} waited or were on their way, the limit is {plan.limit}")
    faults += audit.missing(plan.jobs, clusters.copies, claimed)
    return faults + storm.faults + releasers.complaints()


def _report(plan: Plan, storm: Storm, peaks: Sequence[int], took: float) -> list[str]:
    again = audit.repeats(storm.clusters.copies, storm.outages)
    counts = again.by_releasers
    return [
        f"{plan.jobs} jobs, {plan.clusters} clusters with {plan.limit} each; {plan.kills} kills of"
        f" {plan.instances} releasers, {storm.struck} with a claim in hand,"
        f" {len(storm.outages)} of the broker, {took:.0f} s",
        f"{len(storm.clusters.arrived)} jobs released, {counts.total()} repeats under the same"
        f" identity, of {len(counts)} jobs, each at most {max(counts.values(), default=0)};"
        f" {again.by_broker} delivered again by the broker",
        f"waiting or on their way at most: {peaks[0]} of {plan.limit};"
        f" with the repeats as jobs of their own: {peaks[1]}",
    ]


@dataclass
class Storm:
    """The releasers, and what befalls them.

    :param struck: deaths while a job had just been claimed, and not yet marked released.
    :param outages: when the broker was killed.
    """

    broker: site.Wire
    plan: Plan
    dice: random.Random
    releasers: held.Releasers
    clusters: Clusters
    store: HeldJobs
    say: Callable[[str], None]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    struck: int = 0
    _sent: int = 0
    _link: Any = None

    def begin(self) -> None:
        """Start all, and connect."""
        self._link = connect(self.broker.url)
        if self.plan.broker_kills:
            self.broker.let_grow_old(held.QUEUE, held.RELEASED)
        self.store.clusters()  # makes the tables
        self.clusters.start()
        self.running = [self.releasers.start() for _ in range(self.plan.instances)]

    def rage(self) -> None:
        """Send the jobs bit by bit, and kill."""
        plan = self.plan
        outages = set(self.dice.sample(range(plan.kills), plan.broker_kills))
        for number in range(plan.kills):
            done = (number + 1) / plan.kills
            self._send(int(plan.jobs * (_AT_ONCE + (1 - _AT_ONCE) * done)))
            self._take_aim()
            if number in outages:
                self._kill_broker()
            self._kill()
            self._await(int(0.9 * plan.jobs * (number + self.dice.random()) / plan.kills))
            if number % 10 == 9:
                self.say(f"{number + 1} kills, {len(self.clusters.arrived)} jobs released")

    def settle(self) -> None:
        """Wait until all is released, or nothing happens any more."""
        last, since = (-1, False), time.monotonic()
        while time.monotonic() - since < self.plan.timeout:
            # Whatever goes again does so after a lease, and is seen as going until then.
            now = (len(self.clusters.copies), self._going())
            if now != last:
                last, since = now, time.monotonic()
            complete = len(self.clusters.arrived) == self.plan.jobs and not now[1]
            if complete and time.monotonic() - since > 3:
                return
            self._look_after()
            time.sleep(0.05)

    def finish(self) -> list[str]:
        """End the releasers; return what they have left behind, in words."""
        codes = site.end(self.running)
        self.running = []
        faults = [f"ended with {code} when told to end" for code in codes if code != 0]
        self.clusters.stop()
        with closing(connect(self.broker.url)) as link:
            for queue in _QUEUES:
                faults += [f"left in {queue}: {one.identity}" for one in link.peek(queue, 5)]
        return faults

    def end(self) -> None:
        """Let nothing go on, whatever has happened."""
        for process in self.running:
            process.kill()
            process.wait()
        self.clusters.stop()
        if self._link is not None:
            self._link.close()

    # --- deeds -----------------------------------------------------------------------

    def _kill(self) -> None:
        """Kill one; now and then all at once."""
        all_of_them = self.dice.random() < 0.3
        chosen = self.dice.randrange(len(self.running))
        victims = [n for n in range(len(self.running)) if all_of_them or n == chosen]
        for number in victims:
            self.running[number].kill()
        for number in victims:
            self.running[number].wait()
        self.struck += self._going(_FRESH)
        for number in victims:
            self.running[number] = self.releasers.start()

    def _kill_broker(self) -> None:
        self.outages.append(time.time())
        self.broker.server.kill()
        # So long the others see a broker that is away.
        time.sleep(self.dice.uniform(0, 2))
        self.broker.server.start()

    def _take_aim(self) -> None:
        """Wait until jobs are being released, or taken in; now and then for nothing."""
        choice = self.dice.random()
        if choice < 0.3:
            time.sleep(self.dice.uniform(0, 0.1))
        elif choice < 0.5:
            time.sleep(self.dice.uniform(0, 1))
        else:
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline and not self._going(_FRESH):
                time.sleep(0.001)
            time.sleep(self.dice.uniform(0, 0.006))

    # --- between them ----------------------------------------------------------------

    def _await(self, number: int) -> None:
        """Wait until so many jobs have come."""
        last, since = -1, time.monotonic()
        while (come := len(self.clusters.arrived)) < number:
            if come != last:
                last, since = come, time.monotonic()
            if time.monotonic() - since > self.plan.timeout:
                raise TimeoutError(f"{come} jobs, no new one in {self.plan.timeout:g} s")
            self._look_after()
            time.sleep(0.05)

    def _send(self, until: int) -> None:
        names = self.plan.names
        messages = [
            held.held(number, visit=f"mx{number % 7}-1", cluster=names[number % len(names)])
            for number in range(self._sent, until)
        ]
        self._sent = until
        try:
            self._link.send(messages)
        except Unavailable as error:
            # Those that are there already have the same identity.
            self.say(f"sent again: {error}")
            with suppress(Unavailable):
                self._link.close()
            self._link = connect(self.broker.url)
            self._link.send(messages)

    def _look_after(self) -> None:
        for number, process in enumerate(self.running):
            if process.poll() is not None:
                self.faults.append(f"ended by itself, with {process.returncode}")
                self.running[number] = self.releasers.start()

    def _going(self, within: float = 1e6) -> bool:
        """Tell whether a job is claimed, and not marked released, since so many seconds."""
        since = JOBS.c.changed > int(1000 * (time.time() - within))
        with reading(self.store._engine) as connection:
            found = select(exists().where(JOBS.c.state == GOING, since))
            return bool(connection.scalar(found))


def main(arguments: list[str] | None = None) -> int:
    """Run the soak as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="bin/soak backlog", description=__doc__)
    usual = Plan()
    parser.add_argument("--broker", choices=site.BROKERS, default="rabbitmq")
    parser.add_argument("--state", choices=("sqlite", "mariadb"), default="mariadb")
    parser.add_argument("--jobs", type=int, default=usual.jobs)
    parser.add_argument("--kills", type=int, default=usual.kills)
    parser.add_argument("--broker-kills", type=int, default=usual.broker_kills)
    parser.add_argument("--instances", type=int, default=usual.instances)
    parser.add_argument("--clusters", type=int, default=usual.clusters)
    parser.add_argument("--limit", type=int, default=usual.limit, help="of each cluster")
    parser.add_argument("--pace", type=float, default=1.0, help="divide lease and settling by it")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args(arguments)
    if chosen.broker == "sqlite":
        chosen.broker_kills = 0  # it is a file
    print(json.dumps(vars(chosen)), flush=True)
    plan = Plan(
        chosen.jobs, chosen.kills, chosen.broker_kills, chosen.instances, chosen.clusters,
        chosen.limit, chosen.pace,
    )  # fmt: skip

    def say(text: str) -> None:
        print(text, flush=True)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dlstbx-soak-")))
        state = f"sqlite:///{folder}/state.sqlite3"
        if chosen.state == "mariadb":
            from tests.servers.mariadb import serving

            state = stack.enter_context(serving(())).state_url()
        broker = stack.enter_context(site.wire(chosen.broker, folder))
        faults = run(broker, state, folder, plan, random.Random(chosen.seed), say)
    for fault, times in Counter(faults).most_common(50):
        print(f"WRONG: {fault}" + (f" ({times} times)" if times > 1 else ""))
    print("all is well" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
