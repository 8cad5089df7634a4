"""The algebra of conditions, in truth and in words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest

from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasRecipeInvocation,
    MimasScenario,
    match_specification,
)
from dlstbx_cli.mimas.rules.conditions import is_eiger, is_end, is_i03, is_serial
from dlstbx_cli.mimas.settle import Combination, settle
from dlstbx_cli.mimas.specification import (
    BaseSpecification,
    BeamlineSpecification,
    DCClassSpecification,
    DetectorClassSpecification,
    EventSpecification,
    VisitSpecification,
)
from tests.mimas.scenarios import BEAMLINES, CLASSES, DETECTORS, EVENTS, scenario

I03_END = scenario("i03", "END", "ROTATION", "EIGER")


class Commissioning(BaseSpecification):
    """A site's own condition, with nothing but what is asked for."""

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        return (candidate.visit or "").startswith("cm")


@dataclass(frozen=True)
class NotMine(BeamlineSpecification):
    """Derived from one of ours, and looking at more than that does."""

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        return super().is_satisfied_by(candidate) and candidate.visit != "mine"


TRUTHS: list[tuple[BaseSpecification, dict[str, Any], bool]] = [
    (BeamlineSpecification("i03"), {}, True),
    (BeamlineSpecification("i0"), {}, False),
    (BeamlineSpecification(beamline="i04"), {}, False),
    (BeamlineSpecification(beamlines={"i03", "i04"}), {}, True),
    (BeamlineSpecification(beamlines=["i04"]), {}, False),
    (BeamlineSpecification("i03", {"i04"}), {}, True),
    (BeamlineSpecification(beamlines="i03"), {}, True),
    (BeamlineSpecification(beamlines="i03"), {"beamline": "i"}, False),
    (BeamlineSpecification(), {}, False),
    (BeamlineSpecification(), {"beamline": None}, False),
    (EventSpecification(MimasEvent.END), {}, True),
    (EventSpecification(MimasEvent.START), {}, False),
    (DCClassSpecification(MimasDCClass.ROTATION), {}, True),
    (DCClassSpecification(MimasDCClass.SCREENING), {}, False),
    (DetectorClassSpecification(MimasDetectorClass.EIGER), {}, True),
    (DetectorClassSpecification(MimasDetectorClass.PILATUS), {}, False),
    (DetectorClassSpecification(MimasDetectorClass.EIGER), {"detectorclass": None}, False),
    (VisitSpecification({"cm", "nt"}), {}, True),
    (VisitSpecification(["cm"]), {}, False),
    (VisitSpecification("nt"), {}, True),
    (VisitSpecification("nx"), {}, False),
    (VisitSpecification([]), {}, False),
    (VisitSpecification(["", "nt"]), {"visit": None}, False),
    (Commissioning(), {}, False),
    (~Commissioning() & is_i03, {}, True),
    (Commissioning() | is_i03, {}, True),
    (NotMine("i03"), {"visit": "mine"}, False),
]


@pytest.mark.parametrize(("specification", "changes", "holds"), TRUTHS, ids=str)
def test_truth(specification: BaseSpecification, changes: dict[str, Any], holds: bool) -> None:
    candidate = scenario(**{"beamline": "i03", "detector": "EIGER", **changes})
    assert specification.is_satisfied_by(candidate) is holds
    assert (~specification).is_satisfied_by(candidate) is not holds
    assert (specification & ~specification).is_satisfied_by(candidate) is False
    assert (specification | ~specification).is_satisfied_by(candidate) is True


def test_what_decides_ends_it() -> None:
    class Never(BaseSpecification):
        def is_satisfied_by(self, candidate: MimasScenario) -> bool:
            raise AssertionError("asked")

    assert not (~is_i03 & Never()).is_satisfied_by(I03_END)
    assert (is_i03 | Never()).is_satisfied_by(I03_END)


MIXED = is_eiger & ~(is_serial | Commissioning()) & (is_i03 | ~is_end)
WORDS = [
    (
        BeamlineSpecification("i03") & is_end & ~is_serial,
        "beamline is i03 and event is END and not (class is SERIAL_FIXED or class is SERIAL_JET)",
        "beamline is i03 & is_end & ~is_serial",
    ),
    (
        MIXED,
        "detector is EIGER and not ((class is SERIAL_FIXED or class is SERIAL_JET) or "
        "Commissioning) and (beamline is i03 or not (event is END))",
        "is_eiger & ~(is_serial | Commissioning) & (is_i03 | ~is_end)",
    ),
    ((is_i03 & is_end) | is_eiger, "(beamline is i03 and event is END) or detector is EIGER",
     "(is_i03 & is_end) | is_eiger"),
    (is_i03 & (is_end & is_eiger), "beamline is i03 and event is END and detector is EIGER",
     "is_i03 & is_end & is_eiger"),
    (BeamlineSpecification("i04", {"i24", "i03"}), "beamline is one of i03, i04, i24", None),
    (VisitSpecification({"nt", "cm"}), "visit starts with one of cm, nt", None),
    (VisitSpecification("cm"), "visit starts with cm", None),
]  # fmt: skip


@pytest.mark.parametrize(("specification", "words", "label"), WORDS)
def test_words(specification: BaseSpecification, words: str, label: str | None) -> None:
    assert str(specification) == words
    assert specification.label == (label or words)


SPECIFICATIONS = [
    *[row[0] for row in TRUTHS], MIXED, ~MIXED, MIXED | Commissioning(),
    is_i03 & Commissioning(), is_i03 & Commissioning() & ~NotMine("i03"),
    is_serial | ~Commissioning(),
]  # fmt: skip


@pytest.mark.parametrize("specification", SPECIFICATIONS, ids=str)
def test_settled_ahead_or_not_the_answer_is_the_same(specification: BaseSpecification) -> None:
    space = itertools.product(BEAMLINES[:3], EVENTS[:2], CLASSES, DETECTORS)
    for point, visit in itertools.product(space, ("cm1-1", "mine", None)):
        candidate = scenario(*point, visit=visit)
        ahead = settle(
            specification,
            Combination(
                candidate.beamline, candidate.event, candidate.dcclass, candidate.detectorclass
            ),
        )
        answer = ahead if isinstance(ahead, bool) else ahead.is_satisfied_by(candidate)
        assert answer == specification.is_satisfied_by(candidate)


def test_settling_leaves_only_what_is_open() -> None:
    here = Combination("i03", MimasEvent.END, MimasDCClass.ROTATION, MimasDetectorClass.EIGER)
    own = Commissioning()
    assert settle(is_i03 & is_end & own, here) is own
    assert settle(~is_i03 & own, here) is False
    assert settle(is_i03 | own, here) is True
    assert isinstance(settle(NotMine("i03"), here), NotMine)


def test_match_specification() -> None:
    @match_specification(BeamlineSpecification("i03") & EventSpecification(MimasEvent.END))
    def handle_i03(candidate: MimasScenario, zc: Any = None) -> list[Any]:
        """Return what i03 wants."""
        return [MimasRecipeInvocation(candidate.DCID, f"mine-{zc}")]

    assert handle_i03(I03_END, zc="zc") == [MimasRecipeInvocation(5, "mine-zc")]
    assert handle_i03(I03_END) == [MimasRecipeInvocation(5, "mine-None")]
    assert handle_i03(scenario("i04")) == []
    assert handle_i03.__name__ == "handle_i03"
    assert handle_i03.__doc__ == "Return what i03 wants."
