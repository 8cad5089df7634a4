"""Mimas: which processing follows which data collection.

A scenario goes in, a plan comes out: a list of recipes to run and of jobs to create. Nothing
here reads a file, asks a database or looks at the clock.
"""

from __future__ import annotations

from dlstbx_cli.mimas.command_line import zocalo_command_line
from dlstbx_cli.mimas.core import run as handle_scenario
from dlstbx_cli.mimas.objects import (
    Invocation,
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBAnomalousScatterer,
    MimasISPyBJobInvocation,
    MimasISPyBParameter,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBTriggerVariable,
    MimasISPyBUnitCell,
    MimasRecipeInvocation,
    MimasScenario,
)
from dlstbx_cli.mimas.specification import match_specification
from dlstbx_cli.mimas.validation import validate
from dlstbx_cli.mimas.wire import zocalo_message

__all__ = [
    "Invocation",
    "MimasDCClass",
    "MimasDetectorClass",
    "MimasEvent",
    "MimasISPyBAnomalousScatterer",
    "MimasISPyBJobInvocation",
    "MimasISPyBParameter",
    "MimasISPyBSpaceGroup",
    "MimasISPyBSweep",
    "MimasISPyBTriggerVariable",
    "MimasISPyBUnitCell",
    "MimasRecipeInvocation",
    "MimasScenario",
    "handle_scenario",
    "match_specification",
    "validate",
    "zocalo_command_line",
    "zocalo_message",
]
