"""What kind of data collection it is: pure rules on ISPyB's values.

Source: the reference's look-up, which offers the answers as ``ispyb_dc_class``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SERIAL = {"serial_fixed": "Serial Fixed", "serial_jet": "Serial Jet"}
_BY_MODEL = ("eiger", "pilatus")
_BY_FILE = {"master.h5": "eiger", ".cbf": "pilatus"}
_NAMES = {
    "Eiger2 XE 16M": "Eiger16M",
    "Eiger2 X 4M": "Eiger4M",
    "Eiger2 X CdTe 9M": "Eiger9MCdTe",
}


def classify(
    collection: Mapping[str, Any], experiment_type: str | None, *, has_grid: bool
) -> dict[str, bool | None]:
    """Return which kinds a collection is of, by name; None where a value that decides is null.

    :param collection: a row with numberOfImages, overlap and axisRange.
    :param experiment_type: DataCollectionGroup.experimentType.
    """
    serial = {key: experiment_type == name for key, name in _SERIAL.items()}
    return {
        "grid": has_grid,
        "screen": is_screening(collection, experiment_type),
        "characterization": experiment_type == "Characterization",
        "rotation": is_rotation(collection),
        **serial,
        "diamond_anvil_cell": experiment_type == "Diamond Anvil High Pressure",
    }


def is_screening(collection: Mapping[str, Any], experiment_type: str | None) -> bool | None:
    """Tell whether the images stand apart: only one, or with a gap or overlap (null: taken so)."""
    images = collection["numberOfImages"]
    if images is None:
        return None
    apart = images == 1 or (images > 1 and collection["overlap"] != 0)
    return apart and experiment_type not in _SERIAL.values()


def is_rotation(collection: Mapping[str, Any]) -> bool | None:
    """Tell whether the images follow each other on a turning axis."""
    overlap, width = collection["overlap"], collection["axisRange"]
    if overlap is None or width is None:
        return None
    return bool(overlap == 0 and width > 0)


def detector_class(model: str | None, template: str | None) -> str | None:
    """Return ``eiger`` or ``pilatus``, by the detector's model, else by the file template."""
    lower = (model or "").lower()
    for name in _BY_MODEL:
        if lower.startswith(name):
            return name
    for ending, name in _BY_FILE.items():
        if template is not None and template.endswith(ending):
            return name
    return None


def detector_name(model: str | None) -> str | None:
    """Return the short name of the three detectors that have one."""
    return _NAMES.get(model or "")
