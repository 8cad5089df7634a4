"""Why a rule holds or not: the parts that decide, and what they saw."""

from __future__ import annotations

import pytest

from dlstbx_cli.mimas import core
from dlstbx_cli.mimas.objects import MimasRecipeInvocation, MimasScenario
from dlstbx_cli.mimas.reasons import deciding, reasons
from dlstbx_cli.mimas.registry import NamedHandler, load_handlers
from dlstbx_cli.mimas.rule import Family, Recipe, Rule
from dlstbx_cli.mimas.rules.conditions import is_eiger, is_end, is_pilatus, is_serial
from dlstbx_cli.mimas.specification import BaseSpecification, match_specification
from tests.mimas.scenarios import scenario

PILATUS = scenario("i03", detector="PILATUS")
EIGER = scenario("i03", detector="EIGER")


class Fails(BaseSpecification):
    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        raise RuntimeError("no idea")


@pytest.mark.parametrize(
    ("condition", "candidate", "expected"),
    [
        (is_eiger, PILATUS, ["is_eiger: detectorclass is PILATUS"]),
        (is_end & is_eiger, PILATUS, ["is_eiger: detectorclass is PILATUS"]),
        (is_eiger & is_serial, PILATUS, ["is_eiger: detectorclass is PILATUS"]),
        (
            is_end & is_eiger,
            EIGER,
            ["is_end: event is END", "is_eiger: detectorclass is EIGER"],
        ),
        (is_eiger | is_pilatus, PILATUS, ["is_pilatus: detectorclass is PILATUS"]),
        (~is_pilatus, PILATUS, ["is_pilatus: detectorclass is PILATUS"]),
        (~is_pilatus & is_end, PILATUS, ["is_pilatus: detectorclass is PILATUS"]),
    ],
)
def test_what_decides(
    condition: BaseSpecification, candidate: MimasScenario, expected: list[str]
) -> None:
    assert [str(part) for part in deciding(condition, candidate)] == expected


@pytest.mark.parametrize("beamline", ["i03", "i04-1", "i19-1", "i24", "i02-1", "i15-1", "b07"])
@pytest.mark.parametrize("detector", ["EIGER", "PILATUS", None])
def test_they_give_the_plan(beamline: str, detector: str | None) -> None:
    """What the reasons say is asked for is what is planned, by the same rules."""
    candidate = scenario(beamline, detector=detector)
    handlers = load_handlers()
    found = reasons(candidate, handlers)
    asked = [(one.rule, ask.task) for one in found for ask in one.asks if ask.holds]
    planned = core.plan(candidate, handlers=handlers)
    assert [(one.rule, one.task) for one in planned] == [
        asked[place]
        for place in range(len(asked))
        if asked[place][1] not in [task for _, task in asked[:place]]
    ]
    assert all(reason.decided for reason in found)
    for reason in found:
        for ask in reason.asks:
            parameters = getattr(ask.task, "parameters", ())
            assert len(ask.origins) == len(parameters)


def test_each_rule_once_whether_it_holds_or_not() -> None:
    handlers = load_handlers()
    names = [
        rule.name
        for one in handlers
        if isinstance(one.handler, Family)
        for rule in one.handler.rules
    ]
    assert [reason.rule for reason in reasons(EIGER, handlers)] == names


def test_a_rule_that_fails_says_so_and_the_others_go_on() -> None:
    family = Family(
        "p99", [Rule("bad", when=Fails(), recipes=["a"]), Rule("good", is_end, recipes=["b"])]
    )
    bad, good = reasons(EIGER, [NamedHandler("p99", family)])
    assert (bad.holds, good.holds) == (False, True)
    assert bad.refused is not None
    assert "no idea" in bad.refused


def test_a_part_of_a_rule_that_is_not_asked_for() -> None:
    family = Family("p99", [Rule("end", is_end, recipes=[Recipe("a", when=is_eiger), "b"])])
    (reason,) = reasons(PILATUS, [NamedHandler("p99", family)])
    first, second = reason.asks
    assert (first.holds, [str(part) for part in first.decided]) == (
        False,
        ["is_eiger: detectorclass is PILATUS"],
    )
    assert (second.holds, second.decided) == (True, ())


def test_a_sites_plain_handler_says_what_it_asks_for() -> None:
    def handler(scenario: MimasScenario, zc: object = None) -> list[MimasRecipeInvocation]:
        if scenario.beamline == "b99":
            raise ValueError("not mine")
        return [MimasRecipeInvocation(scenario.DCID, "own")]

    named = [NamedHandler("site", handler)]
    (reason,) = reasons(EIGER, named)
    assert (reason.rule, reason.holds, reason.asks[0].recipe) == ("site", True, "own")
    (refused,) = reasons(scenario("b99"), named)
    assert refused.refused is not None
    assert "not mine" in refused.refused


def test_a_sites_handler_with_a_condition_says_what_decided() -> None:
    @match_specification(is_end & is_eiger)
    def handler(scenario: MimasScenario, zc: object = None) -> list[MimasRecipeInvocation]:
        return [MimasRecipeInvocation(scenario.DCID, "own")]

    named = [NamedHandler("site", handler)]
    found = [(one.holds, [str(part) for part in one.decided]) for candidate in (EIGER, PILATUS)
             for one in reasons(candidate, named)]  # fmt: skip
    assert found == [
        (True, ["is_end: event is END", "is_eiger: detectorclass is EIGER"]),
        (False, ["is_eiger: detectorclass is PILATUS"]),
    ]
