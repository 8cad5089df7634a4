"""What ``backlog-simulate`` reads, prints and says."""

from __future__ import annotations

import json
import os
import pty
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.commands.progress import progress
from dlstbx_cli.commands.simulated import _span
from tests.conftest import Outcome, run, shell, start
from tests.terminal import written

NOW = 1_700_000_000
#: One slot, two may wait: the first example of tests/services/held/test_simulate.py.
FOUR = [{"taken": NOW, "visit": "mx1-1", "length": 100} for _ in range(4)]


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> None:
    """No setting of the user's counts."""


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def simulate(*arguments: str | int, stdin: str = "") -> Outcome:
    return run("backlog-simulate", *arguments, stdin=stdin)


def by_kind(outcome: Outcome, kind: str) -> list[dict[str, Any]]:
    return [record for record in outcome.lines if record["kind"] == kind]


def test_the_lines_that_it_prints() -> None:
    outcome = simulate("--slots", "slurm=1", "--limit", "slurm=2", stdin=lines(*FOUR))
    times = {
        "limits": {"slurm": 2},
        "jobs": 4,
        "left": 0,
        "held": {"median": 0.0, "p90": 180.0, "longest": 180.0},
        "queued": {"median": 110.0, "p90": 130.0, "longest": 130.0},
        "end_to_end": {"median": 210.0, "p90": 410.0, "longest": 410.0},
    }
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.lines == [
        {"kind": "visit", "visit": "mx1-1", **times},
        {"kind": "total", **times},
        {
            "kind": "cluster",
            "cluster": "slurm",
            "limits": {"slurm": 2},
            "slots": 1,
            "jobs": 4,
            "seconds": 410.0,
            "busy": 0.976,
            "use": 0.9756,
            "idle_while_held": 10.0,
        },
    ]


def test_tables_for_people() -> None:
    outcome = simulate("--table", "--slots", "slurm=1", "--limit", "slurm=2", stdin=lines(*FOUR))
    rows = [line.split() for line in outcome.out.splitlines()]
    assert rows[0] == ["limits:", "slurm=2"]
    assert ["mx1-1", "4", "0s", "3m", "2m", "4m", "7m", "3m"] in rows
    assert ["all", "4", "0s", "3m", "2m", "4m", "7m", "3m"] in rows
    assert ["slurm", "1", "4", "7m", "1.0", "98", "%", "0.0", "slot", "hours"] in rows


def test_several_limits_are_compared() -> None:
    arguments = ["--slots", "slurm=1", "--compare", "--limit", "slurm=0,1,2", "--limit", "slurm=9"]
    found = simulate(*arguments, stdin=lines(*FOUR)).lines
    assert [one["limits"]["slurm"] for one in found] == [0, 1, 2, 9]
    assert [one["left"] for one in found] == [4, 0, 0, 0]
    assert [one["held"]["longest"] for one in found] == [None, 270.0, 180.0, 0.0]
    assert found[0]["queued"] is None
    assert found[2]["worst_visit"] == "mx1-1"
    assert found[2]["worst_end_to_end"] == found[2]["end_to_end"]
    assert found[2]["clusters"]["slurm"]["idle_while_held"] == 10.0
    table = simulate("--table", *arguments, stdin=lines(*FOUR)).out
    rows = [line.split() for line in table.splitlines() if line.strip().startswith("slurm=")]
    assert [row[:3] for row in rows] == [
        ["slurm=0", "4", "never"],
        ["slurm=1", "0", "90s"],
        ["slurm=2", "0", "0s"],
        ["slurm=9", "0", "0s"],
    ]


def test_several_limits_are_reported_one_after_the_other() -> None:
    outcome = simulate("--slots", "slurm=1", "--limit", "slurm=1,2", stdin=lines(*FOUR))
    assert [one["limits"]["slurm"] for one in by_kind(outcome, "total")] == [1, 2]


def test_all_combinations_of_the_limits_of_two_clusters() -> None:
    both = lines(*FOUR, *({**one, "cluster": "iris"} for one in FOUR))
    outcome = simulate(
        *("--slots", "slurm=1", "--slots", "iris=2", "--compare"),
        *("--limit", "slurm=1,2", "--limit", "iris=3,4"),
        stdin=both,
    )
    assert [one["limits"] for one in outcome.lines] == [
        {"iris": iris, "slurm": slurm} for slurm in (1, 2) for iris in (3, 4)
    ]


def test_files_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines(FOUR[0], {"taken": "x"}) + "\n" + lines(FOUR[1]))
    arguments = ["--slots", "slurm=1", tmp_path / "a.jsonl", "-"]
    outcome = simulate(*map(str, arguments), stdin=lines(FOUR[2]) + "no JSON")
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        f"backlog-simulate: {tmp_path}/a.jsonl: line 2: taken must be a time like"
        " 2026-11-23T12:00:00Z, not 'x'",
        "backlog-simulate: line 2: not JSON: Expecting value at character 1",
    ]
    assert by_kind(outcome, "total")[0]["jobs"] == 3


def test_a_line_that_cannot_be_simulated_leaves_the_others() -> None:
    odd = [
        {"taken": NOW, "cluster": "moon", "length": 1},
        {"taken": NOW},
        {"length": 5},
        {"taken": NOW, "length": -5},
        {"queue": "mimas.held", "message": 5, "taken": NOW},
        {"queue": "mimas.held", "topic": "x", "message": 5},
    ]
    outcome = simulate("--slots", "slurm=1", stdin=lines(*odd, *FOUR))
    assert outcome.code == 1
    assert by_kind(outcome, "total")[0]["jobs"] == 4
    for number in range(1, 7):
        assert f"backlog-simulate: line {number}: " in outcome.err
    assert "--slots moon=N" in outcome.err
    assert "--length SECONDS" in outcome.err


def test_held_messages_are_arrivals() -> None:
    message = {"parameters": {"ispyb_process": 1, "statistic-cluster": "iris"}}
    held = {"queue": "mimas.held", "message": message, "taken": NOW, "visit": "mx1-1"}
    other = {"queue": "processing_recipe", "message": {"recipes": ["x"]}, "taken": NOW}
    arguments = ["--slots", "iris=1", "--length", "60"]
    outcome = simulate(*arguments, stdin=lines(held, other, other))
    assert outcome.code == 0
    assert outcome.err == "backlog-simulate: lines that are not for mimas.held, left out: 2\n"
    assert [one["visit"] for one in by_kind(outcome, "visit")] == ["mx1-1"]
    assert [one["cluster"] for one in by_kind(outcome, "cluster")] == ["iris"]


def test_the_pipe_that_the_page_shows() -> None:
    outcome = shell(
        "mimas-plan 993677 | ispyb-create-job | jq -c '.taken = 1700000000'"
        " | backlog-simulate --slots slurm=4 --length 300"
    )
    assert outcome.code == 0
    (visit,) = by_kind(outcome, "visit")
    assert visit["jobs"] == 8


@pytest.mark.parametrize("given", [["--limit", "slurm=0"], []])
def test_the_limits_are_those_of_the_site(given: list[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("DLSTBX_MAX_JOBS_WAITING", "slurm=1")
    (total,) = by_kind(simulate("--slots", "slurm=1", *given, stdin=lines(*FOUR)), "total")
    assert total["limits"] == {"slurm": 0 if given else 1}


def test_priorities_and_lengths_by_recipe() -> None:
    jobs = [{"taken": NOW + n, "visit": f"mx{n}-1", "recipe": "slow"} for n in range(4)]
    quick = {"taken": NOW + 9, "visit": "mx9-1", "recipe": "quick"}
    arguments = ["--slots", "slurm=1", "--limit", "slurm=1", "--length", "50"]
    outcome = simulate(
        *arguments, "--length-of", "slow=500", "--priority", "quick=1", stdin=lines(*jobs, quick)
    )
    held = {one["visit"]: one["held"]["median"] for one in by_kind(outcome, "visit")}
    assert sorted(held, key=lambda visit: held[visit])[:2] == ["mx0-1", "mx9-1"]
    (use,) = by_kind(outcome, "cluster")
    assert use["busy"] * use["seconds"] == pytest.approx(4 * 500 + 50, rel=0.01)


def test_lengths_are_drawn_by_a_seed() -> None:
    jobs = lines(*({"taken": NOW + n} for n in range(20)))

    def printed(*more: str | int) -> str:
        return simulate("--slots", "slurm=4", "--length", "600~", *more, stdin=jobs).out

    assert printed() == printed("--seed", 0) == printed()
    assert printed("--seed", 1) != printed()


def test_start_delay_and_interval() -> None:
    given = lines({"taken": NOW, "length": 5}, {"taken": NOW + 400, "length": 5})
    arguments = ["--slots", "slurm=1", "--start-delay", 100, "--interval", 900, "--timeout", 300]
    (total,) = by_kind(simulate(*arguments, stdin=given), "total")
    assert total["queued"] == {"median": 100.0, "p90": 100.0, "longest": 100.0}
    assert total["held"]["longest"] == 500.0


def test_a_visit_that_nobody_knows() -> None:
    given = lines({"taken": NOW, "length": 5})
    assert simulate("--slots", "slurm=1", stdin=given).lines[0]["visit"] is None
    assert "\n -  " in simulate("--table", "--slots", "slurm=1", stdin=given).out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--slots"),
        (["--slots", "slurm"], "--slots takes CLUSTER=N"),
        (["--slots", "slurm=0"], "--slots takes CLUSTER=N, at least 1"),
        (["--slots", "hpc=4"], "hpc has no limit: give --limit hpc=N"),
        (["--slots", "slurm=4", "--limit", "slurm"], "--limit must be numbers of jobs"),
        (["--slots", "slurm=4", "--limit", "slurm=4,"], "--limit must be numbers of jobs"),
        (["--slots", "slurm=4", "--limit", "slurm=4,x"], "--limit must be numbers of jobs"),
        (["--slots", "slurm=4", "--length", "long"], "--length: 'long' is no length"),
        (["--slots", "slurm=4", "--length", ""], "--length: '' is no length"),
        (["--slots", "slurm=4", "--length-of", "5"], "--length-of takes RECIPE=SECONDS"),
        (["--slots", "slurm=4", "--length-of", "a=b"], "--length-of: 'b' is no length"),
        (["--slots", "slurm=4", "--interval", "0"], "--interval"),
        (["--slots", "slurm=4", "--start-delay", "nan"], "--start-delay"),
        (["--slots", "slurm=4", "--interval", "nan"], "--interval"),
        (["--slots", "slurm=4", "/no/such/file"], "/no/such/file"),
    ],
)
def test_wrong_use(arguments: list[str], reason: str) -> None:
    outcome = simulate(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert reason in outcome.err


def test_nobody_reads_the_result(tmp_path: Path) -> None:
    many = lines(*({**FOUR[0], "visit": f"mx{n}-1"} for n in range(2000)))
    (tmp_path / "many.jsonl").write_text(many)
    command = f"backlog-simulate --slots slurm=9 {tmp_path}/many.jsonl"
    outcome = shell(f"{command} | head -n 1; echo ${{PIPESTATUS[0]}}")
    assert outcome.out.endswith("\n0\n")
    assert outcome.err == ""


def test_told_to_stop_while_it_simulates(processes: list[Any], tmp_path: Path) -> None:
    # Years of a growing backlog: a minute's work at least.
    jobs = lines(*({"taken": NOW + 5 * n, "visit": f"mx{n % 999}-1"} for n in range(20_000)))
    (tmp_path / "jobs.jsonl").write_text(jobs)
    model = ["--slots", "slurm=1", "--length", "5000", "--limit", "slurm=1"]
    processes.append(start("backlog-simulate", *model, str(tmp_path / "jobs.jsonl")))
    (process,) = processes
    time.sleep(2)
    process.send_signal(signal.SIGTERM)
    out, said = process.communicate(timeout=10)
    assert (process.returncode, out) == (1, b"")
    assert b"told to stop before the end" in said


def test_a_bar_for_whoever_waits_at_a_terminal() -> None:
    jobs = lines(*({**FOUR[0], "taken": NOW + 200 * n} for n in range(6000)))
    terminal, theirs = pty.openpty()
    process = start("backlog-simulate", "--slots", "slurm=9", stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(jobs.encode(), timeout=60)
    said = written(terminal)
    assert b"reading" in said
    assert b"simulating" in said
    assert b"6000/6000" in said
    assert json.loads(out.splitlines()[0])["jobs"] == 6000


def test_no_bar_on_a_pipe() -> None:
    with progress() as tell:
        tell("reading", 10_000, None)


def test_thousands_of_lines_take_no_time() -> None:
    jobs = lines(*({"taken": NOW + 26 * n, "visit": f"mx{n % 99}-1"} for n in range(20_000)))
    begun = time.process_time()
    outcome = simulate(
        *("--slots", "slurm=100", "--length", "2000~", "--limit", "slurm=10,60", "--compare"),
        stdin=jobs,
    )
    assert time.process_time() - begun < 10
    assert [one["jobs"] for one in outcome.lines] == [20_000, 20_000]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None), (float("inf"), "never"), (0, "0s"), (99.4, "99s"), (100, "2m"), (180, "3m"),
        (5990, "100m"), (6000, "1.7h"), (36000, "10h"), (172800, "2.0d"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, text: str | None) -> None:
    assert _span(seconds) == text
