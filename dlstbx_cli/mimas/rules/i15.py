"""The rules of I15, extreme conditions (i15, not i15-1)."""

from __future__ import annotations

from dlstbx_cli.mimas.rule import Family, Job, Rule, all_sweeps
from dlstbx_cli.mimas.rules.conditions import is_end, is_i15
from dlstbx_cli.mimas.rules.parameters import ABS, SYM, plain_and_with_symmetry

handler = Family(
    "i15",
    [
        Rule(
            "i15-end",
            when=is_end & is_i15,
            recipes=["processing-rlv", "strategy-screen19", "per-image-analysis-rotation"],
            jobs=plain_and_with_symmetry(
                Job(
                    "autoprocessing-multi-xia2-smallmolecule",
                    display="xia2 dials",
                    parameters=[SYM, ABS],
                    sweeps=all_sweeps,
                ),
                Job(
                    "autoprocessing-multi-xia2-smallmolecule-dials-aiml",
                    display="xia2 dials-aimless",
                    parameters=[SYM],
                    sweeps=all_sweeps,
                ),
            ),
        ),
    ],
)
