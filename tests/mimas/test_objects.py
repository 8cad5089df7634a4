"""The records themselves: names, order and defaults of fields, and their short texts."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from typing import Any

import pytest

import dlstbx_cli.mimas as mimas
from tests.mimas.scenarios import CELL, P212121, scenario

FIELDS = {
    "MimasScenario": "DCID dcclass event beamline visit runstatus spacegroup=None unitcell=None "
    "getsweepslistfromsamedcg=() preferred_processing=None detectorclass=None "
    "anomalous_scatterer=None cloudbursting=None",
    "MimasISPyBSweep": "DCID start end",
    "MimasISPyBUnitCell": "a b c alpha beta gamma",
    "MimasISPyBSpaceGroup": "symbol",
    "MimasISPyBAnomalousScatterer": "symbol",
    "MimasISPyBParameter": "key value",
    "MimasISPyBTriggerVariable": "key value",
    "MimasRecipeInvocation": "DCID recipe",
    "MimasISPyBJobInvocation": "DCID autostart recipe source comment='' displayname='' "
    "parameters=() sweeps=() triggervariables=()",
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    def shown(field: Any) -> str:
        return field.name + ("" if field.default is dataclasses.MISSING else f"={field.default!r}")

    assert " ".join(map(shown, dataclasses.fields(getattr(mimas, name)))) == FIELDS[name]


@pytest.mark.parametrize(
    ("enumeration", "names"),
    [
        (mimas.MimasEvent, "START END START_GROUP END_GROUP"),
        (
            mimas.MimasDCClass,
            "CHARACTERIZATION DIAMOND_ANVIL_CELL GRIDSCAN ROTATION SCREENING SERIAL_FIXED "
            "SERIAL_JET UNDEFINED",
        ),
        (mimas.MimasDetectorClass, "EIGER PILATUS"),
    ],
)
def test_members(enumeration: Any, names: str) -> None:
    assert " ".join(enumeration.__members__) == names


@pytest.mark.parametrize(
    ("obj", "string"),
    [
        (mimas.MimasISPyBUnitCell(10, 11, 12, 90, 91.0, 92), "10,11,12,90,91.0,92"),
        # Equal to the first, and yet another text: nothing may be remembered by equality.
        (mimas.MimasISPyBUnitCell(10.0, 11, 12, 90, 91, 92), "10.0,11,12,90,91,92"),
        (P212121, "P212121"),
        (mimas.MimasISPyBSpaceGroup("P 21 21 21"), "P212121"),
        (mimas.MimasISPyBSpaceGroup("R 3 2:H"), "R32"),
        (mimas.MimasISPyBSpaceGroup("H32"), "R32"),
        (mimas.MimasISPyBAnomalousScatterer("se"), "Se"),
        (mimas.MimasISPyBAnomalousScatterer("S"), "S"),
    ],
)
def test_strings(obj: Any, string: str) -> None:
    assert obj.string == string
    assert obj.string == string


def test_records_are_immutable_and_travel_between_processes() -> None:
    candidate = scenario("i03", spacegroup=P212121, unitcell=CELL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        candidate.DCID = 6  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(candidate))
    assert again == candidate
    assert hash(again) == hash(candidate)
    assert again.event is candidate.event


def test_rules_load_nothing_heavy() -> None:
    program = """
import sys
from dlstbx_cli.mimas import *
from dlstbx_cli.mimas.core import run
scenario = MimasScenario(1, MimasDCClass.ROTATION, MimasEvent.END, "i03", "cm1-1", "")
validate(scenario)
assert run(scenario)
heavy = {"gemmi", "sqlalchemy", "rich", "workflows", "zocalo", "ispyb", "stomp", "requests"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
