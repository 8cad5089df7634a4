"""What slurmrestd answers: each form of each version, and what is no answer."""

from __future__ import annotations

from typing import Any

import pytest

from dlstbx_cli.cluster.answer import errors_of, newest_version, states_of


def job(state: Any, account: Any = "gda2") -> dict[str, Any]:
    return {"job_id": 1, "account": account, "job_state": state, "name": "wrap"}


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([], []),
        # v0.0.38 and v0.0.39: a text, with the flag in place of the state.
        ([job("PENDING"), job("RUNNING")], ["PENDING", "RUNNING"]),
        ([job("COMPLETING")], ["COMPLETING"]),
        ([job("OUT_OF_MEMORY"), job("NODE_FAIL")], ["OUT_OF_MEMORY", "NODE_FAIL"]),
        # Since v0.0.40: a list of the state and its flags; a job counts once.
        ([job(["PENDING"]), job(["RUNNING"])], ["PENDING", "RUNNING"]),
        ([job(["RUNNING", "CONFIGURING"])], ["RUNNING"]),
        ([job(["CANCELLED", "COMPLETING"])], ["CANCELLED"]),
        ([job(["REQUEUED", "PENDING"])], ["PENDING"]),
        ([job(["LAUNCH_FAILED"])], ["LAUNCH_FAILED"]),
        ([job(["SOMETHING_NEW", "STAGE_OUT"])], ["SOMETHING_NEW"]),
        # Other accounts, and none, which is "" or null.
        ([job("RUNNING", "i03"), job("RUNNING", ""), job("RUNNING", None), {}], []),
        ([job("PENDING", "GDA2"), job("PENDING", "gda20")], ["PENDING"]),
        # The state of somebody else's job is nobody's trouble.
        ([job(None, "i03"), job("RUNNING")], ["RUNNING"]),
    ],
)
def test_states_of_an_account(jobs: list[Any], expected: list[str]) -> None:
    assert states_of({"meta": {}, "errors": [], "jobs": jobs}, "gda2") == expected
    assert states_of({"jobs": jobs}, "Gda2") == expected


@pytest.mark.parametrize(
    "answer",
    [
        None, [], "jobs", 5, {}, {"jobs": None}, {"jobs": {}}, {"jobs": ["x"]}, {"jobs": [[]]},
        {"jobs": [job(None)]}, {"jobs": [job([])]}, {"jobs": [job(1)]}, {"jobs": [job([1])]},
        {"jobs": [job("")]}, {"jobs": [job("two words")]}, {"jobs": [job("a" * 99)]},
        {"jobs": [job({"current": "x"})]}, {"jobs": [job(["PENDING", None])]},
    ],
)  # fmt: skip
def test_what_is_no_list_of_jobs(answer: Any) -> None:
    assert states_of(answer, "gda2") is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"errors": []}, ""),
        ({"errors": None}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
        ({"errors": [{"error": "Invalid user id", "error_number": 2009}]}, "Invalid user id"),
        (
            {"errors": [{"description": "Failed", "error": "Unspecified error", "source": "x"}]},
            "Failed: Unspecified error",
        ),
        ({"errors": [{"description": "a"}, {"error": "b"}]}, "a; b"),
        ({"errors": ["text"]}, "text"),
        ({"errors": [{}]}, "an error without words"),
    ],
)
def test_errors(answer: Any, expected: str) -> None:
    assert errors_of(answer) == expected


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], None),
        (["/slurm/v0.0.38/jobs"], "v0.0.38"),
        (["/slurm/v0.0.40/jobs/"], "v0.0.40"),
        (["/slurm/v0.0.9/jobs", "/slurm/v0.0.38/jobs", "/slurm/v0.0.37/jobs"], "v0.0.38"),
        (["/slurm/v0.0.44/nodes", "/slurm/v0.0.41/jobs"], "v0.0.41"),
        (["/slurmdb/v0.0.44/jobs", "/slurm/v0.0.41/jobs"], "v0.0.41"),
        (["/slurm/v0.0.41/job/{job_id}", "/slurm/v1.0.0/jobs"], "v1.0.0"),
    ],
)
def test_the_newest_version_that_lists_jobs(paths: list[str], expected: str | None) -> None:
    assert newest_version({"paths": {path: {} for path in paths}}) == expected


@pytest.mark.parametrize("specification", [None, [], {}, {"paths": []}, {"paths": None}, "x"])
def test_what_is_no_specification(specification: Any) -> None:
    assert newest_version(specification) is None
