from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run, shell, start

SCENARIO = {
    "dcid": 123,
    "event": "end",
    "dc_class": "gridscan",
    "beamline": "i03",
    "visit": "cm1-1",
    "detectorclass": "eiger",
}
PLANNED = ["per-image-analysis-gridscan-i03-no-really", "archive-nexus"]


def recipes(lines: list[Any]) -> list[str]:
    return [line["message"]["recipes"][0] for line in lines]


def test_bare_scenarios_on_stdin_need_no_database(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLSTBX_ISPYB", "sqlite:////no/such/database")
    outcome = run("mimas-plan", stdin=json.dumps(SCENARIO))
    assert (outcome.code, recipes(outcome.lines)) == (0, PLANNED)
    assert [line["rule"] for line in outcome.lines] == ["i03-eiger-end", "eiger-end-archive"]


def test_a_bare_scenario_that_is_none_is_a_dead_letter(home: Path) -> None:
    outcome = run("mimas-plan", stdin=json.dumps({**SCENARIO, "event": "never"}))
    assert outcome.code == 1
    assert [line["queue"] for line in outcome.lines] == ["dlq.mimas"]
    assert outcome.lines[0]["message"] == {**SCENARIO, "event": "never"}


@pytest.mark.parametrize(
    ("arguments", "events"),
    [
        ([], {"END"}),
        (["--event", "start"], {"START"}),
        (["--event", "end_group"], set()),
        (["--event", "all"], {"START", "END"}),
    ],
)
def test_events(home: Path, arguments: list[str], events: set[str]) -> None:
    outcome = run("mimas-plan", *arguments, 993680)
    assert outcome.code == 0
    assert {line["event"] for line in outcome.lines} == events


@pytest.mark.parametrize("dcid", ["1", "0", "x", "-1", "99999999999999999999"])
def test_an_unknown_dcid(home: Path, dcid: str) -> None:
    outcome = run("mimas-plan", "--", dcid, "993680")
    assert outcome.code == 1
    assert dcid in outcome.err
    assert outcome.lines[0]["queue"] == "dlq.mimas"
    assert len(outcome.lines) > 1  # the other one is planned all the same


def test_commands_can_be_pasted(home: Path) -> None:
    outcome = run("mimas-plan", "--commands", 993677)
    lines = outcome.out.splitlines()
    assert lines[0] == "zocalo.go -r per-image-analysis-rotation-swmr 993677"
    assert all(shlex.split(line)[0] in ("zocalo.go", "ispyb.job") for line in lines)
    assert len(lines) == len(run("mimas-plan", 993677).lines)


def test_a_job_s_command_is_understood_by_ispyb_create_job(home: Path) -> None:
    (job, *_) = [
        line for line in run("mimas-plan", "--commands", 993677).out.splitlines() if "sweep" in line
    ]
    words = shlex.split(job)[1:]
    outcome = run("ispyb-create-job", *words)
    assert outcome.code == 0, outcome.err
    assert outcome.lines[0]["queue"] == "mimas.held"


def test_a_tree_for_people(home: Path) -> None:
    outcome = run("mimas-plan", "--tree", 993677, 1)
    assert outcome.code == 1
    assert "993677 end, i03" in outcome.out
    assert "rotation-end" in outcome.out
    assert "run   processing-rlv-eiger" in outcome.out
    assert "hold  autoprocessing-multi-xia2-dials-eiger" in outcome.out
    assert "dlq" not in outcome.out
    assert "DCID 1" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["mimas-plan", "--tree", "993677"],
        ["mimas-plan", "--commands", "993677"],
        ["queue-ls", "--table"],
        ["dlstbx-demo", "--table"],
        ["ispyb-lookup", "--explain", "993677"],
        ["dlq-ls", "--table"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_view_that_nobody_reads_ends_quietly(home: Path, arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*arguments, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"Exception" not in err


def test_at_a_terminal_it_is_a_tree(home: Path) -> None:
    outcome = shell("script -qec 'mimas-plan 993680' /dev/null </dev/null")
    assert "archive-nexus" in outcome.out
    assert "{" not in outcome.out


def test_a_chosen_set_of_rules(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps(SCENARIO)
    assert run("mimas-plan", "--rules", "dlstbx-i19", stdin=line).lines == []
    assert recipes(run("mimas-plan", "--rules", "dlstbx-mx", stdin=line).lines) == PLANNED
    monkeypatch.setenv("DLSTBX_RULES", "dlstbx-i19,dlstbx-mx")
    assert recipes(run("mimas-plan", stdin=line).lines) == PLANNED
    outcome = run("mimas-plan", "--rules", "nobody's", stdin=line)
    assert outcome.code == 2
    assert "dlstbx-mx" in outcome.err
    monkeypatch.setenv("DLSTBX_RULES", "nobody's")
    outcome = run("mimas-plan", stdin=line)
    assert outcome.code == 78
    assert "DLSTBX_RULES" in outcome.err


SITE = """
def handler(scenario, zc=None):
    if scenario.DCID == 666:
        raise RuntimeError("the site's mistake")
    from dlstbx_cli.mimas import MimasRecipeInvocation
    return [MimasRecipeInvocation(DCID=scenario.DCID, recipe="site-recipe")]
"""


def test_a_site_s_rule_is_asked_and_one_that_fails_stops_nobody_else(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "site_rules.py").write_text(SITE)
    info = tmp_path / "site_rules-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: site-rules\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[zocalo.mimas.handlers]\nsite = site_rules:handler\n")
    lines = "\n".join(json.dumps({**SCENARIO, "dcid": dcid}) for dcid in (1, 666, 2))
    (tmp_path / "lines").write_text(lines)
    outcome = shell(f"mimas-plan < {tmp_path}/lines", PYTHONPATH=str(tmp_path))
    assert outcome.code == 1
    kinds = [(line["queue"], line.get("rule")) for line in outcome.lines]
    plan = [("processing_recipe", rule) for rule in ("i03-eiger-end", "eiger-end-archive", "site")]
    assert kinds == [*plan, ("dlq.mimas", None), *plan]
    assert "site" in outcome.lines[3]["headers"]["dlstbx-error"]
    assert "the site's mistake" in outcome.lines[3]["headers"]["dlstbx-error"]


def test_views_are_for_people_not_for_brokers(home: Path) -> None:
    for way in ("--once", "--listen", "--send"):
        assert run("mimas-plan", "--commands", way).code == 2
        assert run("mimas-plan", "--tree", way).code == 2
    assert run("mimas-plan", "--once", 993677).code == 2
