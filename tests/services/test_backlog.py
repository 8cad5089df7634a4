from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from dlstbx_cli.services.backlog import STATISTICS_TOPIC, Backlog, held_job
from dlstbx_cli.services.errors import NoRoom, Rejected
from dlstbx_cli.services.held.values import LIMITS, SETTLING, Held, Limits
from dlstbx_cli.services.message import Message, Queue, Topic

NOW = 1_700_000_000.0


def held(cluster: str | None = None, job: int = 1) -> Message:
    parameters: dict[str, Any] = {"ispyb_process": job}
    if cluster:
        parameters["statistic-cluster"] = cluster
    return Message(Queue("mimas.held"), {"parameters": parameters})


def statistic(waiting: int, cluster: str = "slurm", age: float = 0, **more: Any) -> Message:
    body = {
        "statistic-group": "cluster",
        "statistic": "job-states",
        "statistic-cluster": cluster,
        "statistic-timestamp": NOW - age,
        "PENDING": waiting,
        "RUNNING": 80,
        **more,
    }
    return Message(Topic(STATISTICS_TOPIC), body)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def made(clock: Clock | None = None, **options: Any) -> Backlog:
    waiting = {**LIMITS, **options.pop("limits", {})}
    return Backlog(clock or Clock(), Limits(waiting, **options))


def released(backlog: Backlog, number: int, cluster: str | None = None) -> int:
    """Offer a number of held messages and return how many were released."""
    count = 0
    for job in range(number):
        with suppress(NoRoom):
            count += len(backlog.handle(held(cluster, job)))
    return count


@pytest.mark.parametrize(
    ("options", "statistics", "cluster", "expected"),
    [
        ({}, [], None, 0),  # nothing before the first statistic
        ({}, [statistic(0)], None, 60),
        ({}, [statistic(58)], None, 2),
        ({}, [statistic(60)], None, 0),
        ({}, [statistic(500)], None, 0),
        ({}, [statistic(0, "iris")], None, 0),
        ({}, [statistic(2998, "iris")], "iris", 2),
        ({"limits": {"slurm": 3}}, [statistic(1)], None, 2),
        ({"limits": {"iris": 3}}, [statistic(59)], None, 1),  # a partial configuration
        ({}, [statistic(0, "hpc")], "hpc", 0),  # a cluster without a limit
        ({"limits": {"hpc": 2}}, [statistic(0, "hpc")], "hpc", 2),
        ({"capacity": {"slurm": 4}}, [], None, 4),
        ({"capacity": {"slurm": 4}}, [statistic(500)], None, 4),
        ({"capacity": {"slurm": 0}}, [statistic(0)], None, 0),
        ({}, [statistic(0, age=299)], None, 60),
        ({}, [statistic(0, age=301)], None, 0),  # too old
        ({"timeout": 10}, [statistic(0, age=11)], None, 0),
        ({}, [statistic(59), statistic(0, age=10)], None, 1),  # an older one, arriving late
        ({}, [statistic(0), statistic(59)], None, 1),
        ({}, [statistic(0, statistic="used-storage")], None, 0),
        ({}, [statistic(0, **{"statistic-group": "beam"})], None, 0),
    ],
)
def test_policy(
    options: dict[str, Any], statistics: list[Message], cluster: str | None, expected: int
) -> None:
    backlog = made(**options)
    for one in statistics:
        backlog.observe(one)
    assert released(backlog, 100, cluster) == expected


def test_a_statistic_ages() -> None:
    clock = Clock()
    backlog = made(clock)
    backlog.observe(statistic(0))
    clock.now += 299
    assert released(backlog, 1) == 1
    clock.now += 2
    with pytest.raises(NoRoom, match="301 s old"):
        backlog.handle(held())


def test_releases_count_until_the_cluster_can_have_shown_them() -> None:
    clock = Clock()
    backlog = made(clock, limits={"slurm": 10})
    backlog.observe(statistic(0))
    assert released(backlog, 20) == 10
    clock.now += 5
    backlog.observe(statistic(0, age=-5))  # taken before the jobs can have reached Slurm
    assert released(backlog, 20) == 0
    clock.now += SETTLING
    backlog.observe(statistic(4, age=-5 - SETTLING))
    assert released(backlog, 20) == 6


def test_clusters_do_not_wait_for_each_other() -> None:
    backlog = made()
    backlog.observe(statistic(60))
    backlog.observe(statistic(0, "iris"))
    assert released(backlog, 1) == 0
    assert released(backlog, 1, "iris") == 1


@pytest.mark.parametrize(
    ("options", "statistics", "reason"),
    [
        ({}, [], "cluster slurm: there is no statistic yet"),
        ({}, [statistic(61)], "cluster slurm: 61 jobs wait, its limit is 60"),
        ({"capacity": {"slurm": 0}}, [], "the capacity given, 0, is used"),
    ],
)
def test_what_stays_says_why(
    options: dict[str, Any], statistics: list[Message], reason: str
) -> None:
    backlog = made(**options)
    for one in statistics:
        backlog.observe(one)
    with pytest.raises(NoRoom, match=reason):
        backlog.handle(held())


def test_an_unknown_cluster_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    backlog = made()
    assert released(backlog, 3, "moon") == 0
    assert [record.cluster for record in caplog.records] == ["moon"]  # type: ignore[attr-defined]


def test_a_simple_message_goes_to_the_dispatcher() -> None:
    backlog = made(capacity={"slurm": 1})
    (result,) = backlog.handle(held())
    assert (result.destination, result.body) == (Queue("processing_recipe"), held().body)


def test_a_wrapped_message_goes_on_in_its_recipe() -> None:
    recipe = {"5": {"queue": "mimas.held", "output": 6}, "6": {"queue": "processing_recipe"}}
    body = {
        "recipe": recipe,
        "recipe-pointer": 5,
        "payload": held().body,
        "environment": {"ID": "g"},
    }
    (result,) = made(capacity={"slurm": 1}).handle(Message(Queue("mimas.held"), body))
    assert result.destination == Queue("processing_recipe")
    assert result.body["payload"] == held().body
    assert result.body["recipe-path"] == [5]


@pytest.mark.parametrize(
    "body", [None, "text", {}, {"parameters": []}, {"parameters": {"statistic-cluster": 5}}]
)
def test_malformed_held_messages_are_rejected(body: Any) -> None:
    with pytest.raises(Rejected):
        made().handle(Message(Queue("mimas.held"), body))


@pytest.mark.parametrize(
    "body",
    [
        [],
        statistic(True).body,  # type: ignore[arg-type]
        {**statistic(0).body, "statistic-cluster": None},
        {**statistic(0).body, "statistic-timestamp": "now"},
        {**statistic(0).body, "PENDING": float("nan")},
    ],
)
def test_malformed_statistics_are_rejected(body: Any) -> None:
    with pytest.raises(Rejected):
        made().observe(Message(Topic(STATISTICS_TOPIC), body))


def test_what_a_held_message_is_about() -> None:
    recipe = {
        "1": {"queue": "mimas", "parameters": {"beamline": "i03", "visit": "mx1-2", "dcid": "7"}},
        "5": {"queue": "mimas.held", "output": 6},
        "6": {"queue": "processing_recipe"},
    }
    body = {"recipe": recipe, "recipe-pointer": 5, "payload": held("iris", 9).body}
    message = Message(Queue("mimas.held"), body, {"dlstbx-recipe": "autoprocessing-xia2-dials"})
    assert held_job(message) == Held(
        0, "iris", 0.0, "i03", "mx1-2", "autoprocessing-xia2-dials", 7, 9
    )
    assert held_job(held()) == Held(0, "slurm", job=1)
