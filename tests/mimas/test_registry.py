"""Which handlers there are, what they may return, and how they fail."""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dlstbx_cli.mimas import (
    MimasISPyBJobInvocation,
    MimasISPyBParameter,
    MimasRecipeInvocation,
    handle_scenario,
)
from dlstbx_cli.mimas.core import plan, run
from dlstbx_cli.mimas.errors import HandlerError, RuleError
from dlstbx_cli.mimas.registry import GROUP, OWN, NamedHandler, default_handlers, load_handlers
from dlstbx_cli.mimas.rule import Family, Job, Parameters, Recipe, Rule
from dlstbx_cli.mimas.rules.conditions import is_eiger, is_end, is_i03
from dlstbx_cli.mimas.specification import VisitSpecification
from tests.mimas.scenarios import CLASSES, DETECTORS, scenario
from tests.mimas.scenarios import OWN as SWEEP

SITE = """
from dlstbx_cli.mimas import MimasRecipeInvocation, MimasEvent, match_specification
from dlstbx_cli.mimas.specification import BeamlineSpecification, EventSpecification

@match_specification(BeamlineSpecification("b99") & EventSpecification(MimasEvent.END))
def b99(scenario, zc=None):
    return [MimasRecipeInvocation(scenario.DCID, f"site-{zc}")]

def preview(scenario, zc=None):
    return [MimasRecipeInvocation(scenario.DCID, "generate-diffraction-preview")]

number = 5
"""
ENTRIES = {"site-b99": "site_rules:b99", "a-site": "site_rules:preview"}
Site = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Install a site's package: a module and its entry points."""

    def install(name: str = "site_rules", entries: dict[str, str] = ENTRIES) -> None:
        root = tmp_path / name
        info = root / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (root / f"{name}.py").write_text(SITE)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{entry} = {value}" for entry, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        monkeypatch.syspath_prepend(root)

    monkeypatch.delitem(sys.modules, "site_rules", raising=False)
    return install


def test_ours_are_registered_as_they_are_known() -> None:
    parser = configparser.ConfigParser()
    parser.read(Path(__file__).parents[2] / "setup.cfg")
    lines = parser["options.entry_points"][GROUP].strip().splitlines()
    assert dict(line.split(" = ") for line in lines) == OWN


def test_ours_come_in_the_order_of_the_families() -> None:
    handlers = load_handlers()
    assert [named.name for named in handlers if named.own] == list(OWN)
    names = [named.handler.name for named in handlers if isinstance(named.handler, Family)]
    assert names == ["mx", "vmxi", "ssx", "i19", "i15"]


def test_a_site_is_found_and_comes_after_ours(site: Site) -> None:
    before = run(scenario("b99"))
    site()
    names = [named.name for named in default_handlers()]
    assert names == [*OWN, "a-site", "site-b99"]
    assert [(p.task.recipe, p.rule) for p in plan(scenario("b99"), zc="zc")] == [
        ("generate-diffraction-preview", "a-site"),
        ("site-zc", "site-b99"),
    ]
    assert before == []
    assert handle_scenario(scenario("b99")) == run(scenario("b99"))


def test_what_a_site_asks_for_again_is_planned_once(site: Site) -> None:
    site()
    planned = plan(scenario("i03", "END", "CHARACTERIZATION"))
    (preview,) = [p for p in planned if p.task.recipe == "generate-diffraction-preview"]
    assert (preview.rule, preview.also) == ("characterization-end", ("rotation-end", "a-site"))


def test_a_chosen_set_in_the_usual_order(site: Site) -> None:
    site()
    assert [n.name for n in load_handlers(["site-b99"])] == ["site-b99"]
    assert [n.name for n in load_handlers(["site-b99", "dlstbx-i15", "dlstbx-mx"])] == [
        "dlstbx-mx", "dlstbx-i15", "site-b99",
    ]  # fmt: skip
    assert load_handlers([]) == ()
    assert plan(scenario("i03"), handlers=load_handlers(["site-b99"])) == []


def test_an_unknown_name_is_an_error_that_lists_what_there_is(site: Site) -> None:
    site()
    with pytest.raises(HandlerError, match=r"no handler named dlstbx-i99.*dlstbx-mx.*site-b99"):
        load_handlers(["dlstbx-mx", "dlstbx-i99"])
    assert issubclass(HandlerError, ValueError)


def test_ours_are_never_there_twice(site: Site) -> None:
    site(entries={"again": OWN["dlstbx-mx"], "dlstbx-mx": OWN["dlstbx-mx"]})
    assert [named.name for named in default_handlers()] == list(OWN)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("site_rules:missing", "cannot be loaded"),
        ("no_such_module:x", "cannot be loaded: No module named"),
        ("site_rules:number", "cannot be called"),
    ],
)
def test_a_handler_that_cannot_be_loaded(site: Site, value: str, reason: str) -> None:
    site(entries={"broken": value})
    with pytest.raises(HandlerError, match=rf"handler broken .*{reason}"):
        default_handlers()
    assert [named.name for named in load_handlers(OWN)] == list(OWN)


def test_two_handlers_of_one_name(site: Site) -> None:
    site()
    site("other_rules", {"site-b99": "other_rules:b99"})
    with pytest.raises(HandlerError, match="two handlers are named site-b99"):
        load_handlers()


def test_ours_work_uninstalled(tmp_path: Path) -> None:
    (tmp_path / "dlstbx_cli").symlink_to(Path(__file__).parents[2] / "dlstbx_cli")
    program = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from dlstbx_cli.mimas.registry import load_handlers\n"
        "print([named.name for named in load_handlers()])"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == f"{list(OWN)}\n"


def returning(answer: Any) -> tuple[NamedHandler]:
    return (NamedHandler("a-site", lambda *_, **__: answer),)


GOOD_JOB = MimasISPyBJobInvocation(5, True, "r", "site", parameters=[MimasISPyBParameter("k", "")])


@pytest.mark.parametrize("answer", [[], (), [GOOD_JOB], (MimasRecipeInvocation(5, "r"), GOOD_JOB)])
def test_a_site_may_return_a_list_or_a_tuple(answer: Any) -> None:
    assert [p.task for p in plan(scenario("i03"), handlers=returning(answer))] == list(answer)


def test_a_task_that_is_asked_for_twice_by_one_handler() -> None:
    planned = plan(scenario("i03"), handlers=returning([GOOD_JOB, GOOD_JOB]))
    assert [(p.task, p.rule, p.also) for p in planned] == [(GOOD_JOB, "a-site", ())]


@pytest.mark.parametrize(
    "answer",
    [None, "recipe", {}, GOOD_JOB, iter([]), [None], ["recipe"], [SWEEP], [scenario("i03")],
     [MimasRecipeInvocation(5, "")], [MimasRecipeInvocation("5", "r")], [GOOD_JOB, [GOOD_JOB]]],
)  # fmt: skip
def test_anything_else_is_an_error_naming_the_handler(answer: Any) -> None:
    with pytest.raises(RuleError, match=r"^rule a-site: ") as error:
        plan(scenario("i03"), handlers=returning(answer))
    assert error.value.name == "a-site"
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (ValueError("no beam"), "rule a-site: no beam"),
        (KeyError("beam"), "rule a-site: KeyError: 'beam'"),
        (ZeroDivisionError("oops"), "rule a-site: ZeroDivisionError: oops"),
    ],
)
def test_a_handler_that_fails_is_named(cause: Exception, text: str) -> None:
    def fails(scenario: Any, zc: Any = None) -> Any:
        raise cause

    with pytest.raises(RuleError) as error:
        plan(scenario("i03"), handlers=[NamedHandler("a-site", fails)])
    assert str(error.value) == text
    assert error.value.cause is cause


# A site may write its rules as we do; a condition may look at anything.
SITE_FAMILY = Family(
    "i99",
    [
        Rule("i99-visits", when=is_end & VisitSpecification(["cm"]), recipes=["mine"]),
        Rule(
            "i99-parts",
            when=is_end & is_i03,
            recipes=[Recipe("eiger", when=is_eiger), Recipe("cm", when=VisitSpecification("cm"))],
            jobs=[
                Job(
                    "job",
                    display="Job",
                    auto=VisitSpecification("cm"),
                    parameters=[
                        Parameters.fixed("A", {"a": "1"}).only(VisitSpecification("cm")),
                        Parameters.fixed("B", {"b": "2"}).only(is_eiger).only(is_end),
                    ],
                )
            ],
        ),
    ],
)


@pytest.mark.parametrize(
    ("visit", "detector", "tasks"),
    [
        ("cm1-1", "EIGER", ["mine", "eiger", "cm", ("job", True, "a b")]),
        ("cm1-1", None, ["mine", "cm", ("job", True, "a")]),
        ("nt1-1", "EIGER", ["eiger", ("job", False, "b")]),
        (None, "PILATUS", [("job", False, "")]),
    ],
)
def test_a_family_whose_conditions_look_at_more(visit: Any, detector: Any, tasks: Any) -> None:
    found = [
        task.recipe
        if isinstance(task, MimasRecipeInvocation)
        else (task.recipe, task.autostart, " ".join(p.key for p in task.parameters))
        for task in SITE_FAMILY(scenario("i03", detector=detector, visit=visit), zc=None)
    ]
    assert found == tasks


def test_a_site_family_keeps_the_names_of_its_rules_and_is_checked() -> None:
    named = NamedHandler("site-i99", SITE_FAMILY)
    planned = plan(scenario("i03", visit="cm1-1"), handlers=[named])
    assert [p.rule for p in planned] == ["i99-visits", "i99-parts", "i99-parts"]
    empty = Family("empty", [Rule("empty-recipe", when=is_end, recipes=[""])])
    with pytest.raises(RuleError, match=r"^rule empty-recipe: .*recipe"):
        plan(scenario("i03"), handlers=[NamedHandler("site-empty", empty)])


def test_two_rules_of_one_name_are_refused() -> None:
    rule = Rule("twice", when=is_end)
    with pytest.raises(ValueError, match="two rules of the same name"):
        Family("i99", [rule, rule])


def test_a_rule_prints_its_name_and_condition() -> None:
    assert str(Rule("i99-end", when=is_end & is_i03)) == (
        "i99-end: event is END and beamline is i03"
    )


def test_plans_of_many_threads_are_those_of_one() -> None:
    points = [
        scenario(f"i0{n % 7}", "END", dcclass, detector, preferred_processing="autoPROC")
        for n in range(40)
        for dcclass in CLASSES
        for detector in DETECTORS
    ]
    alone = [run(point) for point in points]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, points)) == alone
