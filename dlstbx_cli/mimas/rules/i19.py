"""The rules of I19, chemical crystallography (i19-1 and i19-2)."""

from __future__ import annotations

from dlstbx_cli.mimas.objects import MimasISPyBSweep, MimasScenario
from dlstbx_cli.mimas.rule import Family, Job, Rule, all_sweeps
from dlstbx_cli.mimas.rules.conditions import (
    is_diamond_anvil_cell,
    is_eiger,
    is_end,
    is_group_end,
    is_i19,
    is_pilatus,
    is_serial,
    is_start,
)
from dlstbx_cli.mimas.rules.parameters import ABS, DAC, SYM, plain_and_with_symmetry

_DAC = DAC.only(is_diamond_anvil_cell)


def own_sweep(scenario: MimasScenario) -> tuple[MimasISPyBSweep]:
    """Return the one sweep of the group that belongs to this data collection.

    Raises ValueError if there is none, or more than one.
    """
    own = [s for s in scenario.getsweepslistfromsamedcg if s.DCID == scenario.DCID]
    if len(own) != 1:
        raise ValueError(
            "exactly one sweep of the group must belong to data collection "
            f"{scenario.DCID}, not {len(own)}"
        )
    return (own[0],)


def _small_molecule(recipe: str) -> Job:
    return Job(recipe, display="xia2 dials", parameters=[SYM, ABS, _DAC], sweeps=all_sweeps)


def _small_molecule_aimless(recipe: str) -> Job:
    return Job(recipe, display="xia2 dials-aimless", parameters=[SYM, _DAC], sweeps=all_sweeps)


handler = Family(
    "i19",
    [
        Rule(
            "i19-pilatus-start",
            when=is_pilatus & is_start & is_i19,
            recipes=["per-image-analysis-rotation-i19"],
        ),
        Rule(
            "i19-pilatus-end",
            when=is_pilatus & is_end & is_i19,
            recipes=["archive-cbfs", "processing-rlv", "strategy-screen19"],
        ),
        Rule(
            "i19-eiger-end",
            when=is_eiger & is_end & ~is_serial & is_i19,
            recipes=[
                "archive-nexus",
                "processing-rlv-eiger",
                "strategy-screen19-eiger",
                "per-image-analysis-rotation-swmr-i19",
            ],
        ),
        Rule(
            "i19-eiger-serial-end",
            when=is_eiger & is_end & is_serial & is_i19,
            jobs=plain_and_with_symmetry(
                Job(
                    "autoprocessing-multi-xia2-smallmolecule-nexus",
                    display="xia2 dials",
                    parameters=[SYM, ABS],
                    sweeps=own_sweep,
                )
            ),
        ),
        Rule(
            "i19-eiger-serial-group-end",
            when=is_eiger & is_group_end & is_serial & is_i19,
            recipes=["autoprocessing-i19serial-groupend"],
        ),
        Rule(
            "i19-end",
            when=is_end & ~is_serial & is_i19,
            recipes=["generate-diffraction-preview"],
            jobs=plain_and_with_symmetry(
                _small_molecule("autoprocessing-multi-xia2-smallmolecule").only(is_pilatus),
                _small_molecule("autoprocessing-multi-xia2-smallmolecule-nexus").only(~is_pilatus),
                _small_molecule_aimless("autoprocessing-multi-xia2-smallmolecule-dials-aiml").only(
                    is_pilatus
                ),
                _small_molecule_aimless("autoprocessing-multi-xia2-smallmolecule-d-a-nexus").only(
                    ~is_pilatus
                ),
            ),
        ),
    ],
)
