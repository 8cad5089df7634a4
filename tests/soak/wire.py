"""Triggers through all four stages on a real broker, while listeners and broker are killed.

Listeners are killed (SIGKILL) at random instants and started again, the broker too. In the
end every planned job must be in ISPyB once, with its parameters and sweeps; every recipe must
have been started, with the identity that follows from its trigger; nothing may be left in a
queue or be a dead letter. A broker over STOMP delivers again what a dead listener had in
hand, so some recipes may be started more than once: that is counted.
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
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.message import Message
from dlstbx_cli.transport.broker import connect
from tests.soak import forecast
from tests.soak.site import BROKERS, END, STAGES, Site, Wire, end, site, statistic, wire

#: Messages that a listener has received and not acknowledged, at most (see dlstbx(5)).
WINDOW = 20
#: How many triggers may be on their way: sent all at once, they would be planned after the
#: first few kills, and the others would find nothing to harm.
_ON_THE_WAY = 12
#: Seconds of silence after which nothing more is expected.
_SILENCE = 4.0
_QUEUES = ("processing_recipe", "mimas", "ispyb_connector", "mimas.held")
#: Seconds between two statistics, of which some say that the cluster is full.
_STATISTICS = 0.5
_FULL = 0.2


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    :param instances: listeners of each stage.
    :param victims: the stages whose listeners are killed.
    :param timeout: seconds without any progress after which all is given up.
    """

    triggers: int = 1000
    kills: int = 50
    broker_kills: int = 3
    instances: int = 2
    timeout: float = 120.0
    victims: tuple[str, ...] = STAGES

    @property
    def deaths(self) -> int:
        """How many listeners lost what they had in hand; a broker's death strikes them all."""
        return self.kills + self.broker_kills * self.instances * len(STAGES)


def run(
    mariadb: Any,
    broker: Wire,
    plan: Plan,
    dice: random.Random,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Run the soak on running servers; return what went wrong, in words."""
    expected = forecast.forecast(forecast.facility(), plan.triggers, dice)
    began = time.monotonic()
    with site(mariadb, broker) as place:
        storm = Storm(place, broker, plan, expected, dice, say)
        try:
            storm.begin()
            storm.rage()
            say(f"{plan.triggers} triggers sent, {time.monotonic() - began:.0f} s")
            storm.settle()
            left = storm.finish()
            for stage in STAGES if storm.faults or left else ():
                for line in storm.words(stage)[-5:]:
                    say(f"{stage} said: {line}")
        finally:
            storm.end()
        verdict = forecast.judge(expected, storm.started, forecast.jobs_in(mariadb, place.database))
    faults = [*storm.faults, *verdict.faults, *left]
    if plan.broker_kills == 0 and broker.server is None and verdict.excess:
        faults.append("the embedded broker promises that nothing is done twice")
    if verdict.excess > plan.deaths * WINDOW:
        faults.append(f"{verdict.excess} starts too many")
    for line in _report(plan, expected, verdict, time.monotonic() - began):
        say(line)
    return faults


def _report(
    plan: Plan, expected: forecast.Forecast, verdict: forecast.Verdict, took: float
) -> list[str]:
    doubled = sum(number > 1 for number in verdict.copies.values())
    most = max(verdict.copies.values(), default=0)
    kept = "kept" if verdict.excess <= plan.kills + plan.broker_kills else "not kept"
    return [
        f"{plan.triggers} triggers, {expected.jobs[-1]} jobs, {len(expected.starts)} recipes;"
        f" {plan.kills} kills, {plan.broker_kills} of the broker, {took:.0f} s:"
        f" {verdict.copies.total()} recipes started",
        f"{verdict.excess} starts in excess, of {doubled} recipes, each at most {most} times;"
        f" {verdict.whole} triggers were carried out twice as a whole",
        f"at most one for each kill ({plan.kills + plan.broker_kills}): {kept};"
        f" {plan.deaths} listeners lost what they had in hand,"
        f" x window = {plan.deaths * WINDOW}",
    ]


@dataclass
class Storm:
    """The listeners, and what befalls them."""

    site: Site
    broker: Wire
    plan: Plan
    expected: forecast.Forecast
    dice: random.Random
    say: Callable[[str], None]
    running: dict[tuple[str, int], subprocess.Popen[bytes]] = field(default_factory=dict)
    started: list[Message] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _link: Any = None
    _told: float = 0.0

    def begin(self) -> None:
        """Start all listeners, and connect."""
        for stage in STAGES:
            for number in range(self.plan.instances):
                self.running[stage, number] = self.site.start(stage)
        self._link = connect(self.broker.url)
        if self.plan.broker_kills:
            self.broker.let_grow_old(*_QUEUES, END)

    def rage(self) -> None:
        """Send the triggers, not faster than they are handled; kill as the dice say."""
        triggers, plan = self.plan.triggers, self.plan
        deeds = [(self.dice.randrange(triggers), self._kill) for _ in range(plan.kills)]
        # Not at the very beginning and end: where something is in hand.
        deeds += [
            (self.dice.randrange(triggers // 10, triggers), self._kill_broker)
            for _ in range(plan.broker_kills)
        ]
        deeds.sort(key=lambda deed: deed[0])
        for number, trigger in enumerate(self.expected.triggers):
            self._send([trigger])
            self._await(number - _ON_THE_WAY)
            while deeds and deeds[0][0] <= number:
                self._pause(self.dice.uniform(0, 0.7))
                deeds.pop(0)[1]()
            if number and number % 100 == 0:
                self.say(f"{number} triggers sent, {self._jobs()} jobs, {len(deeds)} kills left")

    def settle(self) -> None:
        """Take what has arrived at the end, until all has, or nothing comes any more."""
        missing = set(self.expected.starts)
        began = last = time.monotonic()
        with closing(connect(self.broker.url)) as link, closing(link.consumer(END)) as consumer:
            while time.monotonic() - last < self.plan.timeout:
                self._pause(0)
                delivery = consumer.receive(0.2)
                if delivery is not None:
                    consumer.commit(delivery, [])
                    self.started.append(delivery.message)
                    missing.discard(delivery.message.identity)
                    last = time.monotonic()
                elif not missing and time.monotonic() - last > _SILENCE:
                    # What comes twice may be on its way yet, through all stages.
                    if not any(self._look(queue) for queue in _QUEUES):
                        break
                    self._pause(1)
        self.say(f"settled, {time.monotonic() - began:.0f} s")

    def finish(self) -> list[str]:
        """End the listeners; return what they have left behind, in words."""
        codes = end(list(self.running.values()))
        faults = [
            f"{stage} ended with {code} when told to end"
            for (stage, _), code in zip(self.running, codes, strict=True)
            if code != 0
        ]
        self.running.clear()
        for queue in (*_QUEUES, *(f"dlq.{name}" for name in _QUEUES), END):
            faults += [f"left in {queue}: {dict(message.headers)}" for message in self._look(queue)]
        if self.broker.kind == "activemq":
            with closing(connect(self.broker.top)) as top:
                faults += [f"in ActiveMQ.DLQ: {one.headers}" for one in top.peek("ActiveMQ.DLQ", 5)]
        return faults + self._complaints()

    def end(self) -> None:
        """Let nothing go on, whatever has happened."""
        for process in self.running.values():
            process.kill()
            process.wait()
        if self._link is not None:
            self._link.close()

    # --- deeds -----------------------------------------------------------------------

    def _kill(self) -> None:
        place = self.dice.choice([one for one in self.running if one[0] in self.plan.victims])
        self.running[place].kill()
        self.running[place].wait()
        self.running[place] = self.site.start(place[0])

    def _kill_broker(self) -> None:
        self.broker.server.kill()
        # So long the others see a broker that is away.
        time.sleep(self.dice.uniform(0, 2))
        self.broker.server.start()
        self._reconnect()

    # --- between them ----------------------------------------------------------------

    def _await(self, number: int) -> None:
        """Wait until the jobs of trigger *number*, and of all before it, are there."""
        if number < 0:
            return
        last, since = -1, time.monotonic()
        while (jobs := self._jobs()) < self.expected.jobs[number]:
            if jobs != last:
                last, since = jobs, time.monotonic()
            if time.monotonic() - since > self.plan.timeout:
                raise TimeoutError(f"{jobs} jobs, no new one in {self.plan.timeout:g} s")
            self._pause(0.05)

    def _pause(self, seconds: float) -> None:
        """Wait, with an eye on what must go on meanwhile."""
        until = time.monotonic() + seconds
        while True:
            self._tell()
            self._look_after()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _STATISTICS))

    def _tell(self) -> None:
        """Broadcast a statistic, if it is time for one."""
        if time.monotonic() - self._told < _STATISTICS:
            return
        self._told = time.monotonic()
        pending = 10**7 if self.dice.random() < _FULL else 0
        self._send([statistic(time.time(), pending)])

    def _look_after(self) -> None:
        for (stage, number), process in self.running.items():
            if process.poll() is not None:
                self.faults.append(f"{stage} ended by itself, with {process.returncode}")
                self.running[stage, number] = self.site.start(stage)

    def _send(self, messages: list[Message]) -> None:
        try:
            self._link.send(messages)
        except Unavailable as error:
            # Only if it was not stored: a second one of the same identity is ours then.
            self.say(f"sent again: {error}")
            self._reconnect()
            self._link.send(messages)

    def _reconnect(self) -> None:
        with suppress(Unavailable):
            self._link.close()
        self._link = connect(self.broker.url)

    def _jobs(self) -> int:
        question = "SELECT count(*) FROM ProcessingJob"
        return int(self.site.mariadb.execute(question, database=self.site.database)[0][0])

    def _look(self, queue: str) -> list[Message]:
        with closing(connect(self.broker.url)) as link:
            found: list[Message] = link.peek(queue, 5)
            return found

    def _complaints(self) -> list[str]:
        """Return what the listeners have said that points to a bug."""
        return [
            f"{stage} said: {line}"
            for stage in STAGES
            for line in self.words(stage)
            if "internal error" in line or "Traceback" in line
        ]

    def words(self, stage: str) -> list[str]:
        """Return the lines that the listeners of a stage have said."""
        return self.site.log(stage).read_text(encoding="utf-8", errors="replace").splitlines()


def main(arguments: list[str] | None = None) -> int:
    """Run the soak as the arguments say; return the exit code."""
    from tests.servers.mariadb import serving

    parser = argparse.ArgumentParser(prog="bin/soak wire", description=__doc__)
    parser.add_argument("--broker", choices=BROKERS, default="rabbitmq")
    parser.add_argument("--triggers", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--broker-kills", type=int, default=3)
    parser.add_argument("--instances", type=int, default=2, help="listeners of each stage")
    parser.add_argument(
        "--victim", choices=STAGES, action="append", help="kill listeners of this stage alone"
    )
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds without progress")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args(arguments)
    if chosen.broker == "sqlite":
        chosen.broker_kills = 0  # it is a file
    print(json.dumps(vars(chosen)), flush=True)
    plan = Plan(
        chosen.triggers, chosen.kills, chosen.broker_kills, chosen.instances, chosen.timeout,
        tuple(chosen.victim or STAGES),
    )  # fmt: skip

    def say(text: str) -> None:
        print(text, flush=True)

    with (
        serving(()) as mariadb,
        tempfile.TemporaryDirectory(prefix="dlstbx-soak-") as folder,
        wire(chosen.broker, Path(folder)) as broker,
    ):
        faults = run(mariadb, broker, plan, random.Random(chosen.seed), say)
    for fault, times in Counter(faults).most_common(50):
        print(f"WRONG: {fault}" + (f" ({times} times)" if times > 1 else ""))
    print("all is well" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
