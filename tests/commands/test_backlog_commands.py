"""The commands that look into the backlog and change it: records in, records out."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from dlstbx_cli.commands import base
from dlstbx_cli.database.held import LEASE, HeldJobs
from dlstbx_cli.database.held_tables import JOBS
from dlstbx_cli.services.errors import Unavailable
from dlstbx_cli.services.held.values import Held, Statistic
from dlstbx_cli.services.message import Message, Queue
from tests.conftest import Outcome, run, shell, start
from tests.effort import effort
from tests.soak import held

NOW = "2026-11-25T12:00:00Z"
VISITS = ["mx1-1", "mx1-1", "mx1-1", "mx2-1", "mx2-1"]
STATISTICS = "transient.statistics.cluster"


@pytest.fixture
def clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A clock that a test turns; the user is eve."""
    monkeypatch.setattr(base, "user_name", lambda: "eve")
    for module in ("backlog_now", "backlog_cancel", "backlog_hold", "backlog_resume"):
        monkeypatch.setattr(f"dlstbx_cli.commands.{module}.user_name", lambda: "eve")
    with freeze_time(NOW) as frozen:
        yield frozen


@pytest.fixture
def store(clock: Any, home: Path) -> HeldJobs:
    """Five held jobs of two visits, one a minute; it is a minute after the last."""
    jobs = HeldJobs.at(f"sqlite:///{home}/state.sqlite3")
    for number, visit in enumerate(VISITS, 1):
        hold(jobs, number, visit)
        clock.tick(60)
    return jobs


def hold(jobs: HeldJobs, number: int, visit: str = "mx1-1", cluster: str = "slurm") -> None:
    beamline = "i03" if visit == "mx1-1" else "i04-1"
    job = Held(0, cluster, 0, beamline, visit, f"recipe-{number % 2}", 1000 + number, number)
    body = {"parameters": {"ispyb_process": number}}
    assert jobs.hold(job, Message(Queue("mimas.held"), body, {"dlstbx-id": f"held-{number}"}))


def ids(outcome: Outcome) -> list[int]:
    assert outcome.code == 0, outcome.err
    return [line["id"] for line in outcome.lines]


def sent(queue: str = "processing_recipe") -> list[int]:
    lines = run("queue-get", "--peek", queue).lines
    return [line["message"]["parameters"]["ispyb_process"] for line in lines]


def statistic(waiting: int, timestamp: float, cluster: str = "slurm") -> str:
    body = held.statistic(cluster, waiting, timestamp).body
    return json.dumps({"topic": STATISTICS, "message": body}) + "\n"


class TestLs:
    def test_an_object_for_each_held_job(self, store: HeldJobs) -> None:
        lines = run("backlog-ls").lines
        assert [line["id"] for line in lines] == [1, 2, 3, 4, 5]
        assert lines[0] == {
            "id": 1,
            "cluster": "slurm",
            "beamline": "i03",
            "visit": "mx1-1",
            "recipe": "recipe-1",
            "dcid": 1001,
            "job": 1,
            "state": "held",
            "taken": time.time() - 300,
            "age": 300,
        }

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--visit", "mx2-1"], [4, 5]),
            (["--beamline", "i03"], [1, 2, 3]),
            (["--recipe", "recipe-1"], [1, 3, 5]),
            (["--recipe", "ispyb-recipe-1", "--visit", "mx2-1"], [5]),
            (["--dcid", "1002"], [2]),
            (["--cluster", "iris"], []),
            (["--since", "150s"], [4, 5]),
            (["--since", "2026-11-25T12:03:00Z"], [4, 5]),
            (["--released"], []),
            (["--all"], [1, 2, 3, 4, 5]),
        ],
    )
    def test_filters(self, store: HeldJobs, arguments: list[str], expected: list[int]) -> None:
        assert ids(run("backlog-ls", *arguments)) == expected

    def test_the_history_says_when_who_and_why(self, store: HeldJobs, clock: Any) -> None:
        run("backlog-now", 2, "--reason", "the user waits")
        clock.tick(3600)
        run("backlog-cancel", 3, "--reason", "wrong crystal")
        run("backlog-release", "--once", "--capacity", "slurm=1")
        (cancelled,) = run("backlog-ls", "--cancelled").lines
        assert cancelled["state"] == "cancelled"
        assert cancelled["changed"] == time.time()
        assert cancelled["waited"] == 3600 + 180
        assert (cancelled["owner"], cancelled["reason"]) == ("eve", "wrong crystal")
        released = run("backlog-ls", "--released").lines
        # The visit whose job has waited longest without a release of its visit goes first.
        assert [(one["id"], one["owner"], one["reason"]) for one in released] == [
            (2, "eve", "the user waits"),
            (4, None, None),
        ]
        assert ids(run("backlog-ls", "--released", "--since", "10m")) == [4]
        assert ids(run("backlog-ls", "--released", "--cancelled")) == [2, 3, 4]
        assert ids(run("backlog-ls")) == [1, 5]

    @pytest.mark.parametrize(
        ("by", "rows"),
        [
            (None, [["mx1-1", "i03", "slurm", "3", "5", "min", "0", "s", "3"],
                    ["mx2-1", "i04-1", "slurm", "2", "2", "min", "0", "s", "-"]]),
            ("beamline", [["i03", "slurm", "3"], ["i04-1", "slurm", "2"]]),
            ("cluster", [["slurm", "5", "5", "min", "0", "s", "3"]]),
            ("recipe", [["recipe-1", "slurm", "3"], ["recipe-0", "slurm", "2"]]),
            ("job", [[str(number), "held"] for number in range(1, 6)]),
        ],
    )  # fmt: skip
    def test_for_people(self, store: HeldJobs, by: str | None, rows: list[list[str]]) -> None:
        run("backlog-hold", "i03", "--until", "2h", "--reason", "detector tests")
        outcome = run("backlog-ls", "--table", *(["--by", by] if by else []))
        shown = [line.split() for line in outcome.out.splitlines() if line.strip()]
        body = [row for row in shown[2:] if not set("".join(row)) <= set("─")]
        assert [row[: len(wanted)] for row, wanted in zip(body, rows, strict=False)] == rows
        assert "detector tests" in outcome.out
        assert "eve" in outcome.out
        assert "2 h 0 min" in outcome.out

    def test_the_history_for_people(self, store: HeldJobs) -> None:
        run("backlog-cancel", 3, "--reason", "wrong crystal")
        table = run("backlog-ls", "--cancelled", "--table").out
        for word in ("eve", "wrong crystal", "3 min 0 s", "mx1-1", "1003"):
            assert word in table

    def test_of_a_long_history_the_end_is_shown(
        self, store: HeldJobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dlstbx_cli.commands.backlog_ls._ROWS", 2)
        outcome = run("backlog-ls", "--all", "--table")
        assert "mx2-1" in outcome.out
        assert "mx1-1" not in outcome.out
        assert "3 earlier jobs not shown" in outcome.err

    @pytest.mark.parametrize(
        "arguments",
        [["--all", "--released"], ["--since", "soon"], ["--by", "moon"], ["--dcid", "x"]],
    )
    def test_wrong_use(self, clock: Any, arguments: list[str]) -> None:
        outcome = run("backlog-ls", *arguments)
        assert (outcome.code, outcome.out) == (2, "")

    def test_thousands_are_listed_page_by_page(
        self, store: HeldJobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dlstbx_cli.database.held_lists.PAGE", 2)
        run("backlog-cancel", 2, "--reason", "x")
        assert ids(run("backlog-ls")) == [1, 3, 4, 5]
        assert ids(run("backlog-ls", "--all")) == [1, 2, 3, 4, 5]


class TestShow:
    def test_a_held_job_whole(self, store: HeldJobs) -> None:
        store.note(Statistic("slurm", 59, time.time()))
        shown = json.loads(run("backlog-show", 2).out)
        assert shown["message"] == {"parameters": {"ispyb_process": 2}}
        assert shown["headers"] == {"dlstbx-id": "held-2"}
        assert (shown["visit"], shown["state"], shown["age"]) == ("mx1-1", "held", 240)
        # The first of each visit go before it.
        assert shown["before"] == 2
        assert shown["why"] == "cluster slurm has room for 1, and 2 jobs go before it"

    @pytest.mark.parametrize(
        ("arguments", "before", "why"),
        [
            ([], 2, "cluster slurm: there is no statistic yet"),
            (["--priority", "i04-1=1"], 3, "cluster slurm: there is no statistic yet"),
            (["--priority", "i04-1=-1"], 1, "cluster slurm: there is no statistic yet"),
        ],
    )
    def test_the_order_is_that_of_the_priorities(
        self, store: HeldJobs, arguments: list[str], before: int, why: str
    ) -> None:
        shown = json.loads(run("backlog-show", 2, *arguments).out)
        assert (shown["before"], shown["why"]) == (before, why)

    def test_a_paused_one_says_by_whom(self, store: HeldJobs) -> None:
        run("backlog-hold", "i03", "--until", "2h", "--reason", "detector tests")
        shown = json.loads(run("backlog-show", 2).out)
        assert shown["before"] is None
        assert shown["why"] == "beamline i03 is paused: detector tests"
        (pause,) = shown["pauses"]
        assert (pause["owner"], pause["left"]) == ("eve", 7200)

    def test_what_is_over_says_so(self, store: HeldJobs) -> None:
        run("backlog-now", 2, "--reason", "urgent")
        shown = json.loads(run("backlog-show", 2).out)
        assert (shown["state"], shown["owner"], shown["reason"]) == ("released", "eve", "urgent")
        assert "before" not in shown
        assert shown["message"]

    def test_an_id_of_none(self, store: HeldJobs) -> None:
        outcome = run("backlog-show", 1, 77)
        assert outcome.code == 1
        assert json.loads(outcome.out)["id"] == 1
        assert "77" in outcome.err
        for odd in ("x", "1.5", "9" * 30):
            assert run("backlog-show", odd).code == 2


class TestNow:
    def test_they_go_in_the_order_given_whatever_the_cluster_does(self, store: HeldJobs) -> None:
        run("backlog-hold", "i03", "--until", "2h", "--reason", "detector tests")
        store.note(Statistic("slurm", 500, time.time()))
        outcome = run("backlog-now", 4, 2, 2)
        assert (outcome.code, outcome.out) == (0, "")
        assert outcome.err.endswith("backlog-now: released 2 jobs\n")
        assert sent() == [4, 2]
        assert ids(run("backlog-ls")) == [1, 3, 5]

    def test_what_is_not_held_is_said_and_the_others_go(self, store: HeldJobs) -> None:
        run("backlog-cancel", 1, "--reason", "x")
        outcome = run("backlog-now", 1, 3, 77)
        assert outcome.code == 1
        assert "not held: 1, 77" in outcome.err
        assert sent() == [3]
        assert run("backlog-now", 3).code == 1
        assert sent() == [3]

    def test_they_count_for_the_others(self, store: HeldJobs) -> None:
        store.note(Statistic("slurm", 58, time.time()))
        run("backlog-now", 1)
        run("backlog-release", "--once")
        assert len(sent()) == 2

    def test_killed_before_it_could_send(
        self, store: HeldJobs, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def dies(*_: Any) -> None:
            raise SystemExit(9)

        with monkeypatch.context() as patch:
            patch.setattr("dlstbx_cli.transport.sqlite.SqliteBroker.send", dies)
            assert run("backlog-now", 2, "--reason", "urgent").code == 9
        assert sent() == []
        (going,) = (one for one in run("backlog-ls").lines if one["state"] == "going")
        assert (going["id"], going["owner"]) == (2, "eve")
        clock.tick(LEASE + 1)
        assert run("backlog-release", "--once").code == 0
        assert sent() == [2]
        (released,) = run("backlog-ls", "--released").lines
        assert (released["id"], released["owner"], released["reason"]) == (2, "eve", "urgent")

    def test_the_broker_away_claims_nothing(
        self, store: HeldJobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: Any) -> None:
            raise Unavailable("the broker is away")

        monkeypatch.setattr("dlstbx_cli.transport.sqlite.SqliteBroker.check", away)
        outcome = run("backlog-now", 2)
        assert outcome.code == 75
        assert outcome.err.endswith("backlog-now: the broker is away\n")
        assert ids(run("backlog-ls")) == [1, 2, 3, 4, 5]

    def test_the_broker_gone_meanwhile_says_what_becomes_of_them(
        self, store: HeldJobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: Any) -> None:
            raise Unavailable("the broker is away")

        monkeypatch.setattr("dlstbx_cli.transport.sqlite.SqliteBroker.send", away)
        outcome = run("backlog-now", 2)
        assert outcome.code == 75
        assert "1 job claimed: backlog-release sends what is left" in outcome.err

    def test_what_the_broker_does_not_take_is_a_dead_letter(self, store: HeldJobs) -> None:
        recipe = {"5": {"queue": "mimas.held", "output": 6}, "6": {"queue": "a\nb"}}
        body = {"recipe": recipe, "recipe-pointer": 5, "payload": {"parameters": {}}}
        store.hold(Held(0, "slurm"), Message(Queue("mimas.held"), body))
        outcome = run("backlog-now", 6, 2)
        assert outcome.code == 1
        assert "job 6: the queue must be a printable name" in outcome.err
        assert "not held" not in outcome.err
        assert sent() == [2]
        (letter,) = run("dlq-ls").lines
        assert (letter["queue"], letter["rejected_by"]) == ("dlq.mimas.held", "backlog-now")
        assert ids(run("backlog-ls")) == [1, 3, 4, 5]


class TestCancel:
    @pytest.mark.parametrize(
        ("arguments", "left"),
        [
            ([2], [1, 3, 4, 5]),
            ([2, 4], [1, 3, 5]),
            (["--visit", "mx1-1"], [4, 5]),
            (["--recipe", "recipe-1", "--visit", "mx1-1"], [2, 4, 5]),
            (["--all"], []),
        ],
    )
    def test_they_are_not_released_any_more(
        self, store: HeldJobs, arguments: list[Any], left: list[int]
    ) -> None:
        dry = run("backlog-cancel", *arguments, "--reason", "x", "--dry-run")
        assert dry.code == 0
        assert f"would cancel {5 - len(left)} job" in dry.err
        assert len(run("backlog-ls").lines) == 5
        outcome = run("backlog-cancel", *arguments, "--reason", "x")
        assert (outcome.code, outcome.out) == (0, "")
        assert f"cancelled {5 - len(left)} job" in outcome.err
        assert ids(run("backlog-ls")) == left
        run("backlog-release", "--once", "--capacity", "slurm=9")
        assert sorted(sent()) == left

    def test_what_is_not_held_is_said(self, store: HeldJobs) -> None:
        run("backlog-now", 1)
        outcome = run("backlog-cancel", 1, 2, 77, "--reason", "x")
        assert outcome.code == 1
        assert "cancelled 1 job\n" in outcome.err
        assert "not held: 1, 77" in outcome.err
        assert run("backlog-cancel", "--visit", "mx9-9", "--reason", "x").code == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--reason", "x"],
            ["1"],
            ["--all"],
            ["--all", "--reason", " "],
            ["--all", "--reason", "x" * 256],
            ["--all", "--reason", "a\x1bb"],
            ["--all", "1", "--reason", "x"],
            ["--visit", "mx1-1", "1", "--reason", "x"],
            ["--visit", "mx1-1", "--all", "--reason", "x"],
            ["one", "--reason", "x"],
        ],
    )
    def test_nothing_is_done_by_mistake(self, store: HeldJobs, arguments: list[str]) -> None:
        assert run("backlog-cancel", *arguments).code == 2
        assert len(run("backlog-ls").lines) == 5

    def test_one_cancelled_by_mistake_is_held_anew(self, store: HeldJobs) -> None:
        run("backlog-cancel", 2, "--reason", "x")
        shown = json.loads(run("backlog-show", 2).out)
        line = {"queue": "mimas.held", "message": shown["message"]}
        run("queue-put", stdin=json.dumps(line))
        run("backlog-release", "--once")
        assert run("backlog-ls").lines[-1]["job"] == 2


class TestHold:
    @pytest.mark.parametrize(
        ("arguments", "kind", "name", "left"),
        [
            (["i03", "--until", "2h"], "beamline", "i03", 7200),
            (["I04-1", "--until", "3d"], "beamline", "I04-1", 3 * 86400),
            (["mx1-1", "--until", "2026-11-25T12:06:00Z"], "visit", "mx1-1", 60),
            (["cm14451-1", "--until", "1m"], "visit", "cm14451-1", 60),
            (["ispyb-autoprocessing-x", "--until", "1m"], "recipe", "autoprocessing-x", 60),
            (["x1", "--until", "1m", "--kind", "beamline"], "beamline", "x1", 60),
            (["i03", "--until", "1m", "--kind", "recipe"], "recipe", "i03", 60),
        ],
    )
    def test_what_a_name_is(
        self, store: HeldJobs, arguments: list[str], kind: str, name: str, left: float
    ) -> None:
        outcome = run("backlog-hold", *arguments, "--reason", "detector  tests\n")
        assert (outcome.code, outcome.out) == (0, "")
        assert f"{kind} {name} until " in outcome.err
        (pause,) = run("backlog-hold").lines
        assert (pause["kind"], pause["name"], pause["left"]) == (kind, name, left)
        assert (pause["owner"], pause["reason"]) == ("eve", "detector tests")
        assert pause["until"] == time.time() + left

    def test_a_name_that_no_job_has_is_doubted(self, store: HeldJobs) -> None:
        outcome = run("backlog-hold", "i3", "--until", "2h", "--reason", "tests")
        assert "no job of the recipe i3 has been held so far" in outcome.err
        assert "backlog-resume 1 ends the pause" in outcome.err
        run("backlog-cancel", "--all", "--reason", "x")
        outcome = run("backlog-hold", "I03", "--until", "2h", "--reason", "tests")
        assert "is the name right" not in outcome.err

    def test_it_keeps_what_it_names_and_ends_by_itself(self, store: HeldJobs, clock: Any) -> None:
        outcome = run("backlog-hold", "i03", "--until", "2h", "--reason", "tests")
        assert "3 held jobs of it" in outcome.err
        assert [one["keeps"] for one in run("backlog-hold").lines] == [3]
        run("backlog-release", "--once", "--capacity", "slurm=9")
        assert sent() == [4, 5]
        clock.tick(7201)
        assert run("backlog-hold").lines == []
        run("backlog-release", "--once", "--capacity", "slurm=9")
        assert sent() == [4, 5, 1, 2, 3]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["i03", "--until", "2026-11-25T11:00:00Z", "--reason", "x"], "is past"),
            (["i03", "--until", "0s", "--reason", "x"], "is past"),
            (["i03", "--until", "soon", "--reason", "x"], "takes a time"),
            (["i03", "--until", "2060-01-01", "--reason", "x"], "within a year"),
            (["i03", "--until", "9" * 400 + "d", "--reason", "x"], "within a year"),
            (["i03", "--until", "2h"], "needs --until and --reason"),
            (["i03", "--reason", "x"], "needs --until and --reason"),
            (["--until", "2h", "--reason", "x"], "Give a NAME"),
            (["i" * 101, "--until", "2h", "--reason", "x"], "at most 100"),
            (["i03", "--until", "2h", "--reason", "x" * 256], "at most 255"),
            (["i03", "--until", "2h", "--reason", "x", "--kind", "moon"], "moon"),
        ],
    )
    def test_wrong_use(self, store: HeldJobs, arguments: list[str], said: str) -> None:
        outcome = run("backlog-hold", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err
        assert run("backlog-hold").lines == []

    def test_for_people(self, store: HeldJobs) -> None:
        run("backlog-hold", "mx2-1", "--until", "2h", "--reason", "users asleep")
        table = run("backlog-hold", "--table").out
        for word in ("mx2-1", "visit", "2 h 0 min", "eve", "users asleep"):
            assert word in table


class TestResume:
    @pytest.fixture(autouse=True)
    def _paused(self, store: HeldJobs) -> None:
        for name, reason in (("i03", "a"), ("i03", "b"), ("mx2-1", "c"), ("ispyb-r", "d")):
            run("backlog-hold", name, "--until", "2h", "--reason", reason)

    @pytest.mark.parametrize(
        ("arguments", "left"),
        [
            (["i03"], ["c", "d"]),
            (["I03"], ["c", "d"]),
            ([2], ["a", "c", "d"]),
            (["mx2-1", 1], ["b", "d"]),
            (["ispyb-r"], ["a", "b", "c"]),
            (["--all"], []),
        ],
    )
    def test_they_end(self, arguments: list[Any], left: list[str]) -> None:
        outcome = run("backlog-resume", *arguments)
        assert (outcome.code, outcome.out) == (0, "")
        assert outcome.err.count("resumed: ") == 4 - len(left)
        assert "paused by eve" in outcome.err
        assert [one["reason"] for one in run("backlog-hold").lines] == left

    def test_what_is_not_paused_is_said(self) -> None:
        outcome = run("backlog-resume", "i04", "i03", 77)
        assert outcome.code == 1
        assert "not paused: i04, 77" in outcome.err
        assert len(run("backlog-hold").lines) == 2
        assert run("backlog-resume", "--all").code == 0
        assert run("backlog-resume", "--all").code == 0

    def test_who_ended_them_and_when_is_listed(
        self, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = time.time()
        clock.tick(600)
        monkeypatch.setattr("dlstbx_cli.commands.backlog_resume.user_name", lambda: "adam")
        run("backlog-resume", "i03")
        run("backlog-cancel", "--all", "--reason", "test")
        clock.tick(7200)
        pauses = run("backlog-ls", "--pauses").lines
        assert [one["reason"] for one in pauses] == ["a", "b", "c", "d"]
        assert pauses[0] == {
            "id": 1,
            "kind": "beamline",
            "name": "i03",
            "begun": begun,
            "until": begun + 7200,
            "left": 0,
            "owner": "eve",
            "reason": "a",
            "ended": begun + 600,
            "ended_by": "adam",
            "keeps": 0,
        }
        assert (pauses[2]["ended"], pauses[2]["ended_by"]) == (None, None)
        since = run("backlog-ls", "--pauses", "--since", "1h").lines
        assert [one["reason"] for one in since] == ["c", "d"]
        table = run("backlog-ls", "--pauses", "--table").out
        assert "adam" in table
        assert "its time" in table

    @pytest.mark.parametrize("more", [["--all"], ["--visit", "v"], ["--by", "job"]])
    def test_a_list_of_pauses_is_about_no_jobs(self, more: list[str]) -> None:
        assert run("backlog-ls", "--pauses", *more).code == 2

    def test_nothing_is_done_by_mistake(self) -> None:
        assert run("backlog-resume").code == 2
        assert run("backlog-resume", "--all", "i03").code == 2
        assert len(run("backlog-hold").lines) == 4


class TestExplain:
    def explained(self, *arguments: Any) -> dict[str, Any]:
        outcome = run("backlog-release", "--explain", *arguments)
        assert (outcome.code, outcome.err) == (0, "")
        return {line.get("cluster", line.get("name")): line for line in outcome.lines}

    def test_of_each_cluster_and_pause(self, store: HeldJobs) -> None:
        hold(store, 6, "mx1-1", "hpc")
        store.note(Statistic("slurm", 57, time.time() - 10))
        run("backlog-now", 1)
        run("backlog-hold", "i03", "--until", "2h", "--reason", "tests")
        found = self.explained()
        assert found["slurm"] == {
            "explains": "cluster",
            "cluster": "slurm",
            "held": 4,
            "paused": 2,
            "waiting": 57,
            "limit": 60,
            "limit_from": "the default",
            "age": 10,
            "timeout": 300,
            "timeout_from": "the default",
            "capacity": None,
            "in_flight": 1,
            "room": 2,
            "next": {
                "id": 4,
                "cluster": "slurm",
                "beamline": "i04-1",
                "visit": "mx2-1",
                "recipe": "recipe-0",
                "dcid": 1004,
                "job": 4,
            },
            "released": True,
            "why": "there is room: it goes when backlog-release runs next",
        }
        assert (found["hpc"]["limit"], found["hpc"]["released"]) == (None, False)
        assert found["hpc"]["why"] == "all jobs that are held for it are paused"
        assert found["iris"]["why"] == "no job is held for it"
        assert (found["i03"]["explains"], found["i03"]["keeps"]) == ("pause", 3)
        # Nothing has been released by it, and what it has foretold is what happens.
        assert sent() == [1]
        run("backlog-release", "--once")
        assert sent() == [1, 4, 5]

    def test_where_the_limits_come_from(
        self, store: HeldJobs, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (home / "zocalo.yml").write_text(
            "version: 1\n"
            "settings: {plugin: storage, max_jobs_waiting: {slurm: 40, iris: 5}, timeout: 120}\n"
            "environments: {default: [settings]}\n"
        )
        monkeypatch.setenv("ZOCALO_CONFIG", str(home / "zocalo.yml"))
        monkeypatch.setenv("DLSTBX_MAX_JOBS_WAITING", "slurm=41,hpc=1")
        found = self.explained("--limit", "hpc=2", "--priority", "i04-1=1")
        limits = {name: (one["limit"], one["limit_from"]) for name, one in found.items()}
        assert limits == {
            "slurm": (41, "DLSTBX_MAX_JOBS_WAITING"),
            "iris": (5, "max_jobs_waiting in the Zocalo storage"),
            "hpc": (2, "--limit"),
        }
        assert found["slurm"]["timeout_from"] == "timeout in the Zocalo storage"
        assert found["slurm"]["next"]["id"] == 4
        monkeypatch.setenv("DLSTBX_BACKLOG_TIMEOUT", "60")
        found = self.explained()
        assert found["slurm"]["timeout"] == 60
        assert found["slurm"]["timeout_from"] == "DLSTBX_BACKLOG_TIMEOUT"

    def test_for_people(self, store: HeldJobs) -> None:
        store.note(Statistic("slurm", 60, time.time() - 10))
        run("backlog-hold", "i03", "--until", "2h", "--reason", "tests")
        shown = run("backlog-release", "--explain", "--tree", "--limit", "slurm=7").out
        for words in (
            "slurm 5 held, 3 of them paused, room for 0",
            "7 may wait (--limit)",
            "60, 10 s ago; 300 s is too old (the default)",
            "job 4, i04-1, mx2-1, recipe-0: 60 jobs wait, its limit is 7",
            "2 h 0 min",
        ):
            assert words in shown
        given = run("backlog-release", "--explain", "--tree", "--capacity", "slurm=3").out
        assert "capacity 3 (--capacity)" in given

    @pytest.mark.parametrize(
        "options",
        [["--tree"], ["--wait", "5"], ["--listen", "--wait", "5"], ["--priority", "i03=1"]],
    )
    def test_what_would_do_nothing_is_refused(self, clock: Any, options: list[str]) -> None:
        outcome = run("backlog-release", *options)
        assert outcome.code == 2
        assert f"{options[-2] if len(options) > 1 else options[0]} is for --" in outcome.err

    def test_what_is_in_force_is_said(self, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DLSTBX_MAX_JOBS_WAITING", "slurm=41")
        outcome = run("backlog-release", "-v", "--once", "--timeout", "60", "--priority", "i03=2")
        assert (
            "in force: limits iris=3000 (the default), slurm=41 (DLSTBX_MAX_JOBS_WAITING);"
            " a statistic is too old after 60 s (--timeout); priority i03=2" in outcome.err
        )

    @pytest.mark.parametrize("way", ["--once", "--listen", "--send"])
    def test_it_goes_without_the_ways_to_run(self, clock: Any, way: str) -> None:
        assert run("backlog-release", "--explain", way).code == 2

    @pytest.mark.parametrize(
        ("variable", "text"),
        [("DLSTBX_MAX_JOBS_WAITING", "slurm"), ("DLSTBX_BACKLOG_TIMEOUT", "soon")],
    )
    def test_a_variable_of_another_form(
        self, clock: Any, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
    ) -> None:
        monkeypatch.setenv(variable, text)
        for arguments in (["--explain"], ["--once"], []):
            outcome = run("backlog-release", *arguments)
            assert outcome.code == 78
            assert variable in outcome.err


def test_a_person_is_told_what_one_run_has_done(home: Path) -> None:
    jobs = HeldJobs.at(f"sqlite:///{home}/state.sqlite3")
    for number in (1, 2, 3):
        hold(jobs, number)
    ears, mouth = pty.openpty()
    options = {"stdin": subprocess.DEVNULL, "stderr": mouth}
    process = start("backlog-release", "--once", "--capacity", "slurm=2", **options)
    assert process.wait(timeout=30) == 0
    said = os.read(ears, 10_000).decode()
    os.close(ears)
    os.close(mouth)
    assert "released 2 jobs, 1 job held (backlog-release --explain says why)" in said
    assert "held (" not in run("backlog-release", "--once").err


class TestStatisticsOnStandardInput:
    OTHERS = '{"queue": "nobody",  "message": 1}\n{"queue": "mimas.held", "message": 2}\n'

    def test_they_are_taken_and_the_others_passed_on(self, store: HeldJobs) -> None:
        lines = self.OTHERS + statistic(58, time.time()) + '{"topic": "news", "message": 1}\n'
        outcome = run("backlog-release", "--once", stdin=lines)
        assert outcome.code == 0
        assert outcome.out == self.OTHERS + '{"topic": "news", "message": 1}\n'
        assert sent() == [1, 4]

    def test_a_line_that_is_none_is_reported_and_the_others_count(self, store: HeldJobs) -> None:
        odd = json.dumps({"topic": STATISTICS, "message": {"statistic-group": "cluster",
                          "statistic": "job-states"}}) + "\n"  # fmt: skip
        lines = "nonsense\n" + odd + statistic(59, time.time())
        outcome = run("backlog-release", "--once", stdin=lines)
        assert outcome.code == 1
        assert "line 1: not JSON" in outcome.err
        assert "line 2: a statistic needs" in outcome.err
        letter, passed = outcome.lines
        assert (letter["queue"], letter["message"]) == ("dlq.mimas.held", "nonsense")
        assert json.dumps(passed) + "\n" == odd
        assert sent() == [1]

    def test_one_of_the_future_is_refused(self, store: HeldJobs) -> None:
        outcome = run("backlog-release", "--once", stdin=statistic(0, time.time() + 3600))
        assert outcome.code == 1
        assert "a statistic from the future" in outcome.err
        assert sent() == []

    def test_no_store_passes_all_on(self, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DLSTBX_STATE", "sqlite:////proc/none/state.sqlite3")
        lines = self.OTHERS + statistic(58, time.time())
        outcome = run("backlog-release", "--once", stdin=lines)
        assert (outcome.code, outcome.out) == (78, lines)
        assert outcome.err.count("\n") == 1

    def test_from_a_pipe_and_a_file(self, home: Path) -> None:
        jobs = HeldJobs.at(f"sqlite:///{home}/state.sqlite3")
        for number in range(1, 5):
            hold(jobs, number)
        (home / "statistic").write_text(statistic(59, time.time()))
        assert shell(f"cat {home}/statistic | backlog-release --once").code == 0
        assert sent() == [1]
        script = f"backlog-release --once --limit slurm=61 < {home}/statistic"
        assert shell(script).code == 0
        assert sent() == [1, 2]

    def test_no_other_input_is_waited_for(self, home: Path, processes: list[Any]) -> None:
        import socket

        ours, theirs = socket.socketpair()
        ears, mouth = os.openpty()
        with ours, theirs, Path(os.devnull).open() as nothing:
            for stdin in (theirs.fileno(), mouth, nothing.fileno()):
                process = start("backlog-release", "--once", stdin=stdin)
                processes.append(process)
                assert process.wait(timeout=20) == 0
        os.close(ears)
        os.close(mouth)

    def test_told_to_stop_while_it_reads(self, home: Path, processes: list[Any]) -> None:
        process = start("backlog-release", "--once")
        processes.append(process)
        line = b'{"queue": "nobody", "message": 1}\n'
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
        process.terminate()
        assert process.wait(timeout=10) == 0

    def test_a_person_who_forgot_the_pipe_is_told(self, home: Path, processes: list[Any]) -> None:
        process = start("backlog-release", "--once")
        processes.append(process)
        assert b"reading statistics from standard input" in process.stderr.readline()
        process.communicate(timeout=10)
        assert process.returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ["backlog-ls"],
        ["backlog-show", "1"],
        ["backlog-now", "1"],
        ["backlog-cancel", "--all", "--reason", "x"],
        ["backlog-hold"],
        ["backlog-hold", "i03", "--until", "2h", "--reason", "x"],
        ["backlog-resume", "--all"],
        ["backlog-release", "--explain"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
class TestSurroundings:
    def test_a_store_that_is_locked(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
    ) -> None:
        import sqlite3

        monkeypatch.setattr("dlstbx_cli.database.connection.PATIENCE", 0.1)
        other = sqlite3.connect(home / "state.sqlite3")
        other.execute("BEGIN EXCLUSIVE")
        outcome = run(*command)
        other.close()
        assert outcome.code == 75
        assert "state.sqlite3" in outcome.err
        assert "Traceback" not in outcome.err

    def test_a_password_on_the_command_line_is_refused(
        self, home: Path, command: list[str]
    ) -> None:
        outcome = run(*command, "--state", "mysql://me:secret@host/dlstbx")
        assert outcome.code == 2
        assert "DLSTBX_STATE" in outcome.err
        assert "secret" not in outcome.err

    def test_another_store(self, home: Path, tmp_path: Path, command: list[str]) -> None:
        url = f"sqlite:///{tmp_path}/other/state.sqlite3"
        assert run(*command, "--state", url).code in (0, 1)
        assert (tmp_path / "other/state.sqlite3").exists()
        assert not (home / "state.sqlite3").exists()


def test_ten_thousand_are_listed_in_a_second(home: Path) -> None:
    from sqlalchemy import insert

    jobs = HeldJobs.at(f"sqlite:///{home}/state.sqlite3")
    jobs.clusters()
    rows = [
        {
            "identity": str(number),
            "cluster": "slurm",
            "beamline": "i03",
            "visit": f"mx{number % 50}-1",
            "recipe": "x",
            "dcid": number,
            "job": number,
            "taken": number,
            "state": "held" if number < 10_000 else "released",
            "changed": number,
            "owner": "",
            "reason": "",
            "headers": "{}",
            "body": json.dumps({"x": "y" * 1000}),
        }
        for number in range(20_000)
    ]
    with jobs._engine.begin() as connection:
        connection.execute(insert(JOBS), rows)
    run("backlog-ls", "--visit", "mx1-1")  # whatever is loaded for the first time
    with effort() as taken:
        assert len(run("backlog-ls").out.splitlines()) == 10_000
    assert taken.seconds < 1
    with effort() as taken:
        assert run("backlog-ls", "--table").out.count("i03") == 50
    assert taken.seconds < 1
