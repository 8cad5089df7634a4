"""Conditions worked out ahead, as far as beamline, event, class and detector decide them."""

from __future__ import annotations

from typing import Any, NamedTuple

from dlstbx_cli.mimas.objects import MimasDCClass, MimasDetectorClass, MimasEvent
from dlstbx_cli.mimas.specification import (
    AndSpecification,
    BaseSpecification,
    BeamlineSpecification,
    DCClassSpecification,
    DetectorClassSpecification,
    EventSpecification,
    NamedSpecification,
    NotSpecification,
    OrSpecification,
)


class Combination(NamedTuple):
    """The four fields of a scenario that most conditions look at."""

    beamline: str | None
    event: MimasEvent
    dcclass: MimasDCClass
    detectorclass: MimasDetectorClass | None


#: By exact type: a class that a site derives from one of these may look at more.
SETTLED = (
    BeamlineSpecification,
    EventSpecification,
    DCClassSpecification,
    DetectorClassSpecification,
)


def settle(
    specification: BaseSpecification,
    combination: Combination,
    kinds: tuple[type[BaseSpecification], ...] = SETTLED,
) -> bool | BaseSpecification:
    """Return what a condition comes to for every scenario of a combination.

    That is True or False, or the part of it that needs more of the scenario to be decided.

    :param kinds: of conditions that are settled; others look at fields of the combination
        that are not meant.
    """
    kind = type(specification)
    if kind in kinds:
        candidate: Any = combination  # has all that these look at
        return specification.is_satisfied_by(candidate)
    if isinstance(specification, NamedSpecification):
        return settle(specification.specification, combination, kinds)
    if isinstance(specification, NotSpecification):
        inner = settle(specification.operands[0], combination, kinds)
        return not inner if isinstance(inner, bool) else ~inner
    if isinstance(specification, AndSpecification | OrSpecification):
        return _settle_operands(specification, combination, kinds)
    return specification


def _settle_operands(
    specification: AndSpecification | OrSpecification,
    combination: Combination,
    kinds: tuple[type[BaseSpecification], ...],
) -> bool | BaseSpecification:
    # One operand decides the whole: a False an "and", a True an "or".
    decides = isinstance(specification, OrSpecification)
    undecided: list[BaseSpecification] = []
    for operand in specification.operands:
        outcome = settle(operand, combination, kinds)
        if outcome is decides:
            return decides
        if not isinstance(outcome, bool):
            undecided.append(outcome)
    if not undecided:
        return not decides
    return undecided[0] if len(undecided) == 1 else type(specification)(tuple(undecided))
