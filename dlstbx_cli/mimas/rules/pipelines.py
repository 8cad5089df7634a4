"""The pipelines that process a rotation at an MX beamline, here or in the cloud."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlstbx_cli.mimas.cloud import is_offered
from dlstbx_cli.mimas.objects import MimasISPyBTriggerVariable, MimasScenario
from dlstbx_cli.mimas.rule import Job, Parameters, all_sweeps
from dlstbx_cli.mimas.rules.conditions import (
    PrefersPipeline,
    is_characterization,
    is_eiger,
    is_rotation,
    is_vmxm,
    several_collections,
)
from dlstbx_cli.mimas.rules.parameters import (
    ABS,
    CC,
    COPPER,
    FAILOVER,
    REMOVE_BLANKS,
    SYM,
    VMXM_SPOTS,
)
from dlstbx_cli.mimas.specification import BaseSpecification

_IRIS = (MimasISPyBTriggerVariable("statistic-cluster", "iris"),)


@dataclass(frozen=True)
class CloudOffered(BaseSpecification):
    """A cloud offer that applies to the scenario covers this recipe."""

    recipe: str

    def is_satisfied_by(self, candidate: MimasScenario) -> bool:
        """Tell whether the recipe may go to the cloud."""
        return candidate.cloudbursting is not None and is_offered(self.recipe, candidate)

    def __str__(self) -> str:
        return f"{self.recipe} is offered the cloud"

    def tells_apart(self, beamline: str | None) -> Iterator[tuple[str, Any]]:
        """Yield an offer of the beamline that covers the recipe."""
        if beamline is not None:
            offer = {"beamlines": (beamline,), "visit_pattern": ("",), "recipes": (self.recipe,)}
            yield "cloudbursting", (offer,)

    def saw(self, candidate: MimasScenario) -> str:
        """Return what an offer is held against."""
        offers = list(candidate.cloudbursting or ())
        return f"beamline is {candidate.beamline}, visit is {candidate.visit}, offers {offers}"


def _wanted_now(pipeline: str) -> BaseSpecification:
    return PrefersPipeline(pipeline) | is_characterization


def _variants(pipeline: str, job: Job) -> list[Job]:
    """Return a pipeline's three jobs, of which one is asked for: Pilatus, Eiger, cloud.

    What somebody waits for stays here: the preferred pipeline, and a characterization.
    """
    to_cloud = CloudOffered(job.recipe) & ~_wanted_now(pipeline)
    eiger = replace(job, recipe=f"{job.recipe}-eiger")
    cloud = replace(job, recipe=f"{job.recipe}-eiger-cloud", triggervariables=_IRIS)
    return [
        job.only(~is_eiger),
        eiger.only(is_eiger & ~to_cloud),
        cloud.only(is_eiger & to_cloud),
    ]


def _single(
    pipeline: str, recipe: str, display: str, parameters: Sequence[Parameters]
) -> list[Job]:
    return _variants(pipeline, Job(recipe, display, _wanted_now(pipeline), parameters))


def _multi(pipeline: str, recipe: str, display: str, parameters: Sequence[Parameters]) -> list[Job]:
    """Return a pipeline that takes the whole group: always held, and only if it has more."""
    job = Job(recipe, display, auto=False, parameters=parameters, sweeps=all_sweeps)
    return _variants(pipeline, job.only(is_rotation & several_collections))


_VMXM_ONLY = [group.only(is_vmxm) for group in (COPPER, FAILOVER, REMOVE_BLANKS, VMXM_SPOTS)]

#: In the order in which they are planned; the first name is ISPyB's.
PIPELINES = [
    *_single("xia2/DIALS", "autoprocessing-xia2-dials", "xia2 dials", [CC, SYM, *_VMXM_ONLY, ABS]),
    *_single("xia2/3dii", "autoprocessing-xia2-3dii", "xia2 3dii", [CC, SYM]),
    *_single("autoPROC", "autoprocessing-autoPROC", "autoPROC", [SYM]),
    *_multi("mxia2/DIALS", "autoprocessing-multi-xia2-dials", "xia2 dials (multi)", [CC, SYM, ABS]),
    *_multi("mxia2/3dii", "autoprocessing-multi-xia2-3dii", "xia2 3dii (multi)", [CC, SYM]),
]
