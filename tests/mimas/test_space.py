"""The space of scenarios: which values it has, and that a large one is thinned."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasRecipeInvocation,
    MimasScenario,
    validate,
)
from dlstbx_cli.mimas.opaque import is_plain
from dlstbx_cli.mimas.registry import OWN, NamedHandler, load_handlers
from dlstbx_cli.mimas.rule import Family, Rule
from dlstbx_cli.mimas.rules.conditions import (
    PrefersPipeline,
    is_end,
    is_i03,
    is_mx,
    is_start,
    several_collections,
    space_group_known,
)
from dlstbx_cli.mimas.rules.pipelines import CloudOffered
from dlstbx_cli.mimas.space import Only, Space, leaves
from dlstbx_cli.mimas.specification import (
    BaseSpecification,
    BeamlineSpecification,
    FieldSpecification,
    OrSpecification,
    VisitSpecification,
)
from dlstbx_cli.services.scenario import parameters_of, scenario_from
from tests.mimas.scenarios import BEAMLINES

HERE = ("i03", MimasEvent.END, MimasDCClass.ROTATION, MimasDetectorClass.EIGER)


class Commissioning(BaseSpecification):
    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        return (candidate.visit or "").startswith("cm")


class Half(BeamlineSpecification):
    """It inherits what it tells apart, and looks at more than that."""

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        return super().is_satisfied_by(candidate) and candidate.runstatus == "Aborted"


class Told(FieldSpecification):
    field = "runstatus"

    @property
    def values(self) -> tuple[str]:
        return ("Stopped",)

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        return candidate.runstatus == "Stopped"


def space(*conditions: BaseSpecification, only: Only | None = None) -> Space:
    rules = [Rule(f"rule-{place}", when=when) for place, when in enumerate(conditions)]
    return Space([NamedHandler("site", Family("site", rules))], only)


def scenarios(of: Space) -> list[MimasScenario]:
    return [scenario for _, several in of.walk() for scenario in several]


def values(of: Space, field: str) -> set[Any]:
    return {getattr(scenario, field) for scenario in scenarios(of)}


def test_our_beamlines_and_another_one() -> None:
    ours = Space(load_handlers(OWN))
    assert set(ours.beamlines) == set(BEAMLINES) - {"i15-1", "b99"}
    assert ours.elsewhere not in BEAMLINES
    assert ours.named_beamlines == ours.beamlines


def test_each_event_class_and_detector() -> None:
    met = {(s.event, s.dcclass, s.detectorclass) for s in scenarios(space(is_i03))}
    assert met == set(itertools.product(MimasEvent, MimasDCClass, (*MimasDetectorClass, None)))


def test_a_part_of_it() -> None:
    only = Only("i04", MimasEvent.END, MimasDCClass.ROTATION, (None,))
    (combination,) = space(is_i03, only=only).combinations()
    assert combination == ("i04", MimasEvent.END, MimasDCClass.ROTATION, None)
    assert not only.everything
    assert Only().everything


@pytest.mark.parametrize(
    ("condition", "field", "some", "other"),
    [
        (VisitSpecification(["cm", "cm1"]), "visit", {"cm", "cm1"}, True),
        (PrefersPipeline("mine"), "preferred_processing", {"mine", None}, False),
        (Told(), "runstatus", {"Stopped"}, True),
        (Commissioning(), "visit", {"cm"}, True),
        (Half("i03"), "runstatus", {"Aborted"}, True),
    ],
)
def test_what_conditions_tell_apart(
    condition: BaseSpecification, field: str, some: set[Any], other: bool
) -> None:
    found = values(space(condition & is_i03), field)
    assert some <= found
    assert len(found) == len(some) + other
    if other:
        assert not any(value.startswith(tuple(some)) for value in found - some)


def test_what_cannot_matter_is_not_varied() -> None:
    of = space(is_i03 & is_end & PrefersPipeline("mine"))
    for scenario in scenarios(of):
        matters = scenario.beamline == "i03" and scenario.event is MimasEvent.END
        assert matters or scenario.preferred_processing is None


def test_both_sides_of_every_condition_of_ours_are_met() -> None:
    of = Space(load_handlers(OWN))
    met = scenarios(of)
    for condition in (space_group_known, several_collections, CloudOffered("autoprocessing-x")):
        assert not is_plain(condition)
    rules = [r for h in of.handlers if isinstance(h.handler, Family) for r in h.handler.rules]
    parts = {str(leaf): leaf for rule in rules for ask in rule.asks if ask.when
             for leaf in leaves(rule.when & ask.when)}  # fmt: skip
    assert len(parts) > 15
    for leaf in parts.values():
        assert {leaf.is_satisfied_by(scenario) for scenario in met} == {True, False}, leaf


def test_scenarios_are_valid_and_can_be_written_down() -> None:
    for scenario in scenarios(Space(load_handlers(OWN)))[::17]:
        validate(scenario)
        again = scenario_from(parameters_of(scenario))
        lists = {"getsweepslistfromsamedcg", "cloudbursting"}
        for field in vars(scenario):
            value, back = getattr(scenario, field), getattr(again, field)
            if field in lists and value is not None:
                value, back = list(value), list(back)
            assert value == back


def test_plain_code_is_known_as_such() -> None:
    assert is_plain(Commissioning())
    assert is_plain(Half("i03"))
    assert not is_plain(Told())
    assert not is_plain(is_mx.specification)


def test_a_large_space_is_thinned_but_keeps_all_pairs() -> None:
    names = [f"{letter}{number}" for letter in "abcd" for number in range(9)]
    visits = [VisitSpecification(name) for name in names]
    pipelines = [PrefersPipeline(name) for name in names]
    either = OrSpecification((*visits, *pipelines))
    of = space(is_i03 & either)
    met = scenarios(of)
    assert of.thinned
    assert len(met) < 200_000
    here = [s for s in met if (s.beamline, s.event, s.dcclass, s.detectorclass) == HERE]
    assert len(set(map(repr, here))) == len(here)
    pairs = {(s.visit, s.preferred_processing) for s in here}
    assert pairs >= set(itertools.product(names, names))
    assert {(s.visit, s.spacegroup is None) for s in here} >= {("a1", True), ("a1", False)}


def code(*fields: str, texts: Sequence[str]) -> Space:
    """Return the space of a handler that looks for texts in fields, all in the same call."""

    def handler(scenario: MimasScenario, zc: Any = None) -> Sequence[MimasRecipeInvocation]:
        del zc
        found = [getattr(scenario, field) in texts for field in fields]
        return [MimasRecipeInvocation(scenario.DCID, "found")] if all(found) else []

    return Space([NamedHandler("site", handler)])


def test_code_that_looks_at_too_much_is_not_tried_with_all_of_it() -> None:
    names = tuple(f"name-{number}" for number in range(12))
    large = code("visit", "preferred_processing", "runstatus", texts=names)
    assert len(scenarios(large)) < 100_000
    assert large.thinned
    small = code("visit", "preferred_processing", "runstatus", texts=names[:2])
    met = scenarios(small)
    assert not small.thinned
    assert {("name-0", "name-1", "name-0")} <= {
        (s.visit, s.preferred_processing, s.runstatus) for s in met
    }


@pytest.mark.parametrize(
    "test",
    [
        lambda s: s.beamline == "p99",
        lambda s: s.beamline != "p99",
        lambda s: s.beamline in ("p98", "p99"),
        lambda s: s.beamline in {"p98", "p99"},
        lambda s: {"p99": True}.get(s.beamline),
        lambda s: s.beamline.upper() == "p99".upper(),
        lambda s: s.beamline[:3] == "p99",
        lambda s: s.beamline.split("-")[0] == "p99",
        lambda s: s.beamline.startswith(("p98", "p99")),
        lambda s: s.dcclass is MimasDCClass.SCREENING and s.beamline == "p99",
        lambda s: s.spacegroup and s.beamline == "p99",
        lambda s: s.cloudbursting and s.beamline == "p99",
        lambda s: s.visit.startswith("cm") and s.beamline == "p99",
    ],
)
def test_what_code_compares_with_is_found(test: Any) -> None:
    def handler(scenario: MimasScenario, zc: Any = None) -> Sequence[MimasRecipeInvocation]:
        del zc
        return [MimasRecipeInvocation(scenario.DCID, "found")] if test(scenario) else []

    of = Space([NamedHandler("site", handler)])
    asked = {bool(handler(scenario)) for scenario in scenarios(of) if scenario.beamline}
    assert asked == {True, False}
    assert {"p99", "P99"} & set(of.beamlines)


def test_a_small_one_is_whole() -> None:
    of = space(is_i03 & is_start & VisitSpecification("cm") & PrefersPipeline("mine"))
    found = {
        (s.visit, s.preferred_processing, s.spacegroup is None, len(s.getsweepslistfromsamedcg))
        for s in scenarios(of)
        if s.beamline == "i03" and s.event is MimasEvent.START
    }
    assert not of.thinned
    assert len(found) == 16
