"""The rules of serial crystallography at i24."""

from __future__ import annotations

from dlstbx_cli.mimas.rule import Family, Job, Rule, all_sweeps
from dlstbx_cli.mimas.rules.conditions import (
    is_eiger,
    is_end,
    is_i24,
    is_pilatus,
    is_serial,
    is_start,
)
from dlstbx_cli.mimas.rules.parameters import SYM

handler = Family(
    "ssx",
    [
        Rule(
            "ssx-pilatus-start",
            when=is_pilatus & is_serial & is_start & is_i24,
            recipes=["pia-index-ssx-pilatus"],
        ),
        Rule(
            "ssx-eiger-start",
            when=is_eiger & is_serial & is_start & is_i24,
            recipes=["pia-index-ssx-swmr"],
        ),
        Rule(
            "ssx-pilatus-end",
            when=is_pilatus & is_serial & is_end & is_i24,
            jobs=[
                Job(
                    "autoprocessing-xia2-ssx-pilatus",
                    display="xia2.ssx",
                    parameters=[SYM],
                    sweeps=all_sweeps,
                )
            ],
        ),
        Rule(
            "ssx-eiger-end",
            when=is_eiger & is_serial & is_end & is_i24,
            jobs=[
                Job(
                    "autoprocessing-xia2-ssx-eiger",
                    display="xia2.ssx",
                    parameters=[SYM],
                    sweeps=all_sweeps,
                )
            ],
        ),
    ],
)
