"""The conditions that the rules share, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dlstbx_cli.mimas.objects import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBSweep,
    MimasScenario,
)
from dlstbx_cli.mimas.specification import (
    BeamlineSpecification,
    DCClassSpecification,
    DetectorClassSpecification,
    EventSpecification,
    FieldSpecification,
)
from dlstbx_cli.mimas.specification import NamedSpecification as named  # noqa: N813  reads as a verb

is_start = named("is_start", EventSpecification(MimasEvent.START))
is_end = named("is_end", EventSpecification(MimasEvent.END))
is_group_end = named("is_group_end", EventSpecification(MimasEvent.END_GROUP))

is_eiger = named("is_eiger", DetectorClassSpecification(MimasDetectorClass.EIGER))
is_pilatus = named("is_pilatus", DetectorClassSpecification(MimasDetectorClass.PILATUS))

is_characterization = named(
    "is_characterization", DCClassSpecification(MimasDCClass.CHARACTERIZATION)
)
is_diamond_anvil_cell = named(
    "is_diamond_anvil_cell", DCClassSpecification(MimasDCClass.DIAMOND_ANVIL_CELL)
)
is_gridscan = named("is_gridscan", DCClassSpecification(MimasDCClass.GRIDSCAN))
is_rotation = named("is_rotation", DCClassSpecification(MimasDCClass.ROTATION))
is_screening = named("is_screening", DCClassSpecification(MimasDCClass.SCREENING))
is_serial = named(
    "is_serial",
    DCClassSpecification(MimasDCClass.SERIAL_FIXED) | DCClassSpecification(MimasDCClass.SERIAL_JET),
)

is_vmxm = named("is_vmxm", BeamlineSpecification("i02-1"))
is_vmxi = named("is_vmxi", BeamlineSpecification("i02-2"))
is_i03 = named("is_i03", BeamlineSpecification("i03"))
is_i15 = named("is_i15", BeamlineSpecification("i15"))
is_i19 = named("is_i19", BeamlineSpecification(beamlines=["i19-1", "i19-2"]))
is_i24 = named("is_i24", BeamlineSpecification("i24"))
#: The MX beamlines but VMXi, which has rules of its own.
is_mx = named(
    "is_mx", BeamlineSpecification(beamlines=["i02-1", "i03", "i04", "i04-1", "i23", "i24"])
)


@dataclass(frozen=True)
class PrefersPipeline(FieldSpecification):
    """The visit's preferred pipeline has exactly this name."""

    pipeline: str
    field: ClassVar[str] = "preferred_processing"

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the pipeline is the preferred one."""
        return candidate.preferred_processing == self.pipeline

    @property
    def values(self) -> tuple[str, ...]:
        """The pipeline's name."""
        return (self.pipeline,)

    def __str__(self) -> str:
        return f"preferred pipeline is {self.pipeline}"


class SpaceGroupKnown(FieldSpecification):
    """A space group is known (a unit cell alone does not count)."""

    field: ClassVar[str] = "spacegroup"

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the scenario names a space group."""
        return candidate.spacegroup is not None

    @property
    def values(self) -> tuple[None]:
        """None: all others are alike."""
        return (None,)

    def __str__(self) -> str:
        return "a space group is known"


class SeveralCollections(FieldSpecification):
    """At least one sweep of the group belongs to another data collection."""

    field: ClassVar[str] = "getsweepslistfromsamedcg"

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether another collection's sweep is in the group."""
        sweeps = candidate.getsweepslistfromsamedcg
        return any(sweep.DCID != candidate.DCID for sweep in sweeps)

    @property
    def values(self) -> tuple[tuple[MimasISPyBSweep, ...]]:
        """A sweep that is nobody's own: of the highest number that ISPyB can give."""
        return ((MimasISPyBSweep(2**31 - 1, 1, 1),),)

    def __str__(self) -> str:
        return "a sweep of the group belongs to another data collection"

    def saw(self, candidate: MimasScenario) -> str:
        """Return which collections the group's sweeps belong to."""
        dcids = sorted({sweep.DCID for sweep in candidate.getsweepslistfromsamedcg})
        return f"DCID is {candidate.DCID}, sweeps of {', '.join(map(str, dcids)) or 'none'}"


space_group_known = named("space_group_known", SpaceGroupKnown())
several_collections = named("several_collections", SeveralCollections())
