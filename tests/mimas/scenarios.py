"""Scenarios and plans for the tests of the rules."""

from __future__ import annotations

from typing import Any

from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBUnitCell,
    MimasScenario,
    zocalo_command_line,
)
from dlstbx_cli.mimas.core import run

BEAMLINES = (
    "i02-1", "i02-2", "i03", "i04", "i04-1", "i23", "i24", "i19-1", "i19-2", "i15", "i15-1", "b99",
)  # fmt: skip
EVENTS = tuple(event.name for event in MimasEvent)
CLASSES = tuple(dcclass.name for dcclass in MimasDCClass)
DETECTORS = ("EIGER", "PILATUS", None)

P212121 = MimasISPyBSpaceGroup("P212121")
CELL = MimasISPyBUnitCell(10, 11, 12, 90, 91.0, 92)
OWN = MimasISPyBSweep(5, 1, 100)
OTHER = MimasISPyBSweep(6, 1, 200)


def scenario(
    beamline: str | None,
    event: str = "END",
    dcclass: str = "ROTATION",
    detector: str | None = None,
    **more: Any,
) -> MimasScenario:
    """Return a scenario of data collection 5, alone in its group unless told otherwise."""
    fields = {
        "DCID": 5,
        "dcclass": MimasDCClass[dcclass],
        "event": MimasEvent[event],
        "beamline": beamline,
        "visit": "nt28218-1",
        "runstatus": "DataCollection Successful",
        "getsweepslistfromsamedcg": (OWN,),
        "detectorclass": MimasDetectorClass[detector] if detector else None,
    }
    return MimasScenario(**{**fields, **more})


def commands(candidate: MimasScenario) -> list[str]:
    """Return the plan as commands."""
    return [zocalo_command_line(task) for task in run(candidate)]
