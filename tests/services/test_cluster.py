from __future__ import annotations

from collections.abc import Sequence

import pytest

from dlstbx_cli.services.backlog import STATISTICS_TOPIC
from dlstbx_cli.services.cluster import job_states
from dlstbx_cli.services.held import statistics
from dlstbx_cli.services.message import ID_HEADER, Topic

NOW = 1_700_000_000.25


@pytest.mark.parametrize(
    ("states", "counts"),
    [
        ([], {"PENDING": 0, "RUNNING": 0}),
        (["PENDING"], {"PENDING": 1, "RUNNING": 0}),
        (["RUNNING"] * 80 + ["PENDING"] * 12, {"PENDING": 12, "RUNNING": 80}),
        (["FAILED", "COMPLETING"], {"COMPLETING": 1, "FAILED": 1, "PENDING": 0, "RUNNING": 0}),
    ],
)
def test_a_statistic_names_every_state_and_two_always(
    states: Sequence[str], counts: dict[str, int]
) -> None:
    message = job_states("slurm", states, NOW)
    assert message.destination == Topic("transient.statistics.cluster")
    assert message.body == {
        "statistic-group": "cluster",
        "statistic": "job-states",
        "statistic-cluster": "slurm",
        "statistic-timestamp": NOW,
        **counts,
    }


def test_those_who_listen_read_it() -> None:
    message = job_states("iris", ["PENDING", "RUNNING", "PENDING"], NOW)
    assert message.destination == Topic(STATISTICS_TOPIC)
    read = statistics.job_states(message.body)
    assert read is not None
    assert (read.cluster, read.waiting, read.timestamp) == ("iris", 2, NOW)


def test_each_statistic_is_a_message_of_its_own() -> None:
    first = job_states("slurm", [], NOW)
    assert first.headers[ID_HEADER] == job_states("slurm", [], NOW).identity
    others = [job_states("slurm", [], NOW + 1), job_states("iris", [], NOW)]
    assert first.identity not in {other.identity for other in others}
