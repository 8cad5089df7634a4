"""The parameters that describe the data collection itself: images, directories, class, detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlstbx_cli.database import paths
from dlstbx_cli.database.classification import classify, detector_class, detector_name
from dlstbx_cli.database.rows import Part, Query, Row
from dlstbx_cli.database.sample import CELL
from dlstbx_cli.database.tables import Schema, column

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry


def query(schema: Schema) -> Query:
    """Build the statement for a collection and everything that belongs to it one to one.

    Its parts: ``collection``, its ``group``, ``session`` and ``detector``; the ``crystal``,
    ``protein`` and diffraction ``plan`` of the group's sample; the collection's own
    ``sample``, and the priority ``pipeline`` of that one's container.
    """
    from sqlalchemy import bindparam

    dc, group = schema["DataCollection"], schema["DataCollectionGroup"]
    theirs = schema["BLSample"].alias("group_sample")
    own = schema["BLSample"].alias("own_sample")
    crystal, container = schema["Crystal"], schema["Container"]
    outer = (
        (group, "dataCollectionGroupId", dc, "dataCollectionGroupId"),
        (schema["BLSession"], "sessionId", group, "sessionId"),
        (schema["Detector"], "detectorId", dc, "detectorId"),
        (theirs, "blSampleId", group, "blSampleId"),
        (crystal, "crystalId", theirs, "crystalId"),
        (schema["Protein"], "proteinId", crystal, "proteinId"),
        (schema["DiffractionPlan"], "diffractionPlanId", theirs, "diffractionPlanId"),
        (own, "blSampleId", dc, "BLSAMPLEID"),
        (container, "containerId", own, "containerId"),
        (
            schema["ProcessingPipeline"],
            "processingPipelineId",
            container,
            "priorityPipelineId",
        ),
    )
    source: Any = dc
    for table, key, origin, reference in outer:
        source = source.outerjoin(table, column(table, key) == column(origin, reference))
    parts = {
        "collection": Part.of(dc, "DataCollection"),
        "group": Part.of(group, "DataCollectionGroup", ["experimentType"]),
        "session": Part.of(schema["BLSession"], "BLSession", ["beamLineName"]),
        "detector": Part.of(schema["Detector"], "Detector", ["detectorModel"]),
        "crystal": Part.of(crystal, "Crystal", ["spaceGroup", *CELL]),
        # Proteins are known outside by a binary id, which is no JSON.
        "protein": Part.of(schema["Protein"], "Protein", without=["externalId"]),
        "plan": Part.of(schema["DiffractionPlan"], "DiffractionPlan"),
        "sample": Part.of(own, "BLSample", ["SMILES"]),
        "pipeline": Part.of(schema["ProcessingPipeline"], "ProcessingPipeline", ["name"]),
    }
    return Query(
        parts,
        lambda select: select.select_from(source).where(dc.c.dataCollectionId == bindparam("dcid")),
    )


def grid_query(schema: Schema) -> Query:
    """Build the statement for the GridInfo rows of a collection, then those of its group."""
    from sqlalchemy import bindparam, or_

    grid = schema["GridInfo"]
    own = column(grid, "dataCollectionId") == bindparam("dcid")
    groups = column(grid, "dataCollectionGroupId") == bindparam("group")
    return Query(
        {"grid": Part.of(grid, "GridInfo")},
        lambda select: select.where(or_(own, groups)).order_by(grid.c.gridInfoId),
    )


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group. Raises Rejected for a relative image directory."""
    row = inquiry.collection
    grid = _grid(inquiry)
    model = inquiry.value("detector", "detectorModel")
    template = row["fileTemplate"]
    experiment_type = inquiry.experiment_type
    return {
        "ispyb_dc_info": {**row, "uuid": inquiry.uuid, "gridinfo": grid},
        "ispyb_beamline": inquiry.value("session", "beamLineName"),
        "ispyb_detectorclass": detector_class(model, template),
        "ispyb_detectorname": detector_name(model),
        "ispyb_dcg_experiment_type": experiment_type,
        "ispyb_dc_class": classify(row, experiment_type, has_grid=bool(grid)),
        **_images(row, inquiry.parameters.get("ispyb_image")),
        **_directories(row, inquiry.uuid),
    }


def _grid(inquiry: Inquiry) -> Row:
    group = inquiry.collection["dataCollectionGroupId"]
    found = inquiry.rows(grid_query, dcid=inquiry.dcid, group=group)
    grids = [row["grid"] or {} for row in found]
    own = (grid for grid in grids if grid["dataCollectionId"] == inquiry.dcid)
    return next(own, next(iter(grids), {}))


def _images(row: Row, given: Any) -> dict[str, Any]:
    first, template = row["startImageNumber"], row["fileTemplate"]
    last = paths.last_image(first, row["numberOfImages"])
    known = {
        "ispyb_image_first": first,
        "ispyb_image_last": last,
        "ispyb_image_template": template,
        "ispyb_image_directory": row["imageDirectory"],
        "ispyb_image_pattern": paths.pattern(template),
    }
    if given is None and last is not None and template:
        known["ispyb_image"] = paths.sweep(row["imageDirectory"], template, first, last)
    return known


def _directories(row: Row, uuid: str) -> dict[str, Any]:
    visit = paths.VisitPath.of(row["imageDirectory"])
    prefix, number = row["imagePrefix"], row["dataCollectionNumber"]
    level = paths.collection_level(prefix, number)
    areas = {"working": "tmp/zocalo", "results": "processed", "final": "processed/pipeline-final"}
    name = visit.visit if visit else None
    return {
        "ispyb_visit": name,
        "ispyb_visit_directory": visit.directory if visit else None,
        **{
            f"ispyb_{purpose}_directory": visit.below(area, level, uuid) if visit else None
            for purpose, area in areas.items()
        },
        "ispyb_project": paths.project(name),
        "ispyb_crystal": paths.crystal(prefix, number),
    }
