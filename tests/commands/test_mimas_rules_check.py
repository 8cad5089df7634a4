"""``mimas-rules --check``: each kind of finding, by a site's rules that have it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.mimas.rules.accepted import ACCEPTED
from dlstbx_cli.recipes import SHIPPED
from tests.commands.sites import install
from tests.conftest import Outcome, run

pytestmark = pytest.mark.usefixtures("home")

Check = Callable[..., Outcome]

#: A rule for every kind of collection: with it nothing else at P99 is left without.
ALL = 'Rule("all", when=is_p99 & is_end, recipes=["archive-nexus"])'


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a site's rules alone, or its module."""

    def check_(rules: str, *arguments: str, before: str = "", module: str = "") -> Outcome:
        source = module or f"{before}\nhandler = Family('site', [{rules}])\n"
        install(tmp_path / "site", monkeypatch, source)
        return run("mimas-rules", "--check", "--rules", "site", *arguments)

    return check_


def only(outcome: Outcome) -> dict[str, Any]:
    """Return the one finding that there is."""
    assert outcome.code == 1, outcome.err
    (line,) = outcome.lines
    assert "1 finding" in outcome.err
    assert isinstance(line, dict)
    return line


def test_ours_are_sound_and_it_is_quick() -> None:
    begun = time.monotonic()
    outcome = run("mimas-rules", "--check")
    assert (outcome.code, outcome.out) == (0, "")
    assert "nothing found" in outcome.err
    assert "not checked" not in outcome.err
    assert time.monotonic() - begun < 10


def test_what_is_accepted_of_ours_is_there_and_told_on_request() -> None:
    outcome = run("mimas-rules", "--check", "-v")
    assert outcome.err.count("accepted: ") == len(ACCEPTED)
    for reason in ACCEPTED.values():
        assert reason in outcome.err
    assert "accepted: " not in run("mimas-rules", "--check").err


def test_sound_rules_of_a_site(check: Check) -> None:
    outcome = check(ALL)
    assert (outcome.code, outcome.out) == (0, "")


class TestRecipes:
    def test_one_that_is_not_there(self, check: Check) -> None:
        found = only(check(ALL.replace("archive-nexus", "archive-tapes")))
        assert found["kind"] == "recipe"
        assert found["name"] == "recipe:all:archive-tapes"
        assert "there is no recipe 'archive-tapes' in " in found["text"]
        assert found["scenario"]["beamline"] == "p99"

    def test_a_jobs_recipe_has_another_name(self, check: Check) -> None:
        rule = 'Rule("job", when=is_p99, jobs=[Job("archive-nexus", display="x")])'
        assert only(check(rule))["name"] == "recipe:job:ispyb-archive-nexus"

    def test_one_that_all_rules_can_ask_for_is_told_once(self, check: Check) -> None:
        rule = 'Rule("more", when=is_p99 & is_start, recipes=["no"])'
        rules = [ALL.replace("archive-nexus", "no"), rule]
        assert only(check(", ".join(rules)))["rules"] == ["all", "more"]

    @pytest.mark.parametrize(
        "condition",
        [
            'VisitSpecification("cm")',
            'PrefersPipeline("mine")',
            "space_group_known & several_collections",
            'is_p99 & ~is_end & ~is_rotation & VisitSpecification("cm") & ~is_eiger & ~is_pilatus',
            'is_p99 & VisitSpecification("cm") & ~VisitSpecification("cm1")',
        ],
    )
    def test_one_that_is_asked_for_rarely(self, check: Check, condition: str) -> None:
        rule = f'Rule("rare", when={condition}, recipes=["rarely"])'
        assert only(check(f"{ALL}, {rule}"))["name"] == "recipe:rare:rarely"

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (b"{", "is not valid"),
            (b"[]", "is not valid"),
            (b"{}", "is not valid"),
            (b'{"1": {"queue": "x"}}', "start"),
            (b'{"1": {"queue": "x"}, "start": [[2, []]]}', "is not valid"),
            (b'{"1": {"queue": "x", "output": 1}, "start": [[1, []]]}', "is not valid"),
            (b'{"1": {"parameters": {}}, "start": [[1, []]]}', "neither queue nor topic"),
            (b"\xff", "not a text in UTF-8"),
        ],
    )
    def test_one_that_is_invalid(self, check: Check, tmp_path: Path, text: bytes, why: str) -> None:
        recipes = tmp_path / "recipes"
        shutil.copytree(SHIPPED, recipes)
        (recipes / "archive-nexus.json").write_bytes(text)
        found = only(check(ALL, "--recipes", str(recipes)))
        assert found["name"] == "recipe:all:archive-nexus"
        assert why in found["text"]

    def test_a_delay_may_be_a_parameter(self, check: Check, tmp_path: Path) -> None:
        recipe = {"1": {"queue": "x", "transport-delay": "{delay}"}, "start": [[1, []]]}
        (tmp_path / "recipes").mkdir()
        (tmp_path / "recipes/archive-nexus.json").write_text(json.dumps(recipe))
        assert check(ALL, "--recipes", str(tmp_path / "recipes")).code == 0

    def test_one_that_an_override_adds(
        self, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = """
[[override]]
beamline = "p99"
action = "add"
add = "YEAR-recipe"
reason = "tests"
owner = "eve"
until = YEAR-01-01T00:00:00Z
"""
        file = tmp_path / "overrides.toml"
        file.write_text(text.replace("YEAR", "2001") + text.replace("YEAR", "2999"))
        monkeypatch.setenv("DLSTBX_OVERRIDES", str(file))
        assert only(check(ALL))["name"] == "recipe:override:2999-recipe"

    def test_no_directory(self, check: Check) -> None:
        outcome = check(ALL, "--recipes", "/nowhere")
        assert (outcome.code, outcome.out) == (75, "")
        assert "/nowhere is not there" in outcome.err


class TestNever:
    @pytest.mark.parametrize(
        "condition",
        [
            "is_p99 & is_i03",
            "is_p99 & is_eiger & is_pilatus",
            "is_p99 & is_end & is_start",
            "is_p99 & is_serial & is_rotation",
            'is_p99 & VisitSpecification("cm1") & ~VisitSpecification("cm")',
            'is_p99 & PrefersPipeline("a") & PrefersPipeline("b")',
            "is_p99 & ~(is_p99 | is_end)",
            "BeamlineSpecification()",
            "is_p99 & space_group_known & ~space_group_known",
        ],
    )
    def test_a_rule(self, check: Check, condition: str) -> None:
        rule = f'Rule("idle", when={condition}, recipes=["whatever"])'
        found = only(check(f"{ALL}, {rule}"))
        assert (found["kind"], found["name"]) == ("never", "never:idle")
        assert "rule idle can never hold" in found["text"]
        assert found["scenario"] is None

    def test_something_that_a_rule_asks_for(self, check: Check) -> None:
        more = 'recipes=["archive-nexus", Recipe("archive-cbfs", when=is_start & is_pilatus)]'
        found = only(check(ALL.replace('recipes=["archive-nexus"]', more)))
        assert found["name"] == "never:all:archive-cbfs"
        assert "can never ask for archive-cbfs" in found["text"]

    def test_plain_code_is_found_by_what_stands_in_it(self, check: Check) -> None:
        before = """
class Commissioning(BaseSpecification):
    def is_satisfied_by(self, candidate):
        return (candidate.visit or "").startswith("cm")
"""
        rule = 'Rule("own", when=is_p99 & Commissioning(), recipes=["archive-cbfs"])'
        outcome = check(f"{ALL}, {rule}", before=before)
        assert (outcome.code, outcome.out) == (0, "")
        assert "not checked" not in outcome.err

    def test_what_nobody_can_know_is_a_doubt(self, check: Check) -> None:
        before = """
class Sundays(BaseSpecification):
    def is_satisfied_by(self, candidate):
        return len(candidate.visit) == 7 + candidate.DCID * 13
"""
        rules = [
            'Rule("own", when=is_p99 & Sundays(), recipes=["archive-cbfs"])',
            'Rule("idle", when=is_p99 & is_i03 & Sundays(), recipes=["archive-cbfs"])',
        ]
        outcome = check(", ".join([ALL, *rules]), before=before)
        assert only(outcome)["name"] == "never:idle"
        assert "not checked: rule own may hold" in outcome.err

    def test_its_recipes_are_looked_at_all_the_same(self, check: Check) -> None:
        before = """
class Sundays(BaseSpecification):
    def is_satisfied_by(self, candidate):
        return len(candidate.visit) == 7 + candidate.DCID * 13
"""
        rule = 'Rule("own", when=is_p99 & Sundays(), recipes=["lost"], jobs=[Job("lost", "d")])'
        outcome = check(f"{ALL}, {rule}", before=before)
        names = [line["name"] for line in outcome.lines]
        assert names == ["recipe:own:ispyb-lost", "recipe:own:lost"]
        assert "Sundays" in outcome.err


class TestRepeated:
    def test_the_same_recipe(self, check: Check) -> None:
        rule = 'Rule("again", when=is_p99 & is_end & is_rotation, recipes=["archive-nexus"])'
        found = only(check(f"{ALL}, {rule}"))
        assert found["name"] == "repeated:all+again:archive-nexus"
        assert found["scenario"]["dc_class"] == "rotation"
        assert found["scenario"]["event"] == "end"

    def test_one_of_ours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = 'Rule("mine", when=is_i15 & is_end, recipes=["strategy-screen19"])'
        install(tmp_path / "site", monkeypatch, f"handler = Family('site', [{rule}])")
        found = only(run("mimas-rules", "--check"))
        assert found["name"] == "repeated:i15-end+mine:strategy-screen19"

    def test_one_rule_twice(self, check: Check) -> None:
        found = only(check(ALL.replace('"archive-nexus"', '"archive-nexus", "archive-nexus"')))
        assert found["name"] == "repeated:all:archive-nexus"
        assert "asks twice" in found["text"]

    def test_the_same_job_under_another_name(self, check: Check) -> None:
        jobs = [f'Job("autoprocessing-fast-dp", display="{name}")' for name in ("one", "two")]
        rules = [
            f'Rule("{name}", when=is_p99 & is_end, jobs=[{job}])'
            for name, job in zip(("first", "second"), jobs, strict=True)
        ]
        found = only(check(", ".join(rules)))
        assert found["name"] == "repeated:first+second:autoprocessing-fast-dp"
        assert "done twice" in found["text"]

    def test_a_job_with_other_parameters_is_another(self, check: Check) -> None:
        job = 'Job("autoprocessing-fast-dp", display="x", parameters=[%s])'
        one = job % 'Parameters.fixed("A", {"a": "1"})'
        assert (
            check(f'{ALL}, Rule("jobs", when=is_p99 & is_end, jobs=[{one}, {job % ""}])').code == 0
        )


class TestNothing:
    def test_a_kind_that_the_rules_know(self, check: Check) -> None:
        rules = [
            'Rule("a", when=is_p99 & is_end & is_eiger & is_rotation, recipes=["archive-nexus"])',
            'Rule("b", when=is_p99 & is_start & is_pilatus, recipes=["archive-cbfs"])',
            'Rule("c", when=is_p99 & is_end & is_eiger & is_gridscan, recipes=["archive-nexus"])',
        ]
        assert check(", ".join(rules)).code == 0
        rules[1] = rules[1].replace("& is_pilatus", "& is_pilatus & is_rotation")
        found = only(check(", ".join(rules)))
        assert found["name"] == "nothing:p99 gridscan pilatus"
        assert found["scenario"] == {
            "dcid": 1, "event": "end", "dc_class": "gridscan", "beamline": "p99",
            "detectorclass": "pilatus",
        }  # fmt: skip

    def test_a_kind_that_a_rule_leaves_over(self, check: Check) -> None:
        rules = [
            'Rule("a", when=is_p99 & is_end & ~is_serial, recipes=["archive-nexus"])',
            'Rule("b", when=is_p99 & is_end & is_serial & is_eiger, recipes=["archive-cbfs"])',
            'Rule("c", when=is_p99 & is_start & is_pilatus & is_rotation, recipes=[])',
        ]
        names = [line["name"] for line in check(", ".join(rules)).lines]
        assert names == ["nothing:p99 serial_fixed pilatus", "nothing:p99 serial_jet pilatus"]

    def test_an_alternative_of_another_beamline_does_not_count(self, check: Check) -> None:
        either = '(is_p99 & is_rotation) | (BeamlineSpecification("p98") & is_gridscan)'
        outcome = check(f'Rule("a", when=is_end & ({either}), recipes=["archive-nexus"])')
        assert (outcome.code, outcome.out) == (0, "")

    def test_of_plain_code_nobody_knows_the_kinds(self, check: Check) -> None:
        module = """
@match_specification(is_p99 & is_end)
def handler(scenario, zc=None):
    if scenario.dcclass.name != "ROTATION":
        return []
    return [MimasRecipeInvocation(scenario.DCID, "archive-nexus")]
"""
        assert check("", module=module).code == 0


class TestIspyb:
    @pytest.mark.parametrize(
        ("change", "limit"),
        [
            ('display="x" * 81', 80),
            ('display="x", parameters=[Parameters.fixed("A", {"k" * 81: "v"})]', 80),
            ('display="x", parameters=[Parameters.fixed("A", {"k": "v" * 1025})]', 1024),
        ],
    )
    def test_a_value_that_is_too_long(self, check: Check, change: str, limit: int) -> None:
        job = f'Job("autoprocessing-fast-dp", {change})'
        rule = f'Rule("long", when=is_p99 & is_end, jobs=[{job}])'
        found = only(check(f"{ALL}, {rule}"))
        assert found["name"] == "ispyb:long:autoprocessing-fast-dp"
        assert f"{limit + 1} characters, ISPyB takes {limit}" in found["text"]
        assert check(f"{ALL}, {rule.replace(str(limit + 1), str(limit))}").code == 0

    def test_a_recipe_that_is_too_long(self, check: Check) -> None:
        rule = 'Rule("long", when=is_p99 & is_end, jobs=[Job("r" * 51, display="x")])'
        kinds = {line["kind"] for line in check(f"{ALL}, {rule}").lines}
        assert kinds == {"recipe", "ispyb"}


class TestFailures:
    def test_plain_code_that_fails(self, check: Check) -> None:
        module = """
@match_specification(is_p99 & is_end)
def handler(scenario, zc=None):
    if scenario.detectorclass.name == "EIGER":
        return [MimasRecipeInvocation(scenario.DCID, "archive-nexus")]
    return []
"""
        found = only(check("", module=module))
        assert found["name"] == "fails:site:AttributeError"
        assert "detectorclass" not in found["scenario"]
        assert "AttributeError" in found["text"]

    def test_plain_code_that_returns_no_tasks(self, check: Check) -> None:
        module = "def handler(scenario, zc=None):\n    return ['archive-nexus']\n"
        found = only(check("", module=module))
        assert found["name"] == "fails:site:BadTaskError"

    def test_a_condition_that_fails(self, check: Check) -> None:
        before = """
class Odd(BaseSpecification):
    def is_satisfied_by(self, candidate):
        return candidate.preferred_processing.startswith("x")
"""
        rule = 'Rule("odd", when=is_p99 & is_start & Odd(), recipes=["archive-cbfs"])'
        assert only(check(f"{ALL}, {rule}", before=before))["name"] == "fails:odd:AttributeError"

    def test_what_code_says_of_scenarios_that_are_tried_is_not_told(self, check: Check) -> None:
        module = """
import logging
def handler(scenario, zc=None):
    logging.getLogger("site").error("odd: %s", scenario)
    print("odd", scenario)
    return [MimasRecipeInvocation(scenario.DCID, "archive-nexus")]
"""
        outcome = check("", module=module)
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (0, "", 1)

    def test_a_refusal_is_none(self, check: Check) -> None:
        module = """
def handler(scenario, zc=None):
    raise ValueError("not this one")
"""
        outcome = check("", module=module)
        assert (outcome.code, outcome.out) == (0, "")
        assert "not checked: site is plain code" in outcome.err

    def test_rules_that_cannot_be_loaded(self, check: Check) -> None:
        outcome = check("", module="import no_such_module\n")
        assert (outcome.code, outcome.out) == (78, "")


class TestPlainCode:
    def test_what_it_asks_for_is_found_by_the_texts_in_it(self, check: Check) -> None:
        module = """
BEAMLINES = {"p45": "site-dict"}

def chosen(scenario):
    if scenario.beamline in ("p98", "p99") and scenario.visit.startswith("cm"):
        return "site-visit"
    if scenario.preferred_processing == "mine" and scenario.spacegroup:
        return "site-preferred"
    if scenario.runstatus == "Stopped":
        return "site-stopped"
    if scenario.cloudbursting:
        return "site-cloud"
    return BEAMLINES.get(scenario.beamline)

def handler(scenario, zc=None):
    recipe = chosen(scenario)
    return [MimasRecipeInvocation(scenario.DCID, recipe)] if recipe else []
"""
        outcome = check("", module=module)
        assert {line["name"] for line in outcome.lines} == {
            f"recipe:site:site-{name}"
            for name in ("dict", "visit", "preferred", "stopped", "cloud")
        }


class TestAccepting:
    def test_by_name(self, check: Check) -> None:
        rules = ALL.replace('"archive-nexus"', '"archive-nexus", "archive-nexus"')
        name = only(check(rules))["name"]
        outcome = check(rules, "--accept", name)
        assert (outcome.code, outcome.out) == (0, "")
        assert "nothing found, 1 accepted" in outcome.err

    def test_one_that_is_not_there_is_told(self, check: Check) -> None:
        outcome = check(ALL, "--accept", "never:old-rule")
        assert outcome.code == 0
        assert "--accept never:old-rule: there is nothing of that name" in outcome.err

    @pytest.mark.parametrize(
        "arguments",
        [["--accept", "x"], ["--check", "--markdown"], ["--check", "--beamline", "i03"]],
    )
    def test_wrong_use(self, arguments: list[str]) -> None:
        assert run("mimas-rules", *arguments).code == 2


def test_the_scenario_of_a_finding_shows_it(check: Check) -> None:
    rules = f'{ALL}, Rule("rare", when=is_p99 & VisitSpecification("cm"), recipes=["rarely"])'
    scenario = only(check(rules))["scenario"]
    planned = run("mimas-plan", "--rules", "site", stdin=json.dumps(scenario))
    assert (planned.code, [line["rule"] for line in planned.lines][-1]) == (0, "rare")


def test_a_table(check: Check) -> None:
    outcome = check(ALL.replace("archive-nexus", "archive-tapes"), "--table")
    assert outcome.code == 1
    assert "recipe:all:archive-tapes" in outcome.out
    assert check(ALL, "--table").out == ""
