"""``mimas-diff``: real plans compared, and what it prints and says."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, Outcome, run, shell
from tests.terminal import written

NOTES = {"rule": "r", "event": "END", "beamline": "i03"}


def job(dcid: int = 5, recipe: str = "dials", start: bool = True, **parameters: str) -> Any:
    pairs = [{"key": key, "value": value} for key, value in parameters.items()]
    content = {"DCID": dcid, "recipe": recipe, "autostart": start, "parameters": pairs}
    return {"queue": "ispyb_connector", "message": {"content": content}, **NOTES}


def request(dcid: int = 5, recipe: str = "archive") -> Any:
    body = {"recipes": [recipe], "parameters": {"ispyb_dcid": dcid}}
    return {"queue": "processing_recipe", "message": body, **NOTES, "rule": "a"}


@pytest.fixture
def files(home: Path) -> Path:
    """A directory with two plans."""
    old = [job(a="1"), job(6, "xia2", c="2"), request(), request(7), request(7, "other")]
    new = [request(), job(a="2", start=False), job(8)]
    for name, plan in (("old", old), ("new", new)):
        (home / name).write_text("".join(json.dumps(one) + "\n" for one in plan))
    return home


def diff(files: Path, *arguments: str | int) -> Outcome:
    return run("mimas-diff", *arguments, str(files / "old"), str(files / "new"))


def total(outcome: Outcome) -> dict[str, Any]:
    return next(line for line in outcome.lines if line["kind"] == "total")


def test_the_lines_that_it_prints(files: Path) -> None:
    outcome = diff(files)
    assert (outcome.code, outcome.err) == (1, "")
    none = {"same": 0, "changed": 0, "added": 0, "gone": 0}
    of = {"event": "END", "beamline": "i03"}
    assert outcome.lines == [
        {"kind": "total", "same": 1, "changed": 1, "added": 1, "gone": 3,
         "collections": {"both": 1, "only_old": 2, "only_new": 1}},
        {"kind": "rule", "rule": "a", **none, "same": 1, "gone": 2},
        {"kind": "rule", "rule": "r", **none, "changed": 1, "added": 1, "gone": 1},
        {"kind": "beamline", "beamline": "i03", "same": 1, "changed": 1, "added": 1, "gone": 3},
        {"kind": "recipe", "recipe": "archive", **none, "same": 1, "gone": 1},
        {"kind": "recipe", "recipe": "dials", **none, "changed": 1, "added": 1},
        {"kind": "recipe", "recipe": "other", **none, "gone": 1},
        {"kind": "recipe", "recipe": "xia2", **none, "gone": 1},
        {"kind": "only_old", "dcid": 6, **of, "tasks": 1},
        {"kind": "only_old", "dcid": 7, **of, "tasks": 2},
        {"kind": "only_new", "dcid": 8, **of, "tasks": 1},
        {"kind": "changed", "dcid": 5, **of, "rule": "r", "recipe": "dials", "task": "job",
         "changes": [{"name": "autostart", "old": True, "new": False},
                     {"name": "parameters.a", "old": "1", "new": "2"}]},
        {"kind": "gone", "dcid": 6, **of, "rule": "r", "recipe": "xia2", "task": "job",
         "fields": {"autostart": True, "parameters.c": "2"}, "alone": True},
        {"kind": "gone", "dcid": 7, **of, "rule": "a", "recipe": "archive", "task": "recipe",
         "fields": {}, "alone": True},
        {"kind": "gone", "dcid": 7, **of, "rule": "a", "recipe": "other", "task": "recipe",
         "fields": {}, "alone": True},
        {"kind": "added", "dcid": 8, **of, "rule": "r", "recipe": "dials", "task": "job",
         "fields": {"autostart": True}, "alone": True},
    ]  # fmt: skip


def test_a_parameter_that_one_side_has_not(files: Path) -> None:
    (files / "new").write_text(json.dumps({**job(), "rule": "s"}) + "\n")
    (changed,) = [one for one in diff(files).lines if one["kind"] == "changed"]
    assert changed["changes"] == [{"name": "parameters.a", "old": "1"}]
    assert (changed["rule"], changed["old_rule"]) == ("s", "r")


def test_tables_for_people(files: Path) -> None:
    outcome = diff(files, "--table")
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["1", "same,", "1", "changed,", "1", "added,", "3", "gone"] in rows
    assert ["xia2", "0", "0", "0", "1"] in rows
    assert ["5", "END", "i03", "r", "dials", "autostart", "true", "false"] in rows
    assert ["5", "END", "i03", "r", "dials", "parameters.a", '"1"', '"2"'] in rows
    assert ["7", "END", "i03", "2"] in rows
    assert "\x1b" not in outcome.out


def test_tasks_that_have_come_and_gone_in_tables(files: Path) -> None:
    (files / "new").write_text(json.dumps(job(recipe="x", start=False, p="q")) + "\n")
    rows = [line.split() for line in diff(files, "--table").out.splitlines()]
    assert ["5", "END", "i03", "r", "x", "hold", "p=q"] in rows
    assert ["5", "END", "i03", "r", "dials", "start", "a=1"] in rows
    assert ["5", "END", "i03", "a", "archive", "run"] in rows


def test_a_table_has_so_many_cases_and_no_more(files: Path) -> None:
    plan = [job(7, f"r{number}") for number in range(30)]
    (files / "new").write_text("".join(json.dumps(one) + "\n" for one in plan))
    for arguments, left in (([], 10), (["--limit", "3"], 27), (["--limit", "0"], 30)):
        out = diff(files, "--table", *arguments).out
        assert out.count(" start") == 30 - left
        assert f"{left} more not shown" in out
    assert "not shown" not in diff(files, "--table", "--limit", 30).out
    assert len([one for one in diff(files, "--limit", 1).lines if one["kind"] == "added"]) == 30


def test_only_the_sums(files: Path) -> None:
    assert {one["kind"] for one in diff(files, "--summary").lines} == {
        "total", "rule", "beamline", "recipe",
    }  # fmt: skip
    table = diff(files, "--summary", "--table").out
    assert "xia2" in table
    assert "DCID" not in table


@pytest.mark.parametrize(
    ("arguments", "code", "sums"),
    [
        (["--recipe", "archive", "--recipe", "dials"], 1, (1, 1, 1, 1)),
        (["--rule", "a"], 1, (1, 0, 0, 2)),
        (["--rule", "r", "--recipe", "archive"], 0, (0, 0, 0, 0)),
        (["--beamline", "i04"], 0, (0, 0, 0, 0)),
        (["--beamline", "I03", "--event", "end"], 1, (1, 1, 1, 3)),
        (["--event", "start"], 0, (0, 0, 0, 0)),
    ],
)
def test_filters(files: Path, arguments: list[str], code: int, sums: tuple[int, ...]) -> None:
    outcome = diff(files, *arguments)
    found = total(outcome)
    assert (found["same"], found["changed"], found["added"], found["gone"]) == sums
    assert outcome.code == code


def test_what_equals_what(files: Path) -> None:
    old = (files / "old").read_text().splitlines(keepends=True)
    assert run("mimas-diff", files / "old", "-", stdin="\n" + "".join(reversed(old))).code == 0
    assert run("mimas-diff", "-", files / "old", stdin="".join([*old, old[0]])).code == 1


def test_lines_for_others_are_counted(files: Path) -> None:
    letter = json.dumps({"queue": "dlq.mimas", "message": 1})
    outcome = run("mimas-diff", files / "old", "-", stdin=f"{letter}\n{letter}\n")
    assert "standard input: lines that are no tasks" in outcome.err
    assert "2 to dlq.mimas" in outcome.err
    assert total(outcome)["gone"] == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 2: not JSON"),
        ('"text"', "line 2: a line must be a JSON object"),
        ("{}", "line 2: neither queue nor topic"),
        (json.dumps(job("x")), "line 2: the DCID must be a number"),
        ('{"explain": "task"}', "line 2: the DCID must be a number"),
    ],
)
def test_a_line_that_is_none(files: Path, text: str, reason: str) -> None:
    (files / "new").write_text(f"{json.dumps(job())}\n{text}\n")
    outcome = diff(files)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{files / 'new'}: {reason}" in outcome.err
    assert outcome.err.count("\n") == 1


def test_wrong_use(files: Path) -> None:
    old = str(files / "old")
    for arguments in (["-", "-"], [old], [old, str(files / "none")], [old, str(files)],
                      [old, old, "--json", "--table"], [old, old, "--event", "never"],
                      [old, "/proc/self/mem"]):  # fmt: skip
        outcome = run("mimas-diff", *arguments)
        assert (outcome.code, outcome.out) == (2, ""), arguments
        assert outcome.err.count("\n") == 1


def at_a_terminal(*arguments: str) -> bytes:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(
        [BIN / "mimas-diff", *arguments], stdout=follower, stdin=subprocess.DEVNULL, env=environment
    )
    os.close(follower)
    seen = written(leader)
    assert process.wait(20) == 1
    return seen


@pytest.mark.parametrize("form", ["--json", "--table"])
def test_a_full_disk_is_no_difference(files: Path, form: str) -> None:
    outcome = shell(f"mimas-diff {form} {files}/old {files}/old > /dev/full")
    assert outcome.code == 75
    assert outcome.err == "mimas-diff: standard output: No space left on device\n"


def test_at_a_terminal(files: Path) -> None:
    plans = [str(files / "old"), str(files / "new")]
    assert b"\x1b[" in at_a_terminal(*plans)
    lines = at_a_terminal("--json", *plans).splitlines()
    assert [json.loads(line) for line in lines] == diff(files).lines


class TestRealPlans:
    """Plans of the demo facility, made by mimas-plan."""

    @pytest.fixture(autouse=True)
    def _plan_of_all(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(home)
        made = shell(
            "dlstbx-demo | jq .dcid > dcids; mimas-plan --event all $(cat dcids) > all.jsonl"
        )
        assert made.code == 0, made.err

    def test_a_subset_of_the_rules(self, home: Path) -> None:
        outcome = shell(
            "mimas-plan --event all --rules dlstbx-mx --rules dlstbx-vmxi $(cat dcids) |"
            " mimas-diff all.jsonl -"
        )
        assert outcome.code == 1
        plan = [json.loads(line) for line in (home / "all.jsonl").read_text().splitlines()]
        others = [one for one in plan if one["rule"].startswith(("i19-", "i15-", "ssx-"))]
        found = total(outcome)
        assert found["gone"] == len(others) > 50
        assert found["same"] == len(plan) - len(others) > 300
        assert found["changed"] == found["added"] == 0
        rules = [one for one in outcome.lines if one["kind"] == "rule"]
        assert {one["rule"] for one in rules if one["gone"]} == {one["rule"] for one in others}
        assert all(one["gone"] == 0 or one["same"] == 0 for one in rules)
        beamlines = {one["beamline"] for one in outcome.lines if one["kind"] == "gone"}
        assert beamlines == {one["beamline"] for one in others}
        assert found["collections"]["only_old"] > 20

    def test_through_the_pipe_it_is_the_same_plan(self) -> None:
        outcome = shell(
            "mimas-plan 993677 > one.jsonl;"
            " dlstbx.go --stdout -r mimas -s event=end 993677 | recipe-dispatch | mimas-plan |"
            " mimas-diff one.jsonl -"
        )
        assert outcome.code == 0, outcome.out
        assert total(outcome)["same"] == 16

    def test_explanations_and_records(self, home: Path) -> None:
        outcome = shell(
            "mimas-plan --event all --explain $(cat dcids) > why.jsonl;"
            " mimas-plan --event all --record records $(cat dcids) > again.jsonl;"
            " mimas-diff why.jsonl records/*.jsonl && mimas-diff all.jsonl why.jsonl"
        )
        assert outcome.code == 0, outcome.out
        (of_records, *_), (of_plan, *_) = (
            [one for one in outcome.lines if one["kind"] == "total"][n:] for n in (0, 1)
        )
        # All events of all collections were planned; most of them give no task.
        assert of_records["collections"]["both"] > 200
        assert of_plan["same"] == of_records["same"] > 300

    def test_an_override_is_found(self, home: Path) -> None:
        (home / "o.toml").write_text(
            '[[override]]\nbeamline = "i03"\nrecipe = "autoprocessing-fast-dp-eiger"\n'
            'action = "hold"\nreason = "x"\nowner = "y"\nuntil = 2999-01-01T00:00:00Z\n'
        )
        outcome = shell(
            "mimas-plan --event all --overrides o.toml $(cat dcids) | mimas-diff all.jsonl -"
        )
        changed = [one for one in outcome.lines if one["kind"] == "changed"]
        assert len(changed) == total(outcome)["changed"] > 3
        assert {one["beamline"] for one in changed} == {"i03"}
        assert {one["recipe"] for one in changed} == {"autoprocessing-fast-dp-eiger"}
        assert all(
            one["changes"] == [{"name": "autostart", "old": True, "new": False}] for one in changed
        )
