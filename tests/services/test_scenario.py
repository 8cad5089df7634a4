from __future__ import annotations

import logging
from typing import Any

import pytest

from dlstbx_cli.mimas import (
    MimasDCClass,
    MimasDetectorClass,
    MimasEvent,
    MimasISPyBAnomalousScatterer,
    MimasISPyBSpaceGroup,
    MimasISPyBSweep,
    MimasISPyBUnitCell,
)
from dlstbx_cli.services.errors import Rejected
from dlstbx_cli.services.scenario import scenario_from

PLAIN = {"dcid": "993677", "event": "end"}


def field(name: str, value: Any, attribute: str) -> Any:
    return getattr(scenario_from({**PLAIN, name: value}), attribute)


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("dcid", "993677", "DCID", 993677),
        ("dcid", 993677, "DCID", 993677),
        ("dcid", "007", "DCID", 7),
        ("event", "END", "event", MimasEvent.END),
        ("event", "Start_Group", "event", MimasEvent.START_GROUP),
        ("dc_class", "rotation", "dcclass", MimasDCClass.ROTATION),
        ("dc_class", "GridScan", "dcclass", MimasDCClass.GRIDSCAN),
        ("dc_class", None, "dcclass", MimasDCClass.UNDEFINED),
        ("dc_class", {}, "dcclass", MimasDCClass.UNDEFINED),
        ("dc_class", {"rotation": False}, "dcclass", MimasDCClass.UNDEFINED),
        ("dc_class", {"rotation": True}, "dcclass", MimasDCClass.ROTATION),
        ("dc_class", {"rotation": True, "grid": True}, "dcclass", MimasDCClass.GRIDSCAN),
        ("dc_class", {"rotation": True, "screen": None}, "dcclass", MimasDCClass.ROTATION),
        (
            "dc_class",
            {"screen": True, "characterization": True},
            "dcclass",
            MimasDCClass.CHARACTERIZATION,
        ),
        (
            "dc_class",
            {"diamond_anvil_cell": True, "rotation": True},
            "dcclass",
            MimasDCClass.DIAMOND_ANVIL_CELL,
        ),
        ("dc_class", {"grid": True, "serial_jet": True}, "dcclass", MimasDCClass.SERIAL_JET),
        (
            "dc_class",
            {"serial_fixed": True, "serial_jet": True},
            "dcclass",
            MimasDCClass.SERIAL_FIXED,
        ),
        ("beamline", "i03", "beamline", "i03"),
        ("beamline", None, "beamline", None),
        ("visit", "cm14451-1", "visit", "cm14451-1"),
        ("run_status", "DataCollection Successful", "runstatus", "DataCollection Successful"),
        ("preferred_processing", "autoPROC", "preferred_processing", "autoPROC"),
        ("sweep_list", None, "getsweepslistfromsamedcg", ()),
        ("sweep_list", [[1, 0, 5]], "getsweepslistfromsamedcg", (MimasISPyBSweep(1, 0, 5),)),
        (
            "unit_cell",
            [1, 2, 3, 90, 90.5, 90],
            "unitcell",
            MimasISPyBUnitCell(1, 2, 3, 90, 90.5, 90),
        ),
        ("unit_cell", False, "unitcell", None),
        ("space_group", "P41212", "spacegroup", MimasISPyBSpaceGroup("P41212")),
        ("space_group", "", "spacegroup", None),
        ("diffraction_plan_info", {}, "anomalous_scatterer", None),
        ("diffraction_plan_info", {"anomalousScatterer": None}, "anomalous_scatterer", None),
        (
            "diffraction_plan_info",
            {"anomalousScatterer": "Se"},
            "anomalous_scatterer",
            MimasISPyBAnomalousScatterer("Se"),
        ),
        ("detectorclass", "EIGER", "detectorclass", MimasDetectorClass.EIGER),
        ("detectorclass", "pilatus", "detectorclass", MimasDetectorClass.PILATUS),
        ("detectorclass", "jungfrau", "detectorclass", None),
        ("detectorclass", 5, "detectorclass", None),
    ],
)
def test_parameters(
    name: str, value: Any, attribute: str, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert field(name, value, attribute) == expected
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "value", "attribute", "expected"),
    [
        ("dc_class", "helical", "dcclass", MimasDCClass.UNDEFINED),
        ("dc_class", 5, "dcclass", MimasDCClass.UNDEFINED),
        ("dc_class", ["rotation"], "dcclass", MimasDCClass.UNDEFINED),
        ("unit_cell", [1, 2, 3], "unitcell", None),
        ("unit_cell", "1,2,3,90,90,90", "unitcell", None),
        ("unit_cell", [0, 2, 3, 90, 90, 90], "unitcell", None),
        ("unit_cell", [1, 2, 3, 90, 90, 180], "unitcell", None),
        ("unit_cell", [1, 2, 3, 90, 90, None], "unitcell", None),
        ("unit_cell", {"a": 1}, "unitcell", None),
        ("space_group", "P99", "spacegroup", None),
        ("space_group", 5, "spacegroup", None),
        ("diffraction_plan_info", "Se", "anomalous_scatterer", None),
        ("diffraction_plan_info", {"anomalousScatterer": "selenium"}, "anomalous_scatterer", None),
        ("diffraction_plan_info", {"anomalousScatterer": 34}, "anomalous_scatterer", None),
    ],
)
def test_odd_refinements_are_left_out_with_a_warning(
    name: str, value: Any, attribute: str, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert field(name, value, attribute) == expected
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.records[0].dcid == 993677  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("dcid", value)
            for value in (
                None,
                0,
                "0",
                "",
                -1,
                "-1",
                "+1",
                " 1",
                "1 ",
                "1.0",
                1.0,
                True,
                "٣",
                "x",
                [],
                {},
                "9" * 5000,
            )
        ],
        *[("event", value) for value in (None, "", "finish", 5, [], "\u017ftart", "end ")],
        *[
            (name, value)
            for name in ("beamline", "visit", "run_status", "preferred_processing")
            for value in (5, [], {}, True)
        ],
        *[
            ("sweep_list", value)
            for value in (
                "x",
                5,
                {},
                [1],
                [[1, 2]],
                [[1, 2, 3, 4]],
                [[0, 1, 2]],
                [[1, 3, 2]],
                [[1, -1, 2]],
                [["1", 1, 2]],
                [[True, 1, 2]],
                [[1, None, 2]],
                [None],
            )
        ],
    ],
)
def test_what_decides_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Rejected):
        scenario_from({**PLAIN, name: value})
