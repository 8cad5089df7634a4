from __future__ import annotations

import pytest

from dlstbx_cli.database.classification import classify, detector_class, detector_name


@pytest.mark.parametrize(
    ("images", "overlap", "width", "experiment_type", "true", "null"),
    [
        (3600, 0.0, 0.1, "SAD", {"rotation"}, set()),
        (3600, 0.0, 0.0, "SAD", set(), set()),
        (3600, 0.0, -0.1, None, set(), set()),
        (2, -89.6, 0.4, "SAD", {"screen"}, set()),
        (2, None, 0.4, "SAD", {"screen"}, {"rotation"}),
        (1, 0.0, 0.5, "OSC", {"screen", "rotation"}, set()),
        (1, None, None, None, {"screen"}, {"rotation"}),
        (0, 1.0, 0.5, None, set(), set()),
        (None, 0.0, 0.1, "SAD", {"rotation"}, {"screen"}),
        (None, None, None, "Serial Jet", {"serial_jet"}, {"screen", "rotation"}),
        (10, 0.0, None, "SAD", set(), {"rotation"}),
        (3, -44.5, 0.5, "Characterization", {"screen", "characterization"}, set()),
        (1, 0.0, 0.0, "Serial Fixed", {"serial_fixed"}, set()),
        (100, 5.0, 0.0, "Serial Jet", {"serial_jet"}, set()),
        (100, 5.0, 0.0, "SSX-Jet", {"screen"}, set()),
        (100, 0.0, 0.2, "Diamond Anvil High Pressure", {"rotation", "diamond_anvil_cell"}, set()),
        (100, 0.0, 0.2, "characterization", {"rotation"}, set()),
    ],
)
@pytest.mark.parametrize("grid", [True, False])
def test_classes(images, overlap, width, experiment_type, true, null, grid):
    row = {"numberOfImages": images, "overlap": overlap, "axisRange": width}
    kinds = classify(row, experiment_type, has_grid=grid)
    assert list(kinds) == [
        "grid",
        "screen",
        "characterization",
        "rotation",
        "serial_fixed",
        "serial_jet",
        "diamond_anvil_cell",
    ]
    assert kinds.pop("grid") is grid
    assert {key for key, value in kinds.items() if value is True} == true
    assert {key for key, value in kinds.items() if value is None} == null


@pytest.mark.parametrize(
    ("model", "template", "expected"),
    [
        ("Eiger2 XE 16M", "x_####.cbf", "eiger"),
        ("EIGER 4M", None, "eiger"),
        ("Pilatus3 6M", "x_master.h5", "pilatus"),
        ("PILATUS 2M", None, "pilatus"),
        ("My Eiger", None, None),
        ("ADSC Q315", "x_master.h5", "eiger"),
        ("ADSC Q315", "x_###.cbf", "pilatus"),
        ("ADSC Q315", "x_###.img", None),
        (None, "x_master.h5", "eiger"),
        (None, "master.h5", "eiger"),
        (None, "x_####.cbf", "pilatus"),
        (None, "x_####.CBF", None),
        (None, "x_master.h5.gz", None),
        (None, None, None),
        ("", "", None),
    ],
)
def test_detector_class(model, template, expected):
    assert detector_class(model, template) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("Eiger2 XE 16M", "Eiger16M"),
        ("Eiger2 X 4M", "Eiger4M"),
        ("Eiger2 X CdTe 9M", "Eiger9MCdTe"),
        ("eiger2 xe 16m", None),
        ("Eiger2 X 9M", None),
        (None, None),
    ],
)
def test_detector_name(model, expected):
    assert detector_name(model) == expected
