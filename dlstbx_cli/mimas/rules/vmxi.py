"""The rules of VMXi (i02-2)."""

from __future__ import annotations

from dlstbx_cli.mimas.rule import Family, Job, Rule, all_sweeps
from dlstbx_cli.mimas.rules.conditions import (
    PrefersPipeline,
    is_characterization,
    is_end,
    is_gridscan,
    is_rotation,
    is_start,
    is_vmxi,
)
from dlstbx_cli.mimas.rules.parameters import ABS, CC, FAILOVER, REMOVE_BLANKS, SYM

handler = Family(
    "vmxi",
    [
        Rule("vmxi-start", when=is_vmxi & is_start),
        Rule("vmxi-end", when=is_vmxi & is_end, recipes=["archive-nexus"]),
        Rule(
            "vmxi-gridscan-end",
            when=is_vmxi & is_end & is_gridscan,
            recipes=["vmxi-spot-counts-per-image"],
            jobs=[
                Job(
                    "autoprocessing-xia2-ssx-eiger",
                    display="xia2.ssx",
                    parameters=[SYM],
                    sweeps=all_sweeps,
                )
            ],
        ),
        Rule(
            "vmxi-rotation-end",
            when=is_vmxi & is_end & (is_rotation | is_characterization),
            recipes=[
                "vmxi-per-image-analysis",
                "processing-mmcif-gen",
                "generate-diffraction-preview",
            ],
            jobs=[
                Job("autoprocessing-fast-dp-eiger", display="fast_dp"),
                Job(
                    "autoprocessing-xia2-dials-eiger-vmxi",
                    display="xia2 dials",
                    auto=PrefersPipeline("xia2/DIALS"),
                    parameters=[CC, REMOVE_BLANKS, FAILOVER, ABS],
                ),
                Job(
                    "autoprocessing-xia2-3dii-eiger",
                    display="xia2 3dii",
                    auto=PrefersPipeline("xia2/3dii"),
                    parameters=[CC],
                ),
                Job(
                    "autoprocessing-autoPROC-eiger",
                    display="autoPROC",
                    auto=PrefersPipeline("autoPROC"),
                ),
            ],
        ),
    ],
)
