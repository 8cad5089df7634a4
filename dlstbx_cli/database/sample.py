"""The parameters that describe the sample: crystal, protein, plan, preferred pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.rows import Row

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry

#: The pipeline of a container without a priority of its own.
DEFAULT_PIPELINE = "xia2/DIALS"

#: The columns of Crystal with the unit cell, in order.
CELL = ("cell_a", "cell_b", "cell_c", "cell_alpha", "cell_beta", "cell_gamma")


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group."""
    space_group, unit_cell = _symmetry(inquiry.joined["crystal"])
    return {
        "ispyb_space_group": space_group,
        "ispyb_unit_cell": unit_cell,
        "ispyb_diffraction_plan": inquiry.joined["plan"],
        "ispyb_protein_info": inquiry.joined["protein"],
        "ispyb_smiles": inquiry.value("sample", "SMILES"),
        "ispyb_preferred_processing": inquiry.value("pipeline", "name") or DEFAULT_PIPELINE,
    }


def _symmetry(crystal: Row | None) -> tuple[str | None, list[float] | bool | None]:
    if crystal is None or not crystal["spaceGroup"]:
        return None, None
    cell = [crystal[name] for name in CELL]
    return crystal["spaceGroup"], all(cell) and [float(value) for value in cell]
