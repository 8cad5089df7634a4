"""The groups of job parameters that the rules share, by name."""

from __future__ import annotations

import functools

from dlstbx_cli.mimas.objects import MimasISPyBParameter, MimasScenario
from dlstbx_cli.mimas.rule import Job, Parameters
from dlstbx_cli.mimas.rules.conditions import space_group_known

# The same few keys and values come again and again.
_parameter = functools.lru_cache(maxsize=1024)(MimasISPyBParameter)
_HIGH = (MimasISPyBParameter("absorption_level", "high"),)
_MEDIUM = (MimasISPyBParameter("absorption_level", "medium"),)


def _space_group(scenario: MimasScenario) -> tuple[MimasISPyBParameter, ...]:
    if scenario.spacegroup is None:
        return ()
    return (_parameter("spacegroup", scenario.spacegroup.string),)


def _symmetry(scenario: MimasScenario) -> tuple[MimasISPyBParameter, ...]:
    if scenario.spacegroup is None or scenario.unitcell is None:
        return _space_group(scenario)
    return (*_space_group(scenario), _parameter("unit_cell", scenario.unitcell.string))


def _absorption(scenario: MimasScenario) -> tuple[MimasISPyBParameter, ...]:
    return _MEDIUM if scenario.anomalous_scatterer is None else _HIGH


#: The space group, if known, without the cell.
SPACE_GROUP = Parameters("SPACE_GROUP", _space_group)
#: The space group, if known, and then the unit cell, if that is known as well.
SYM = Parameters("SYM", _symmetry)
#: How strongly absorption is corrected for: more where an anomalous signal is sought.
ABS = Parameters("ABS", _absorption)

CC = Parameters.fixed("CC", {"resolution.cc_half_significance_level": "0.1"})
REMOVE_BLANKS = Parameters.fixed("REMOVE_BLANKS", {"remove_blanks": "true"})
FAILOVER = Parameters.fixed("FAILOVER", {"failover": "true"})

#: VMXm's sample holders: the powder rings of copper.
COPPER = Parameters.fixed(
    "COPPER",
    {
        "ice_rings.unit_cell": "3.615,3.615,3.615,90,90,90",
        "ice_rings.space_group": "fm-3m",
        "ice_rings.width": "0.01",
        "ice_rings.filter": "true",
    },
)

#: VMXm's small crystals: spot finding.
VMXM_SPOTS = Parameters.fixed(
    "VMXM_SPOTS",
    {
        "spotfinder.filter.max_separation": "8",
        "spotfinder.threshold.dispersion.kernel_size": "6,6",
        "spotfinder.threshold.dispersion.sigma_background": "3",
        "spotfinder.threshold.dispersion.sigma_strong": "1",
    },
)

#: Diamond anvil cells: their shadows, and the powder rings of the tungsten gasket.
DAC = Parameters.fixed(
    "DAC",
    {
        "dynamic_shadowing": "true",
        "ice_rings.filter": "true",
        "ice_rings.unit_cell": "3.1652,3.1652,3.1652,90,90,90",
        "ice_rings.space_group": "Im-3m",
        "ice_rings.width": "0.01",
        "scan_varying": "true",
        "resolution_range": "999,15",
        "keep_all_reflections": "false",
        "cc_half": "none",
        "isigma": "2",
    },
)


def plain_and_with_symmetry(*jobs: Job) -> list[Job]:
    """Return the jobs without SYM and then, for where a space group is known, with it."""
    return [
        *[job.without(SYM) for job in jobs],
        *[job.only(space_group_known) for job in jobs],
    ]
