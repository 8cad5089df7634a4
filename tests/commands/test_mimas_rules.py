"""``mimas-rules``: the decision table of the rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.commands import mimas_rules, options
from dlstbx_cli.mimas import MimasDCClass, MimasDetectorClass, MimasEvent
from dlstbx_cli.mimas.core import plan
from dlstbx_cli.mimas.registry import OWN, load_handlers
from dlstbx_cli.mimas.rule import Family
from tests.commands.sites import install
from tests.conftest import Outcome, run
from tests.mimas.scenarios import scenario

pytestmark = pytest.mark.usefixtures("home")

OUR_RULES = [
    rule.name
    for named in load_handlers(OWN)
    if isinstance(named.handler, Family)
    for rule in named.handler.rules
]
SITE = '''
def recipe_for(scenario):
    return "site-special" if scenario.visit.startswith("cm") else "site-usual"

@match_specification(is_p99 & is_end)
def handler(scenario, zc=None):
    """What P99 wants at the end."""
    job = MimasISPyBJobInvocation(
        scenario.DCID, scenario.preferred_processing == "xia2/DIALS", "site-job", "automatic",
        displayname="site", sweeps=scenario.getsweepslistfromsamedcg)
    return [MimasRecipeInvocation(scenario.DCID, recipe_for(scenario)), job]
'''


def names(outcome: Outcome) -> list[str]:
    assert (outcome.code, outcome.err) == (0, "")
    return [line["rule"] for line in outcome.lines]


def test_all_rules_in_the_order_in_which_they_are_asked() -> None:
    outcome = run("mimas-rules")
    assert names(outcome) == OUR_RULES
    assert {line["set"] for line in outcome.lines} == set(OWN)
    assert all(line["own"] for line in outcome.lines)


def test_a_rule_is_told_whole() -> None:
    (line,) = [line for line in run("mimas-rules").lines if line["rule"] == "vmxi-gridscan-end"]
    assert line == {
        "rule": "vmxi-gridscan-end",
        "set": "dlstbx-vmxi",
        "own": True,
        "when": "beamline is i02-2 and event is END and class is GRIDSCAN",
        "label": "is_vmxi & is_end & is_gridscan",
        "tasks": [
            {"kind": "recipe", "recipe": "vmxi-spot-counts-per-image", "when": None},
            {
                "kind": "job",
                "recipe": "autoprocessing-xia2-ssx-eiger",
                "when": None,
                "starts": "always",
                "display": "xia2.ssx",
                "parameters": ["SYM"],
                "sweeps": "all_sweeps",
                "triggervariables": [],
            },
        ],
    }


@pytest.mark.parametrize("beamline", ["i03", "i02-1", "i02-2", "i24", "i19-1", "i15", "b99"])
def test_a_filter_leaves_the_rules_that_plan_something(beamline: str) -> None:
    handlers = load_handlers(OWN)
    for event in MimasEvent:
        planned = {
            (one.rule, one.task.recipe)
            for dcclass in MimasDCClass
            for detector in ("EIGER", "PILATUS", None)
            if not (beamline.startswith("i19") and "SERIAL" in dcclass.name)
            for one in plan(
                scenario(beamline, event.name, dcclass.name, detector), handlers=handlers
            )
        }
        lines = run("mimas-rules", "--beamline", beamline, "--event", event.name).lines
        listed = {(line["rule"], task["recipe"]) for line in lines for task in line["tasks"]}
        assert planned <= listed
        assert {line["rule"] for line in lines} - {rule for rule, _ in planned} <= {
            "vmxi-start", "i19-eiger-serial-end", "i19-eiger-serial-group-end",
        }  # fmt: skip


def test_filters_come_together() -> None:
    options = ("--beamline", "i03", "--event", "end", "--class", "gridscan", "--detector")
    assert names(run("mimas-rules", *options, "eiger")) == ["i03-eiger-end", "eiger-end-archive"]
    assert names(run("mimas-rules", *options, "EIGER")) == ["i03-eiger-end", "eiger-end-archive"]
    assert names(run("mimas-rules", *options, "pilatus")) == []
    rest = ("--beamline", "i04", "--event", "end", "--class", "screening", "--detector", "unknown")
    assert names(run("mimas-rules", *rest)) == ["screening-end"]


def test_a_filter_leaves_only_what_is_still_to_be_decided() -> None:
    options = ("--event", "end", "--class", "rotation", "--detector", "eiger")
    lines = run("mimas-rules", "--beamline", "i03", *options).lines
    when = {task["recipe"]: task["when"] for task in lines[-1]["tasks"]}
    assert when["processing-rlv-eiger"] is when["processing-mmcif-gen"] is None
    assert "processing-rlv" not in when
    assert "preferred pipeline is" in when["autoprocessing-xia2-dials-eiger"]
    every = run("mimas-rules", "--class", "rotation").lines
    (line,) = [line for line in every if line["rule"] == "rotation-end"]
    when = {task["recipe"]: task["when"] for task in line["tasks"]}
    assert when["processing-mmcif-gen"] == "not (beamline is i02-1)"
    assert when["processing-rlv"] == "not (detector is EIGER)"


def test_a_beamline_that_no_rule_names_is_doubted() -> None:
    upper, lower = (run("mimas-rules", "--beamline", name).out for name in ("I03", "i03"))
    assert upper == lower
    outcome = run("mimas-rules", "--beamline", "i99")
    assert (outcome.code, outcome.out) == (0, "")
    assert "no rule names the beamline 'i99'" in outcome.err
    assert "i19-1" in outcome.err


def test_the_choices_are_those_of_a_scenario() -> None:
    assert [name.upper() for name in options.EVENTS] == list(MimasEvent.__members__)
    assert [name.upper() for name in mimas_rules.CLASSES] == list(MimasDCClass.__members__)
    known = [name.upper() for name in mimas_rules.DETECTORS[:-1]]
    assert known == list(MimasDetectorClass.__members__)


class TestASite:
    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path / "site", monkeypatch, SITE)

    def of_site(self, *arguments: str) -> Any:
        lines = [line for line in run("mimas-rules", *arguments).lines if line["set"] == "site"]
        return lines[0] if lines else None

    def test_what_plain_code_asks_for_is_found(self) -> None:
        line = self.of_site()
        assert (line["rule"], line["own"]) == ("site", False)
        assert line["when"] == "beamline is p99 and event is END"
        tasks = {task["recipe"]: task for task in line["tasks"]}
        assert tasks.keys() == {"site-special", "site-usual", "site-job"}
        assert (tasks["site-job"]["display"], tasks["site-job"]["starts"]) == ("site", "sometimes")

    def test_filters_hold_for_it(self) -> None:
        assert self.of_site("--beamline", "p99")
        assert self.of_site("--event", "start") is None
        assert self.of_site("--beamline", "i03") is None

    def test_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert names(run("mimas-rules", "--rules", "site")) == ["site"]
        monkeypatch.setenv("DLSTBX_RULES", "dlstbx-i15,site")
        assert names(run("mimas-rules")) == ["i15-end", "site"]
        assert run("mimas-rules", "--rules", "nobody").code == 2

    def test_a_function_says_what_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = SITE.replace("@match_specification(is_p99 & is_end)\n", "")
        install(tmp_path / "site", monkeypatch, source)
        assert self.of_site()["when"] == "code: What P99 wants at the end."


class TestForPeople:
    def test_a_table(self) -> None:
        out = run("mimas-rules", "--table", "--beamline", "i02-2").out
        assert "rule" in out.splitlines()[1]
        assert "vmxi-gridscan-end" in out
        assert "run vmxi-spot-counts-per-image" in out
        assert "start autoprocessing-xia2-ssx-eiger" in out
        assert "at once if preferred pipeline is autoPROC, else held" in " ".join(out.split())

    def test_a_job_without_and_with_symmetry_is_one_line(self) -> None:
        out = run("mimas-rules", "--table", "--beamline", "i15").out
        assert out.count("autoprocessing-multi-xia2-smallmolecule ") == 1
        assert "a space group is known" not in out

    def test_markdown_is_a_table_of_each_set(self) -> None:
        out = run("mimas-rules", "--markdown").out
        heads = [line[3:] for line in out.splitlines() if line.startswith("## ")]
        assert heads == list(OWN)
        rows = [line for line in out.splitlines() if line.startswith("| ")]
        cells = [row.strip("| ").split(" | ")[0] for row in rows if "---" not in row]
        assert [cell for cell in cells if cell != "rule"] == OUR_RULES
        assert all(row.count(" | ") == 3 for row in rows)
        assert "`autoprocessing-multi-xia2-smallmolecule` if detector is PILATUS" in out

    def test_one_form_at_a_time(self) -> None:
        assert run("mimas-rules", "--json", "--markdown").code == 2
        assert json.loads(run("mimas-rules", "--json").out.splitlines()[0])
