"""The whole system, as a person would type it: real processes, real pipes, real files."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome, run, shell, start

GO = "dlstbx.go --stdout -r mimas -s event={event} {dcids}"
CHAIN = "recipe-dispatch | mimas-plan | ispyb-create-job"
#: An Eiger rotation on i03 with space group, cell, and two further sweeps in its group.
DCID = 993677
#: Its plan: five recipes, two jobs that start at once, and eight that are held... by recipe.
PLAN = {
    "per-image-analysis-rotation-swmr": 1,
    "archive-nexus": 1,
    "processing-rlv-eiger": 1,
    "generate-diffraction-preview": 1,
    "processing-mmcif-gen": 1,
    "autoprocessing-fast-dp-eiger": 1,
    "autoprocessing-xia2-dials-eiger": 2,
    "autoprocessing-xia2-3dii-eiger": 2,
    "autoprocessing-autoPROC-eiger": 2,
    "autoprocessing-multi-xia2-dials-eiger": 2,
    "autoprocessing-multi-xia2-3dii-eiger": 2,
}
JOBS = sum(number for name, number in PLAN.items() if name.startswith("autoprocessing"))
RECIPES = len(PLAN) - 6
STARTED = 3  # fast_dp, and xia2/DIALS with and without symmetry: the visit prefers it


def go(event: str = "end", dcids: Any = DCID) -> str:
    return GO.format(event=event, dcids=dcids)


def jobs(home: Path) -> list[tuple[Any, ...]]:
    """Return the jobs in ISPyB: recipe, number of parameters, number of sweeps."""
    with sqlite3.connect(home / "ispyb.sqlite3") as database:
        return database.execute(
            "SELECT recipe,"
            " (SELECT count(*) FROM ProcessingJobParameter p USING (processingJobId)"
            "  WHERE p.processingJobId = j.processingJobId),"
            " (SELECT count(*) FROM ProcessingJobImageSweep s"
            "  WHERE s.processingJobId = j.processingJobId) FROM ProcessingJob j"
            .replace(" USING (processingJobId)", "")
        ).fetchall()  # fmt: skip


def queues(outcome: Outcome) -> Counter[str]:
    return Counter(line["queue"] for line in outcome.lines)


def test_from_a_dcid_to_processing_jobs(home: Path) -> None:
    outcome = shell(f"{go()} | {CHAIN} | backlog-release --capacity slurm=4")
    assert outcome.code == 0, outcome.err
    assert queues(outcome) == {
        "processing_recipe": RECIPES + STARTED + 4,
        "mimas.held": JOBS - STARTED - 4,
    }
    assert Counter(recipe for recipe, _, _ in jobs(home)) == {
        name: number for name, number in PLAN.items() if name.startswith("autoprocessing")
    }


def test_a_second_dispatcher_fills_in_all_that_follows(home: Path) -> None:
    pipe = f"{go()} | {CHAIN} | backlog-release --capacity slurm=99 | recipe-dispatch"
    outcome = shell(pipe)
    assert outcome.code == 0, outcome.err
    filled = Counter(
        line["message"]["recipe"]["1"]["parameters"]["recipe"] for line in outcome.lines
    )
    assert filled == PLAN
    assert queues(outcome) == {"demo.processing": JOBS + RECIPES}
    job = next(line for line in outcome.lines if "multi-xia2-3dii" in json.dumps(line))
    parameters = job["message"]["recipe"]["1"]["parameters"]
    assert len(parameters["images"].split(",")) == 3
    assert "resolution.cc_half_significance_level" in parameters["processing_parameters"]


@pytest.mark.parametrize("event", ["start", "end", "start_group", "end_group"])
def test_the_preview_and_the_pipe_agree_on_every_collection(home: Path, event: str) -> None:
    dcids = [line["dcid"] for line in run("dlstbx-demo").lines if not line["running"]]
    # One that the rules refuse is refused by both.
    piped = shell(f"{go(event, ' '.join(map(str, dcids)))} | recipe-dispatch | mimas-plan")
    preview = run("mimas-plan", "--event", event, *dcids)
    assert piped.code == preview.code

    def tasks(lines: list[Any]) -> list[Any]:
        planned = [line for line in lines if not line["queue"].startswith("dlq.")]
        bodies = [line["message"].get("payload", line["message"]) for line in planned]
        return [body.get("content", body) for body in bodies]

    assert tasks(piped.lines) == tasks(preview.lines)
    assert len(tasks(preview.lines)) > (0 if event in ("start", "end") else -1)


def test_identities_follow_from_the_trigger(home: Path) -> None:
    trigger = run("dlstbx.go", "--stdout", "-r", "mimas", "-s", "event=end", DCID).out
    (home / "trigger").write_text(trigger)
    pipe = f"cat {home}/trigger | {CHAIN}"
    first, second = shell(pipe), shell(pipe)
    assert first.out == second.out  # the same ids, the same jobs
    assert len(jobs(home)) == JOBS
    identities = [line["headers"]["dlstbx-id"] for line in first.lines]
    assert len(set(identities)) == len(identities)


def test_two_triggers_on_purpose_are_two(home: Path) -> None:
    assert shell(f"({go()}; {go()}) | {CHAIN}").code == 0
    assert len(jobs(home)) == 2 * JOBS


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "command", ["dlstbx-top --once", "mimas-trace 993677", "mimas-plan --once"]
)
def test_a_standard_stream_that_is_closed(home: Path, command: str, closed: str) -> None:
    outcome = shell(f"{command} {closed}")
    assert (outcome.code, "Traceback" in outcome.err) == (0, False), outcome.err


def test_statistics_in_the_pipe_release(home: Path) -> None:
    statistic = {
        "topic": "transient.statistics.cluster",
        "message": {
            "statistic-group": "cluster",
            "statistic": "job-states",
            "statistic-cluster": "slurm",
            "statistic-timestamp": time.time(),
            "PENDING": 58,
        },
    }
    (home / "statistic").write_text(json.dumps(statistic) + "\n")
    outcome = shell(f"(cat {home}/statistic; {go()} | {CHAIN}) | backlog-release")
    assert outcome.lines[0] == statistic  # a topic is for everyone
    assert Counter(line.get("queue") for line in outcome.lines)["mimas.held"] == JOBS - STARTED - 2


def test_one_bad_trigger_does_not_stop_the_others(home: Path) -> None:
    lines = "\n".join(
        [
            run("dlstbx.go", "--stdout", "-r", "mimas", "-s", "event=end", 1).out.strip(),
            '{"queue": "processing_recipe", "message": {"recipes": ["../x"]}}',
            '{"queue": "processing_recipe", "message": {"recipes": ["no-such-recipe"]}}',
            '{"queue": "processing_recipe", "message": "text"}',
            "nonsense",
            run("dlstbx.go", "--stdout", "-r", "mimas", "-s", "event=end", DCID).out.strip(),
        ]
    )
    outcome = run("recipe-dispatch", stdin=lines)
    assert outcome.code == 1
    assert queues(outcome) == {"dlq.processing_recipe": 5, "mimas": 1}
    said = [line for line in outcome.err.splitlines() if "line " in line]
    assert [line.split(":")[1].strip() for line in said] == [f"line {n}" for n in range(1, 6)]
    assert "1" in said[0]


def test_with_the_embedded_broker_between_the_stages(home: Path) -> None:
    assert run("dlstbx.go", "-r", "mimas", "-s", "event=end", DCID).code == 0
    for stage in ("recipe-dispatch", "mimas-plan", "ispyb-create-job"):
        assert run(stage, "--once").code == 0
    assert run("backlog-release", "--once", "--capacity", "slurm=4").code == 0
    state = {line["queue"]: line["ready"] for line in run("queue-ls").lines}
    assert state == {"processing_recipe": RECIPES + STARTED + 4}
    held = run("backlog-ls").lines
    assert len(held) == JOBS - STARTED - 4
    assert {(job["visit"], job["dcid"], job["state"]) for job in held} == {
        ("mx37124-8", DCID, "held")
    }
    assert run("recipe-dispatch", "--once").code == 0
    assert len(run("queue-get", "demo.processing").lines) == RECIPES + STARTED + 4


def test_a_filter_can_send_to_the_broker(home: Path) -> None:
    outcome = shell(f"{go()} | recipe-dispatch --send")
    assert (outcome.code, outcome.out) == (0, "")
    assert [line["queue"] for line in run("queue-ls").lines] == ["mimas"]


def wait_until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_listeners_killed_at_any_instant_lose_and_double_nothing(
    home: Path, processes: list[Any]
) -> None:
    triggers = 6
    commands = {
        "recipe-dispatch": [],
        "mimas-plan": [],
        "ispyb-create-job": [],
        "backlog-release": ["--capacity", f"slurm={triggers * JOBS}"],
    }  # fmt: skip
    listening = {}

    def listen(name: str) -> None:
        listening[name] = start(name, "--listen", *commands[name])
        processes.append(listening[name])

    for name in commands:
        listen(name)
    assert run("dlstbx.go", "-r", "mimas", "-s", "event=end", *[DCID] * triggers).code == 0
    for kill in range(12):
        name = list(commands)[kill % 4]
        time.sleep(0.15)
        listening[name].send_signal(signal.SIGKILL)
        listening[name].wait()
        listen(name)
    expected = triggers * (JOBS + RECIPES)

    def arrived() -> int:
        states = {line["queue"]: line for line in run("queue-ls").lines}
        return states.get("demo.processing", {}).get("ready", 0)

    wait_until(lambda: arrived() >= expected)
    time.sleep(1)  # what came twice would come now
    for process in listening.values():
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=10) for process in listening.values()] == [0] * 4
    landed = run("queue-get", "demo.processing").lines
    assert [line["queue"] for line in run("queue-ls").lines] == []
    recipes = Counter(line["message"]["recipe"]["1"]["parameters"]["recipe"] for line in landed)
    assert recipes == {name: triggers * number for name, number in PLAN.items()}
    made = jobs(home)
    assert len(made) == triggers * JOBS
    assert all(sweeps in (1, 3) for _, _, sweeps in made)


def test_no_database_passes_all_lines_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLSTBX_ISPYB", f"sqlite:///{home}/not-there.sqlite3")
    trigger = run("dlstbx.go", "--stdout", "-r", "mimas", DCID).out
    outcome = run("recipe-dispatch", stdin=trigger + "other line\n")
    assert (outcome.code, outcome.out) == (78, trigger + "other line\n")
    assert "not-there.sqlite3" in outcome.err
    assert outcome.err.count("\n") == 1


def test_no_broker_to_send_to_passes_all_lines_on(home: Path) -> None:
    line = json.dumps({"queue": "mimas", "message": 1}) + "\n"
    outcome = run("mimas-plan", "--send", "--broker", "sqlite:////proc/none/q", stdin=line)
    assert (outcome.code, outcome.out) == (78, line)


def test_an_ispyb_without_tables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite3.connect(home / "empty.sqlite3").execute("VACUUM").connection.close()
    monkeypatch.setenv("DLSTBX_ISPYB", f"sqlite:///{home}/empty.sqlite3")
    trigger = run("dlstbx.go", "--stdout", "-r", "mimas", DCID).out
    outcome = run("recipe-dispatch", stdin=trigger + "other line\n")
    assert outcome.code == 78
    assert outcome.out == trigger + "other line\n"  # unhandled, still addressed to the queue
    assert outcome.err.count("\n") == 1
