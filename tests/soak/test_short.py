"""Short forms of the soaks; ``bin/soak`` has the long ones."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.soak import backlog, jobs, site, wire


@pytest.mark.parametrize(("instances", "server_kills"), [(1, 0), (2, 1)])
def test_jobs(mariadb_server: Any, instances: int, server_kills: int, home: Path) -> None:
    said: list[str] = []
    faults = jobs.run(mariadb_server, 20, 8, instances, server_kills, random.Random(1), said.append)
    assert not faults
    assert "20 triggered or held" in said[0]


@pytest.mark.parametrize("kind", ["rabbitmq", "activemq"])
def test_wire(kind: str, mariadb_server: Any, tmp_path: Path) -> None:
    said: list[str] = []
    plan = wire.Plan(triggers=25, kills=6, broker_kills=1, instances=1, timeout=60)
    # A broker of its own, as bin/soak has.
    with site.wire(kind, tmp_path) as broker:
        faults = wire.run(mariadb_server, broker, plan, random.Random(2), said.append)
    assert not faults, "\n".join([*faults, *said])


@pytest.mark.parametrize(("kind", "store"), [("rabbitmq", "mariadb"), ("activemq", "sqlite")])
def test_backlog(kind: str, store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    state = f"sqlite:///{tmp_path}/state.sqlite3"
    if store == "mariadb":
        state = request.getfixturevalue("mariadb_server").state_url()
    said: list[str] = []
    # Ten times as fast as in life: a release counts for 6 seconds, a lease lasts 3.
    plan = backlog.Plan(jobs=60, kills=8, broker_kills=1, clusters=2, limit=20, pace=10, timeout=60)
    with site.wire(kind, tmp_path) as broker:
        faults = backlog.run(broker, state, tmp_path, plan, random.Random(3), said.append)
    assert not faults, "\n".join([*faults, *said])
