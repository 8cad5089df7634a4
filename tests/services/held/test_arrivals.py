"""Arrivals as records and as held messages, and lengths that are drawn."""

from __future__ import annotations

import random
from statistics import mean
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.held.arrivals import Lengths, arrival, draw, record_of
from dlstbx_cli.services.held.simulate import Arrival
from dlstbx_cli.services.message import RECIPE_HEADER, Message, Queue, Topic

NOW = 1_700_000_000.0
FIXED = Lengths(draw("60"), {"slow": draw("600")})


def read(record: dict[str, Any], lengths: Lengths = FIXED) -> Arrival:
    return arrival(record, lengths, {"slurm", "iris"})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"taken": NOW}, Arrival(NOW, 60)),
        ({"time": 5}, Arrival(5, 60)),
        ({"taken": 5, "time": 9}, Arrival(5, 60)),
        ({"taken": None, "time": 9}, Arrival(9, 60)),
        ({"taken": "2023-11-14T22:13:20Z"}, Arrival(NOW, 60)),
        ({"taken": "2023-11-14T23:13:20.5+01:00"}, Arrival(NOW + 0.5, 60)),
        ({"taken": "2023-11-14 22:13:20"}, Arrival(NOW, 60)),  # UTC
        ({"taken": 5, "recipe": "slow"}, Arrival(5, 600, recipe="slow")),
        ({"taken": 5, "recipe": "slow", "length": 7}, Arrival(5, 7, recipe="slow")),
        ({"taken": 5, "length": 0}, Arrival(5, 0)),
        (
            # A line of backlog-ls --released.
            {
                "id": 7,
                "cluster": "iris",
                "beamline": "i03",
                "visit": "mx1-1",
                "recipe": None,
                "dcid": 1,
                "job": 2,
                "state": "released",
                "taken": NOW,
                "age": 60.0,
                "changed": NOW + 30,
                "waited": 30.0,
                "owner": None,
                "reason": None,
            },
            Arrival(NOW, 60, "iris", "mx1-1", "i03"),
        ),
    ],
)
def test_records(record: dict[str, Any], expected: Arrival) -> None:
    assert read(record) == expected


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "when did it come"),
        ({"taken": None}, "when did it come"),
        ({"taken": "yesterday"}, "taken must be a time like"),
        ({"taken": "0001-01-01T00:00:00+23:59"}, "since 1970"),
        ({"taken": "9999-12-31T23:59:59-23:59"}, "since 1970"),
        ({"taken": -1}, "seconds since the epoch"),
        ({"taken": 1000 * NOW}, "seconds since the epoch"),  # milliseconds
        ({"time": True}, "time must be seconds"),
        ({"taken": [5]}, "seconds since the epoch"),
        ({"taken": 5, "visit": 7}, "visit must be a text"),
        ({"taken": 5, "recipe": ["x"]}, "recipe must be a text"),
        ({"taken": 5, "cluster": {}}, "cluster must be a text"),
        ({"taken": 5, "cluster": "moon"}, "--slots moon=N"),
        ({"taken": 5, "length": -1}, "length must be seconds"),
        ({"taken": 5, "length": "60"}, "length must be seconds"),
        ({"taken": 5, "length": 1e12}, "length must be seconds"),
    ],
)
def test_records_that_make_no_sense(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        read(record)


def test_a_length_that_nobody_knows() -> None:
    lengths = Lengths(None, {"slow": draw("600")})
    assert read({"taken": 5, "recipe": "slow"}, lengths).length == 600
    with pytest.raises(Rejected, match="--length-of quick=SECONDS"):
        read({"taken": 5, "recipe": "quick"}, lengths)
    with pytest.raises(Rejected, match="--length SECONDS"):
        read({"taken": 5}, lengths)


def test_lengths_that_are_drawn() -> None:
    def lengths(text: str, seed: int = 0) -> list[float]:
        drawn = Lengths(draw(text), {}, seed)
        return [drawn.of(None, "") for _ in range(2000)]

    assert set(lengths("600")) == {600}
    assert set(lengths("0~")) == {0}
    between = lengths("300-900")
    assert 300 <= min(between) < 310 < 890 < max(between) <= 900
    skewed = lengths("600.5~")
    assert 540 < mean(skewed) < 660
    assert max(skewed) > 3000
    assert lengths("600~") == lengths("600~", 0) != lengths("600~", 1)


@pytest.mark.parametrize("text", ["", "x", "-5", "5-", "9-5", "5-9~", "~5", "1e9", "nan", "9" * 20])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no length"):
        draw(text)


def held(body: Any, headers: dict[str, str] | None = None, **notes: Any) -> Message:
    return Message(Queue("mimas.held"), body, headers or {}, notes=notes)


def test_a_held_message() -> None:
    recipe = {
        "1": {"queue": "mimas", "parameters": {"beamline": "i03", "visit": "mx1-1"}, "output": 5},
        "5": {"queue": "mimas.held", "output": 6},
        "6": {"queue": "processing_recipe"},
    }
    payload = {"parameters": {"ispyb_process": 1, "statistic-cluster": "iris"}}
    body = {"recipe": recipe, "recipe-pointer": 5, "payload": payload, "environment": {"ID": "g"}}
    record = record_of(held(body, {RECIPE_HEADER: "slow"}, taken=NOW))
    assert record is not None
    assert read(record) == Arrival(NOW, 600, "iris", "mx1-1", "i03", "slow")
    record = record_of(held(body, taken=NOW, visit="mx2-2", cluster=None, length=5))
    assert record is not None
    assert read(record) == Arrival(NOW, 5, "iris", "mx2-2", "i03")


def test_a_held_message_without_a_recipe() -> None:
    record = record_of(held({"parameters": {"ispyb_process": 1}}, taken=NOW))
    assert record is not None
    assert read(record) == Arrival(NOW, 60)


def test_messages_that_are_not_held() -> None:
    assert record_of(Message(Queue("mimas"), {})) is None
    assert record_of(Message(Topic("mimas.held"), {})) is None
    with pytest.raises(Rejected, match="held message"):
        record_of(held("text", taken=NOW))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["taken", "time", "cluster", "visit", "recipe", "beamline", "length"]),
        JSON | st.sampled_from(["slurm", 5, 5.5]) | st.datetimes().map(str),
    )
)
def test_whatever_a_record_has(record: dict[str, Any]) -> None:
    try:
        found = read(record, Lengths(lambda dice: dice.random(), {}, random.randrange(9)))
    except Rejected:
        return
    assert 0 <= found.time <= 1e11
    assert 0 <= found.length < 1e9
