"""The rules of the MX beamlines: VMXm (i02-1), i03, i04, i04-1, i23 and i24."""

from __future__ import annotations

from dlstbx_cli.mimas.rule import Family, Job, Recipe, Rule
from dlstbx_cli.mimas.rules.conditions import (
    is_characterization,
    is_eiger,
    is_end,
    is_gridscan,
    is_i03,
    is_mx,
    is_pilatus,
    is_rotation,
    is_screening,
    is_serial,
    is_start,
    is_vmxm,
)
from dlstbx_cli.mimas.rules.parameters import SPACE_GROUP, plain_and_with_symmetry
from dlstbx_cli.mimas.rules.pipelines import PIPELINES

_ALIGN_CRYSTAL = Job("strategy-align-crystal", display="align_crystal")

handler = Family(
    "mx",
    [
        Rule(
            "pilatus-gridscan-start",
            when=is_pilatus & is_gridscan & is_start & is_mx,
            recipes=["archive-cbfs", "per-image-analysis-gridscan"],
        ),
        Rule(
            "pilatus-start",
            when=is_pilatus & ~(is_gridscan | is_serial) & is_start & is_mx,
            recipes=["archive-cbfs", "per-image-analysis-rotation"],
        ),
        Rule(
            "i03-eiger-gridscan-start",
            when=is_eiger & is_gridscan & is_start & is_i03,
            recipes=["per-image-analysis-gridscan-i03-gpu"],
        ),
        Rule(
            "i03-eiger-end",
            when=is_eiger & is_end & is_i03,
            recipes=[
                Recipe("per-image-analysis-gridscan-i03-no-really", when=is_gridscan),
                Recipe("per-image-analysis-rotation-swmr", when=~is_gridscan),
            ],
        ),
        Rule(
            "eiger-end-images",
            when=is_eiger & is_end & is_mx & ~is_i03 & ~is_serial,
            recipes=[
                Recipe("per-image-analysis-gridscan-i03", when=is_gridscan & ~is_vmxm),
                Recipe("per-image-analysis-gridscan-swmr-vmxm", when=is_gridscan & is_vmxm),
                Recipe("per-image-analysis-rotation-swmr", when=~is_gridscan & ~is_vmxm),
                Recipe("per-image-analysis-rotation-swmr-vmxm", when=~is_gridscan & is_vmxm),
            ],
        ),
        Rule(
            "eiger-end-archive",
            when=is_eiger & is_end & is_mx,
            recipes=["archive-nexus"],
        ),
        Rule(
            "screening-end",
            when=is_screening & is_end & is_mx,
            recipes=["strategy-mosflm", "generate-diffraction-preview"],
            jobs=[_ALIGN_CRYSTAL],
        ),
        Rule(
            "characterization-end",
            when=is_characterization & is_end & is_mx,
            recipes=["generate-diffraction-preview"],
            jobs=[_ALIGN_CRYSTAL],
        ),
        Rule(
            "rotation-end",
            when=(is_rotation | is_characterization) & is_end & is_mx,
            recipes=[
                Recipe("processing-rlv", when=~is_eiger),
                Recipe("processing-rlv-eiger", when=is_eiger),
                "generate-diffraction-preview",
                Recipe("processing-mmcif-gen", when=~is_vmxm),
            ],
            jobs=[
                Job(
                    "autoprocessing-fast-dp",
                    display="fast_dp",
                    parameters=[SPACE_GROUP],
                    when=~is_eiger,
                ),
                Job(
                    "autoprocessing-fast-dp-eiger",
                    display="fast_dp",
                    parameters=[SPACE_GROUP],
                    when=is_eiger,
                ),
                *plain_and_with_symmetry(*PIPELINES),
            ],
        ),
    ],
)
