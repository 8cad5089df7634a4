"""Ten thousand held jobs at one ``backlog-release --listen``, for minutes without any room.

``bin/bench backlog``. The releaser is a process of its own, on a real broker; what passes
between the two is counted by a relay, and on RabbitMQ by its management as well. In the end
there is room for some, which must come in the order of the policy.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dlstbx_cli.transport.stomp.settings import settings
from tests.benchmarks.table import print_table
from tests.servers import mariadb
from tests.soak import held, holding, site

_COLUMNS = ["what", "measured", "to reach", ""]
#: What RabbitMQ counts of a queue's messages.
_COUNTED = ("publish", "deliver", "redeliver", "ack")


def verdict(what: str, shown: str, limit: str, reached: bool) -> list[str]:
    """Return a row of a table: reached or missed."""
    return [what, shown, limit, "pass" if reached else "MISS"]


def managed(wire: site.Wire) -> Counter[str]:
    """Return what RabbitMQ has counted at the queues of held and of released jobs."""
    if wire.kind != "rabbitmq":
        return Counter()
    time.sleep(2)  # its numbers are a second old
    vhost = settings(wire.url).vhost
    found: Counter[str] = Counter()
    for row in wire.server.management("GET", f"queues/{quote(vhost, safe='')}"):
        if row["name"].endswith((held.QUEUE, held.RELEASED)):
            told = row.get("message_stats", {})
            found.update({name: told.get(name, 0) for name in _COUNTED})
    return found


def measure(wire: site.Wire, state: str, folder: Path, chosen: Any) -> list[list[str]]:
    """Do it all; return the rows of the table."""
    number, free = chosen.messages, chosen.room
    with holding.trial(wire, state, folder) as trial:
        trial.fill(number)
        rate = trial.take_in(number)
        before = managed(wire)
        kept = trial.keep(60 * chosen.minutes)
        at_queues = managed(wire) - before
        came = trial.make_room(free)
        left, code = trial.held(), trial.finish()
        complaints = trial.complaints()
    again = holding.told_again(kept)
    order = came.jobs == holding.expected(number, free)
    told = ", ".join(f"{count} {name}" for name, count in at_queues.items()) or "none"
    rows = [
        [f"taken in, {number} jobs", f"{rate:.0f} messages/s", "", ""],
        verdict(
            f"sent or received again in {kept.seconds:.0f} s", ", ".join(again) or "none", "none",
            not again,
        ),
        verdict("memory at most", f"{kept.memory:.0f} MB", "150 MB", kept.memory < 150),
        ["processor meanwhile", f"{100 * kept.processor / kept.seconds:.2f} %", "", ""],
        verdict(
            f"room for {free}: released", str(len(came.jobs)), str(free), len(came.jobs) == free
        ),
        verdict("in the order of the policy", "yes" if order else "no", "yes", order),
        ["the first of them after", f"{came.first:.2f} s", "", ""],
        verdict("the last of them after", f"{came.last:.2f} s", "2 s", came.last < 2),
        verdict("still held", str(left), str(number - free), left == number - free),
        verdict(
            "ended", f"{code}, {len(complaints)} complaints", "0", code == 0 and not complaints
        ),
    ]  # fmt: skip
    if wire.kind == "rabbitmq":
        rows.insert(2, verdict("counted by RabbitMQ", told, "none", not at_queues))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Measure as the arguments say; return the exit code."""
    parser = argparse.ArgumentParser(prog="bin/bench backlog", description=__doc__)
    parser.add_argument("--broker", choices=("rabbitmq", "activemq"), default="rabbitmq")
    parser.add_argument("--state", choices=("sqlite", "mariadb"), default="sqlite")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0, help="without any room")
    parser.add_argument("--room", type=int, default=200, help="for so many in the end")
    chosen = parser.parse_args(arguments)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dlstbx-bench-")))
        state = f"sqlite:///{folder}/state.sqlite3"
        if chosen.state == "mariadb":
            state = stack.enter_context(mariadb.serving(())).state_url()
        wire = stack.enter_context(site.wire(chosen.broker, folder))
        rows = measure(wire, state, folder, chosen)
    title = f"{chosen.messages} held jobs, {chosen.broker}, state in {chosen.state}"
    print_table(title, _COLUMNS, rows)
    return 1 if any(row[-1] == "MISS" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
