"""Held messages of an older version, or made by hand: none crashes, and none blocks another."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from dlstbx_cli.database.connection import connect as database
from dlstbx_cli.database.held import HeldJobs
from dlstbx_cli.database.held_lists import HeldLists, Wanted
from dlstbx_cli.database.held_tables import JOBS
from dlstbx_cli.services.backlog import StoredBacklog
from dlstbx_cli.services.held.values import Limits
from dlstbx_cli.services.message import Message, Queue
from dlstbx_cli.transport.broker import connect
from dlstbx_cli.transport.driver import Tally, Way
from dlstbx_cli.transport.driver import run as drive
from dlstbx_cli.transport.stop import Stop
from tests.conftest import run

GOOD = Message(Queue("mimas.held"), {"parameters": {"ispyb_process": 1}}, {"dlstbx-id": "good"})
ODD_TEXTS = st.sampled_from(
    ["", "\0", "a\0b", "\ud800", "slurm", " slurm ", "9" * 40, "x" * 500, "\x1b[31m", "\U0001f980"]
)
TEXTS = ODD_TEXTS | st.text(max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = ("statistic-cluster", "ispyb_process", "ispyb_dcid", "visit", "beamline", "dcid", "x")
PARAMETERS = VALUES | st.dictionaries(st.sampled_from(KEYS), VALUES)
STEPS = st.fixed_dictionaries(
    {},
    optional={
        "queue": VALUES | st.sampled_from(["mimas", "mimas.held", "processing_recipe"]),
        "output": VALUES | st.sampled_from([1, "2", [1, 2], {"trigger": 2}, {"trigger": [1, "3"]}]),
        "parameters": PARAMETERS,
        "transport-delay": VALUES,
    },
)
WRAPPED = st.fixed_dictionaries(
    {"recipe": st.dictionaries(st.sampled_from(["1", "2", "start"]), STEPS | VALUES) | VALUES},
    optional={
        "recipe-pointer": st.sampled_from([1, "1", 2]) | VALUES,
        "payload": st.fixed_dictionaries({"parameters": PARAMETERS}) | VALUES,
        "environment": VALUES,
        "recipe-path": VALUES,
    },
)
BODIES = VALUES | st.fixed_dictionaries({"parameters": PARAMETERS}) | WRAPPED
HEADERS = st.dictionaries(
    st.sampled_from(["dlstbx-id", "dlstbx-recipe", "dlstbx-dcid", "workflows-recipe", "x"]), TEXTS
)
ENDURING = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def once(store: HeldJobs, broker: Any) -> Tally:
    service = StoredBacklog(store, Limits(capacity={"slurm": 50}), time.time)
    with Stop() as stop, closing(broker.consumer(service.queue, service.topics)) as link:
        return drive(service, link, Way.ONCE, stop)


@ENDURING
@given(st.lists(st.tuples(BODIES, HEADERS), min_size=1, max_size=4))
@example([({"parameters": {"statistic-cluster": "slurm", "dcid": 10**400}}, {})])
def test_whatever_comes_is_released_held_or_a_dead_letter(
    odd: list[tuple[Any, dict[str, str]]],
) -> None:
    messages = [
        Message(Queue("mimas.held"), body, {**headers, "dlstbx-id": f"odd-{n}"})
        for n, (body, headers) in enumerate(odd)
    ]
    with TemporaryDirectory() as place, closing(connect(f"sqlite:///{place}/q.sqlite3")) as broker:
        engine = database(f"sqlite:///{place}/state.sqlite3", create=True)
        store = HeldLists(engine)
        broker.send([*messages, GOOD])
        tally = once(store, broker)
        assert tally.unavailable is None
        assert broker.peek("mimas.held") == []
        letters = broker.peek("dlq.mimas.held")
        assert all(letter.headers["dlstbx-error"] for letter in letters)
        assert not any("internal error" in letter.headers["dlstbx-error"] for letter in letters)
        by_state = {entry.message.identity: entry.state for entry in store.entries()}
        assert by_state["good"] == "released"
        # A cluster that nobody knows holds its jobs.
        held = {name for name, state in by_state.items() if state == "held"}
        gone = {name for name, state in by_state.items() if state == "released"}
        dead = {letter.identity for letter in letters}
        assert held | gone | dead == {"good", *(message.identity for message in messages)}
        list(store.listed(Wanted([])))
        engine.dispose()


SOUND = {
    "cluster": "slurm",
    "beamline": "",
    "visit": "",
    "recipe": "",
    "dcid": None,
    "job": 1,
    "taken": 1_700_000_000_000,
    "state": "held",
    "changed": 1_700_000_000_000,
    "owner": "",
    "reason": "",
    "headers": "{}",
    "body": json.dumps({"parameters": {"ispyb_process": 1}}),
}


@pytest.mark.parametrize(
    "odd",
    [
        {"body": "not JSON"},
        {"body": ""},
        {"body": "NaN"},
        {"body": "[" * 100_000},
        {"body": '{"parameters": ' + "[" * 900 + "]" * 900 + "}"},
        {"body": '{"parameters": {"x": 1e400}}'},
        {"body": '{"parameters": {"x": ' + "9" * 5000 + "}}"},
        {"body": json.dumps({"parameters": "text"})},
        {"body": json.dumps({"parameters": {"statistic-cluster": 5}})},
        {"headers": "not JSON"},
        {"headers": "[]"},
        {"headers": '{"a": {"b": 1}, "dlstbx-id": 5}'},
        {"headers": '{"dlstbx-id": "\\ud800\\u0000", "x\\ny": "z"}'},
        {"headers": "null"},
    ],
    ids=lambda odd: f"{odd}"[:40],
)
def test_a_row_that_cannot_go_is_a_dead_letter_and_the_others_go(
    odd: dict[str, Any], tmp_path: Path
) -> None:
    engine = database(f"sqlite:///{tmp_path}/state.sqlite3", create=True)
    store = HeldLists(engine)
    store.clusters()
    with engine.begin() as connection:
        connection.execute(insert(JOBS).values({**SOUND, "identity": "odd", **odd}))
        connection.execute(insert(JOBS).values({**SOUND, "identity": "good"}))
    with closing(connect(f"sqlite:///{tmp_path}/q.sqlite3")) as broker:
        tally = once(store, broker)
        gone, dead = broker.peek("processing_recipe"), broker.peek("dlq.mimas.held")
    assert tally.unavailable is None
    assert len(gone) + len(dead) == 2
    assert len(gone) >= 1
    assert [one.headers["dlstbx-error"] for one in dead if "internal" in str(one.headers)] == []
    assert store.count(Wanted(["released"])) == 2
    assert len(list(store.entries())) == 2
    assert all(entry.fault is None or len(dead) == 1 for entry in store.entries())
    engine.dispose()


@pytest.mark.parametrize(
    "odd",
    [
        {"taken": 2**62, "changed": 2**62},
        {"taken": -(2**62)},
        {"taken": "abc", "changed": "abc"},
        {"dcid": "abc", "job": "x" * 50},
        {"dcid": 2**62, "job": -1},
        {"visit": "a\0b\x1b[31m", "recipe": "[red]x", "beamline": "\U0001f980"},
        {"owner": "\0", "reason": "x\ny"},
    ],
    ids=lambda odd: f"{odd}"[:40],
)
def test_a_row_with_odd_columns_is_released_and_listed(odd: dict[str, Any], home: Path) -> None:
    engine = database(f"sqlite:///{home}/state.sqlite3", create=True)
    store = HeldLists(engine)
    store.clusters()
    with engine.begin() as connection:
        connection.execute(insert(JOBS).values({**SOUND, "identity": "odd"}))
        names = ", ".join(f"{name} = ?" for name in odd)
        connection.exec_driver_sql(f"UPDATE dlstbx_held SET {names}", tuple(odd.values()))
        connection.execute(insert(JOBS).values({**SOUND, "identity": "good"}))
    looking = [
        ("backlog-ls",),
        ("backlog-ls", "--all"),
        *(("backlog-ls", "--table", "--all", "--by", by) for by in ("job", "visit", "recipe")),
        ("backlog-show", "1", "2"),
        ("backlog-release", "--explain"),
        ("backlog-release", "--explain", "--tree"),
    ]
    for command in looking:
        outcome = run(*command)
        assert outcome.code == 0, (command, outcome.err)
        assert "\x1b" not in outcome.out
    assert run("backlog-release", "--once", "--capacity", "slurm=5").code == 0
    assert store.count(Wanted(["released"])) == 2
    engine.dispose()


def test_what_cannot_be_read_is_shown_as_it_is(home: Path) -> None:
    engine = database(f"sqlite:///{home}/state.sqlite3", create=True)
    HeldLists(engine).clusters()
    with engine.begin() as connection:
        connection.execute(insert(JOBS).values({**SOUND, "identity": "odd", "body": "not JSON"}))
    shown = json.loads(run("backlog-show", "1").out)
    assert shown["message"] == "not JSON"
    assert "in the store of held jobs its message is not JSON" in shown["fault"]
    outcome = run("backlog-now", "1")
    assert outcome.code == 1
    assert "its message is not JSON" in outcome.err
    engine.dispose()
