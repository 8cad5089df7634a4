"""Where the limits of the backlog come from, and what is refused."""

from __future__ import annotations

from typing import Any

import click
import pytest

from dlstbx_cli.commands.limits import Chosen, effective
from dlstbx_cli.services.cloud_settings import CloudSettings
from dlstbx_cli.services.errors import Misconfigured

WAITING, AGE = "DLSTBX_MAX_JOBS_WAITING", "DLSTBX_BACKLOG_TIMEOUT"
FORM = "must be numbers of jobs by cluster, such as slurm=60,iris=3000"
STORED = "max_jobs_waiting in the Zocalo storage"


@pytest.mark.parametrize(
    ("options", "environ", "storage", "slurm", "iris"),
    [
        ({}, {}, {}, (60, "the default"), (3000, "the default")),
        ({}, {}, {"max_jobs_waiting": {"slurm": 5}}, (5, STORED), (3000, "the default")),
        ({}, {WAITING: "slurm=6"}, {"max_jobs_waiting": {"slurm": 5, "iris": 7}},
         (6, WAITING), (7, STORED)),
        ({"limits": ["slurm=8"]}, {WAITING: "slurm=6, iris=9"}, {"max_jobs_waiting": {"iris": 7}},
         (8, "--limit"), (9, WAITING)),
        ({"limits": ["slurm=8", "iris=0"]}, {}, {}, (8, "--limit"), (0, "--limit")),
        ({}, {WAITING: ""}, {}, (60, "the default"), (3000, "the default")),
    ],
)  # fmt: skip
def test_the_first_that_names_a_cluster_wins(
    options: Any, environ: Any, storage: Any, slurm: Any, iris: Any
) -> None:
    found = effective(storage, Chosen.of(**options), environ)
    assert (found.limits.waiting["slurm"], found.origins["slurm"]) == slurm
    assert (found.limits.waiting["iris"], found.origins["iris"]) == iris


@pytest.mark.parametrize(
    ("option", "environ", "storage", "expected"),
    [
        (None, {}, {}, (300, "the default")),
        (None, {}, {"timeout": 5}, (5, "timeout in the Zocalo storage")),
        (None, {AGE: "6.5"}, {"timeout": 5}, (6.5, AGE)),
        (None, {AGE: ""}, {"timeout": 5}, (5, "timeout in the Zocalo storage")),
        (0.0, {AGE: "6"}, {"timeout": 5}, (0, "--timeout")),
    ],
)
def test_the_timeout(option: float | None, environ: Any, storage: Any, expected: Any) -> None:
    found = effective(storage, Chosen.of(timeout=option), environ)
    assert (found.limits.timeout, found.timeout_origin) == expected


@pytest.mark.parametrize(
    ("environ", "storage", "named"),
    [
        ({WAITING: "slurm"}, {}, WAITING),
        ({WAITING: "slurm=-1"}, {}, WAITING),
        ({WAITING: "slurm=1,,"}, {}, WAITING),
        ({WAITING: "=1"}, {}, WAITING),
        ({AGE: "five"}, {}, AGE),
        ({AGE: "nan"}, {}, AGE),
        ({AGE: "-1"}, {}, AGE),
        ({AGE: "inf"}, {}, AGE),
        ({}, {"max_jobs_waiting": 60}, "max_jobs_waiting"),
        ({}, {"max_jobs_waiting": {"slurm": True}}, "max_jobs_waiting"),
        ({}, {"max_jobs_waiting": {"slurm": -1}}, "max_jobs_waiting"),
        ({}, {"max_jobs_waiting": {5: 1}}, "max_jobs_waiting"),
        ({}, {"timeout": "5"}, "timeout"),
        ({}, {"timeout": True}, "timeout"),
        ({}, {"timeout": float("nan")}, "timeout"),
    ],
)
def test_a_configuration_of_another_form(environ: Any, storage: Any, named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        effective(storage, Chosen(), environ)


@pytest.mark.parametrize(
    "given", ["slurm=-1", "slurm=x", "slurm", "=1", "a b\0=1", "slurm=" + "9" * 99]
)
def test_a_wrong_limit_is_told_alike_wherever_it_stands(given: str) -> None:
    said = f"{FORM}, not "
    with pytest.raises(click.UsageError, match=f"--limit {said}"):
        Chosen.of([given])
    with pytest.raises(Misconfigured, match=f"{WAITING} {said}"):
        effective({}, Chosen(), {WAITING: given})
    name, _, number = given.partition("=")
    storage = {"max_jobs_waiting": {name: int(number) if number.strip("-").isdigit() else number}}
    with pytest.raises(Misconfigured, match=f"{STORED} {said}"):
        effective(storage, Chosen(), {})
    with pytest.raises(Misconfigured, match=f"{STORED} {said}"):
        CloudSettings.from_storage({"cloudbursting": True, **storage})
    with pytest.raises(Misconfigured, match=f"{WAITING} {said}"):
        CloudSettings.from_storage({"cloudbursting": True}, {WAITING: given})


def test_the_cloud_takes_the_same_limits() -> None:
    entry = {"beamlines": ["i03"], "visit_pattern": ["mx"]}
    storage = {
        "cloudbursting": True,
        "max_jobs_waiting": {"slurm": 5, "iris": 7},
        "zocalo.mimas.cloud": [entry, {**entry, "max_jobs_waiting": {"slurm": 1}}],
    }
    own, other = CloudSettings.from_storage(storage, {WAITING: "slurm=6"}).entries
    assert own.limits == {"slurm": 6, "iris": 7}
    assert other.limits == {"slurm": 1, "iris": 7}
    (first, _) = CloudSettings.from_storage(storage).entries
    assert first.limits == {"slurm": 5, "iris": 7}


def test_priorities_may_be_negative() -> None:
    chosen = Chosen.of(priority=["i03=5", "mx1-1=-10", "ispyb-x=+2"])
    assert chosen.weights == {"i03": 5, "mx1-1": -10, "x": 2}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"priority": ["i03"]}, "--priority takes NAME=N, not 'i03'"),
        ({"priority": ["i03=1.5"]}, "--priority takes NAME=N"),
        ({"priority": ["i03=--1"]}, "--priority takes NAME=N"),
        ({"priority": ["=1"]}, "--priority takes NAME=N"),
        ({"priority": ["i03=" + "9" * 5000]}, "--priority takes NAME=N"),
        ({"limits": ["slurm=-1"]}, f"--limit {FORM}, not 'slurm=-1'"),
        ({"limits": ["slurm=+1"]}, f"--limit {FORM}"),
        ({"limits": ["slurm"]}, f"--limit {FORM}"),
        ({"capacities": ["slurm=-1"]}, f"--capacity {FORM}"),
        ({"timeout": float("nan")}, "--timeout takes seconds"),
    ],
)
def test_options_of_another_form(options: Any, said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        Chosen.of(**options)
