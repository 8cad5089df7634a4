"""A releaser with a long backlog and no room, on real brokers; ``bin/bench backlog`` is longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import holding
from tests.soak.site import wire_of

JOBS, ROOM = 2_000, 200
#: Seconds without room. Zocalo's backlog service sends each held message again within 30 s,
#: from the beginning: what does so here would show at once.
KEPT = 3.0


@pytest.mark.parametrize("kind", ["rabbitmq", "activemq"])
def test_a_long_backlog_is_kept_in_peace(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    state = f"sqlite:///{tmp_path}/state.sqlite3"
    with holding.trial(wire_of(kind, server), state, tmp_path) as trial:
        trial.fill(JOBS)
        trial.take_in(JOBS)
        kept = trial.keep(KEPT)
        assert holding.told_again(kept) == []
        assert kept.memory < 150
        came = trial.make_room(ROOM)
        assert came.jobs == holding.expected(JOBS, ROOM)
        assert came.last < 2
        assert trial.held() == JOBS - ROOM
        assert trial.finish() == 0
        assert trial.complaints() == []
