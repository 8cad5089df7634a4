"""From the parameters of a ``mimas`` message to a scenario.

Which parameters there are, and what happens to odd ones, is the Mimas service's
convention: what decides about the processing is refused, what only refines it is left
out with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dlstbx_cli import mimas
from dlstbx_cli.services.errors import Rejected

logger = logging.getLogger(__name__)

#: The older form of a class, a dict of booleans: the first true one counts.
_OLDER_CLASSES = {
    "serial_fixed": mimas.MimasDCClass.SERIAL_FIXED,
    "serial_jet": mimas.MimasDCClass.SERIAL_JET,
    "grid": mimas.MimasDCClass.GRIDSCAN,
    "characterization": mimas.MimasDCClass.CHARACTERIZATION,
    "screen": mimas.MimasDCClass.SCREENING,
    "diamond_anvil_cell": mimas.MimasDCClass.DIAMOND_ANVIL_CELL,
    "rotation": mimas.MimasDCClass.ROTATION,
}
_CLASSES = {member.name: member for member in mimas.MimasDCClass}
_EVENTS = {member.name: member for member in mimas.MimasEvent}
_DETECTORS = {member.name: member for member in mimas.MimasDetectorClass}

Refinement = TypeVar("Refinement")


def scenario_from(parameters: Mapping[str, Any]) -> mimas.MimasScenario:
    """Return the scenario that the parameters describe, validated.

    Null is the same as absent. Raises Rejected for a dcid, an event, a text or a sweep
    list that cannot be used; logs a warning for a class, cell, space group or scatterer
    that cannot, and carries on without.
    """
    dcid = _dcid(parameters.get("dcid"))
    scenario = mimas.MimasScenario(
        DCID=dcid,
        dcclass=_dc_class(parameters.get("dc_class"), dcid),
        event=_event(parameters.get("event")),
        beamline=_text(parameters, "beamline"),
        visit=_text(parameters, "visit"),
        runstatus=_text(parameters, "run_status"),
        spacegroup=_refinement(_space_group, parameters.get("space_group"), "space group", dcid),
        unitcell=_refinement(_unit_cell, parameters.get("unit_cell"), "unit cell", dcid),
        getsweepslistfromsamedcg=_sweeps(parameters.get("sweep_list")),
        preferred_processing=_text(parameters, "preferred_processing"),
        detectorclass=_member(_DETECTORS, parameters.get("detectorclass")),
        anomalous_scatterer=_refinement(
            _scatterer, parameters.get("diffraction_plan_info"), "anomalous scatterer", dcid
        ),
        cloudbursting=parameters.get("cloudbursting"),
    )
    try:
        mimas.validate(scenario)
    except ValueError as error:
        raise Rejected(f"DCID {dcid}: {error}") from None
    return scenario


def _dcid(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        try:
            number = int(value)
        except ValueError:  # more digits than Python converts
            number = 0
        if number:
            return number
    raise Rejected(f"dcid must be a positive number in digits, not {value!r:.60}")


def _event(value: Any) -> mimas.MimasEvent:
    event = _member(_EVENTS, value)
    if event is None:
        raise Rejected(f"event must be one of {', '.join(_EVENTS).lower()}, not {value!r:.60}")
    return event


def _member(members: Mapping[str, Refinement], value: Any) -> Refinement | None:
    # Only ASCII: upper() makes an S of a long s (U+017F) as well.
    if isinstance(value, str) and value.isascii():
        return members.get(value.upper())
    return None


def _dc_class(value: Any, dcid: int) -> mimas.MimasDCClass:
    found = _member(_CLASSES, value)
    if found is not None:
        return found
    if isinstance(value, dict):
        true = (member for key, member in _OLDER_CLASSES.items() if value.get(key))
        return next(true, mimas.MimasDCClass.UNDEFINED)
    if value is not None:
        _warn("data collection class", value, dcid, "taken as UNDEFINED")
    return mimas.MimasDCClass.UNDEFINED


def _text(parameters: Mapping[str, Any], key: str) -> Any:
    # What may be missing in a message is typed as a text in a scenario: the rules ask
    # only whether it is a certain one.
    value = parameters.get(key)
    if value is not None and not isinstance(value, str):
        raise Rejected(f"{key} must be a text, not {value!r:.60}")
    return value


def _sweeps(value: Any) -> tuple[mimas.MimasISPyBSweep, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise Rejected(f"sweep_list must be a list, not {value!r:.60}")
    sweeps = []
    for item in value:
        if not isinstance(item, list | tuple) or len(item) != 3:
            raise Rejected(f"sweep_list: each must be [DCID, start, end], not {item!r:.60}")
        sweeps.append(mimas.MimasISPyBSweep(*item))
    return tuple(sweeps)


def _refinement(
    make: Callable[[Any], Refinement | None], value: Any, what: str, dcid: int
) -> Refinement | None:
    # The look-up gives false for a cell with a value missing, ISPyB '' for a text.
    if value is None or value is False or value == "":
        return None
    try:
        made = make(value)
        if made is not None:
            mimas.validate(made)
    except (ValueError, TypeError):
        _warn(what, value, dcid, "carried on without")
        return None
    return made


def _space_group(value: Any) -> mimas.MimasISPyBSpaceGroup:
    return mimas.MimasISPyBSpaceGroup(value)


def _unit_cell(value: Any) -> mimas.MimasISPyBUnitCell:
    if not isinstance(value, list | tuple):
        raise TypeError("six numbers")
    return mimas.MimasISPyBUnitCell(*value)


def _scatterer(plan: Any) -> mimas.MimasISPyBAnomalousScatterer | None:
    if not isinstance(plan, dict):
        raise TypeError("a diffraction plan")
    symbol = plan.get("anomalousScatterer")
    return None if symbol is None or symbol == "" else mimas.MimasISPyBAnomalousScatterer(symbol)


def _warn(what: str, value: Any, dcid: int, then: str) -> None:
    logger.warning(
        "DCID %d: not a known %s: %.60r, %s",
        dcid,
        what,
        value,
        then,
        extra={"action": "odd-parameter", "dcid": dcid, "parameter": what},
    )


def parameters_of(scenario: mimas.MimasScenario) -> dict[str, Any]:
    """Return the parameters that describe a scenario: what ``scenario_from`` reads.

    What is not known is left out.
    """
    cell, scatterer = scenario.unitcell, scenario.anomalous_scatterer
    parameters = {
        "dcid": scenario.DCID,
        "event": scenario.event.name.lower(),
        "dc_class": scenario.dcclass.name.lower(),
        "beamline": scenario.beamline,
        "visit": scenario.visit,
        "run_status": scenario.runstatus,
        "space_group": scenario.spacegroup.symbol if scenario.spacegroup else None,
        "unit_cell": [cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma] if cell else None,
        "sweep_list": [[s.DCID, s.start, s.end] for s in scenario.getsweepslistfromsamedcg],
        "preferred_processing": scenario.preferred_processing,
        "detectorclass": scenario.detectorclass.name.lower() if scenario.detectorclass else None,
        "diffraction_plan_info": {"anomalousScatterer": scatterer.symbol} if scatterer else None,
        "cloudbursting": list(scenario.cloudbursting) if scenario.cloudbursting else None,
    }
    return {key: value for key, value in parameters.items() if value not in (None, [])}
