"""What broadcasts say of clusters, and what is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.held.statistics import (
    AHEAD,
    Storage,
    is_number,
    job_states,
    kind_of,
    used_storage,
)
from dlstbx_cli.services.held.values import Statistic

JOBS = {
    "statistic-group": "cluster",
    "statistic": "job-states",
    "statistic-cluster": "slurm",
    "statistic-timestamp": 1_700_000_000.5,
    "PENDING": 12,
    "RUNNING": 80,
}
STORAGE = {
    "statistic-group": "cluster",
    "statistic": "used-storage",
    "statistic-cluster": "s3echo",
    "statistic-timestamp": 1_700_000_000,
    "total": 95.7,
}


def test_jobs_that_wait() -> None:
    assert job_states(JOBS) == Statistic("slurm", 12, 1_700_000_000.5)
    assert used_storage(JOBS) is None
    assert kind_of(JOBS) == "job-states"


def test_storage_that_is_used() -> None:
    assert used_storage(STORAGE) == Storage("s3echo", 95.7, 1_700_000_000.0)
    assert job_states(STORAGE) is None
    assert kind_of(STORAGE) == "used-storage"


def test_a_state_that_is_not_named_has_no_jobs() -> None:
    nothing = {key: value for key, value in JOBS.items() if key != "PENDING"}
    assert job_states(nothing) == Statistic("slurm", 0, 1_700_000_000.5)


@pytest.mark.parametrize(
    "more",
    [
        {"statistic-group": "beam"},
        {"statistic-group": None},
        {"statistic": "nodes"},
        {"statistic": None},
        {"statistic": 5},
        {"statistic": ["job-states"]},
    ],
)
def test_broadcasts_of_another_kind(more: dict[str, Any]) -> None:
    # They may have any form: nobody here reads them.
    body = {**JOBS, **more, "statistic-timestamp": "now"}
    assert job_states(body) is None
    assert used_storage(body) is None


@pytest.mark.parametrize("body", [None, [], "text", 5, True])
def test_what_is_no_object(body: Any) -> None:
    for read in (kind_of, job_states, used_storage):
        with pytest.raises(Rejected, match="must be an object"):
            read(body)


@pytest.mark.parametrize(
    "more",
    [
        {"statistic-cluster": None},
        {"statistic-cluster": 5},
        {"statistic-timestamp": None},
        {"statistic-timestamp": "now"},
        {"statistic-timestamp": True},
        {"statistic-timestamp": -1},
        {"statistic-timestamp": float("nan")},
        {"statistic-timestamp": float("inf")},
        {"PENDING": None},
        {"PENDING": "12"},
        {"PENDING": True},
        {"PENDING": -1},
        {"PENDING": [12]},
        {"PENDING": 1e300},
    ],
)
def test_malformed_ones(more: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=next(iter(more))):
        job_states({**JOBS, **more})


def test_storage_without_a_total_is_no_statistic() -> None:
    with pytest.raises(Rejected, match="total"):
        used_storage({key: value for key, value in STORAGE.items() if key != "total"})


def test_a_statistic_from_the_future_is_refused() -> None:
    now = JOBS["statistic-timestamp"] - AHEAD
    assert job_states(JOBS, now) is not None
    for read, body in ((job_states, JOBS), (used_storage, {**STORAGE, "total": 1})):
        with pytest.raises(Rejected, match="from the future"):
            read(body, now - 1)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_whatever_stands_for_a_number(value: Any) -> None:
    body = {**JOBS, "PENDING": value, "statistic-timestamp": value}
    if is_number(value):
        found = job_states(body)
        assert found is not None
        assert 0 <= found.waiting <= value == found.timestamp
    else:
        with pytest.raises(Rejected):
            job_states(body)
