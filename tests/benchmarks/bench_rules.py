"""How long the rules take: ``python -m tests.benchmarks.bench_rules``."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBUnitCell,
    MimasScenario,
)
from dlstbx_cli.mimas.core import run
from dlstbx_cli.mimas.errors import RuleError

BEAMLINES = (
    "i02-1", "i02-2", "i03", "i04", "i04-1", "i23", "i24", "i19-1", "i19-2", "i15", "i15-1", "b99",
)  # fmt: skip


def scenario(beamline: str, event: MimasEvent, dcclass: MimasDCClass, detector: object, dcid: int,
             *, rich: bool = False) -> MimasScenario:  # fmt: skip
    """Return a scenario; a rich one has symmetry and a group of two collections."""
    sweeps = (MimasISPyBSweep(dcid, 1, 3600), MimasISPyBSweep(dcid + 1, 1, 3600))
    return MimasScenario(
        DCID=dcid,
        dcclass=dcclass,
        event=event,
        beamline=beamline,
        visit="nt28218-1",
        runstatus="DataCollection Successful",
        spacegroup=MimasISPyBSpaceGroup("P212121") if rich else None,
        unitcell=MimasISPyBUnitCell(78.1, 78.2, 37.3, 90.0, 90.0, 90.0) if rich else None,
        getsweepslistfromsamedcg=sweeps if rich else sweeps[:1],
        preferred_processing="xia2/DIALS",
        detectorclass=detector,  # type: ignore[arg-type]
    )


def mix(*, rich: bool) -> list[MimasScenario]:
    """Return every combination of beamline, event, class and detector once."""
    space = itertools.product(BEAMLINES, MimasEvent, MimasDCClass, (*MimasDetectorClass, None))
    return [scenario(*point, dcid, rich=rich) for dcid, point in enumerate(space, 1)]


def microseconds(scenarios: Sequence[MimasScenario], rounds: int) -> float:
    """Return the best round's mean time for a plan, in microseconds."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        for each in scenarios:
            run(each)
        best = min(best, time.perf_counter() - begun)
    return best / len(scenarios) * 1e6


def planned(scenarios: Sequence[MimasScenario]) -> list[MimasScenario]:
    """Return the scenarios that no rule refuses."""

    def fine(each: MimasScenario) -> bool:
        try:
            run(each)
        except RuleError:
            return False
        return True

    return [each for each in scenarios if fine(each)]


def main() -> None:
    """Print a table: what, microseconds a plan, and what is to be reached."""
    largest = [
        scenario("i03", MimasEvent.END, MimasDCClass.ROTATION, MimasDetectorClass.PILATUS, dcid,
                 rich=True)
        for dcid in range(1, 2001)
    ]  # fmt: skip
    assert len(run(largest[0])) == 14
    rows = [
        ("uniform mix, no symmetry, one sweep", planned(mix(rich=False)), 10),
        ("uniform mix, symmetry, two sweeps", planned(mix(rich=True)), 10),
        ("largest i03 rotation plan (14 tasks)", largest, 50),
    ]
    print(f"{'core.run':40} {'us/plan':>8} {'to reach':>9} {'scenarios':>10}")
    for what, scenarios, limit in rows:
        print(f"{what:40} {microseconds(scenarios, 7):8.1f} {limit:9} {len(scenarios):10}")


if __name__ == "__main__":
    main()
