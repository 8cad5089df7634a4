"""The parameters that describe the sample: crystal, protein, plan, preferred pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.visit_yaml import symmetry

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry
    from dlstbx_cli.database.rows import Row

#: The pipeline of a container without a priority of its own.
DEFAULT_PIPELINE = "xia2/DIALS"

#: The columns of Crystal with the unit cell, in order.
CELL = ("cell_a", "cell_b", "cell_c", "cell_alpha", "cell_beta", "cell_gamma")

_NOWHERE = "neither the crystal of the group's sample nor a file VISIT/processing/NAME.yml has one"
#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_space_group": "Crystal.spaceGroup of the group's sample",
    "ispyb_unit_cell": "Crystal.cell_a ... cell_gamma of the group's sample; false if one is"
    " missing or 0",
    "ispyb_diffraction_plan": "DiffractionPlan, the row of the group's sample"
    " (BLSample.diffractionPlanId)",
    "ispyb_protein_info": "Protein, the row of the group's sample (Crystal.proteinId)",
    "ispyb_smiles": "BLSample.SMILES of the collection's own sample",
    "ispyb_preferred_processing": "ProcessingPipeline.name of the priority pipeline of the own"
    " sample's container (Container.priorityPipelineId)",
}


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group."""
    space_group, unit_cell = _symmetry(inquiry)
    pipeline = inquiry.value("pipeline", "name")
    if not pipeline:
        inquiry.note("ispyb_preferred_processing", "the default: no container with a priority")
    return {
        "ispyb_space_group": space_group,
        "ispyb_unit_cell": unit_cell,
        "ispyb_diffraction_plan": inquiry.joined["plan"],
        "ispyb_protein_info": inquiry.joined["protein"],
        "ispyb_smiles": inquiry.value("sample", "SMILES"),
        "ispyb_preferred_processing": pipeline or DEFAULT_PIPELINE,
    }


def has_symmetry(crystal: Row | None) -> bool:
    """Tell whether ISPyB knows a crystal's space group: no file is asked then."""
    return crystal is not None and bool(crystal["spaceGroup"])


def _symmetry(inquiry: Inquiry) -> tuple[str | None, list[float] | bool | None]:
    crystal, settings = inquiry.joined["crystal"], inquiry.contents.settings
    if crystal is not None and has_symmetry(crystal):
        cell = [crystal[name] for name in CELL]
        return crystal["spaceGroup"], all(cell) and [float(value) for value in cell]
    space_group, unit_cell = (None, None) if settings is None else symmetry(settings)
    for name, value in (("ispyb_space_group", space_group), ("ispyb_unit_cell", unit_cell)):
        in_file = None if settings is None or value is None else f"{name} in {settings.path}"
        inquiry.note(name, in_file or _NOWHERE)
    return space_group, unit_cell
