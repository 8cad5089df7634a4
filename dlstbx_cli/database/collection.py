"""The parameters that describe the data collection itself: images, directories, class, detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlstbx_cli.database import paths
from dlstbx_cli.database.classification import detector_class, detector_name
from dlstbx_cli.database.groups import PIN
from dlstbx_cli.database.rows import Part, Query, Row
from dlstbx_cli.database.sample import CELL
from dlstbx_cli.database.tables import Schema, column

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

    from dlstbx_cli.database.inquiry import Inquiry

_GROUP = "DataCollectionGroup"
#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_dc_info": "DataCollection, the whole row; uuid: the request's guid, or a new one;"
    " gridinfo: GridInfo of the collection, else of its group",
    "ispyb_beamline": "BLSession.beamLineName of the group's session",
    "ispyb_detectorclass": "Detector.detectorModel, by how it begins",
    "ispyb_detectorname": "Detector.detectorModel, for the three that have a short name",
    "ispyb_dcg_experiment_type": "DataCollectionGroup.experimentType",
    "ispyb_dc_class": "rules on GridInfo, DataCollection.numberOfImages, overlap and axisRange,"
    " and DataCollectionGroup.experimentType",
    "ispyb_image_first": "DataCollection.startImageNumber",
    "ispyb_image_last": "DataCollection.startImageNumber + numberOfImages - 1",
    "ispyb_image_template": "DataCollection.fileTemplate",
    "ispyb_image_directory": "DataCollection.imageDirectory",
    "ispyb_image_pattern": "DataCollection.fileTemplate, its run of # as a printf field",
    "ispyb_image": "DataCollection.imageDirectory + fileTemplate at the first image, first and"
    " last image",
    "ispyb_visit": "DataCollection.imageDirectory, its fifth name",
    "ispyb_visit_directory": "DataCollection.imageDirectory, up to the fifth name",
    "ispyb_working_directory": "DataCollection.imageDirectory, imagePrefix and"
    " dataCollectionNumber, below VISIT/tmp/zocalo",
    "ispyb_results_directory": "DataCollection.imageDirectory, imagePrefix and"
    " dataCollectionNumber, below VISIT/processed",
    "ispyb_final_directory": "DataCollection.imageDirectory, imagePrefix and"
    " dataCollectionNumber, below VISIT/processed/pipeline-final",
    "ispyb_project": "the visit, hyphens as v",
    "ispyb_crystal": "DataCollection.imagePrefix and dataCollectionNumber, letters and digits",
    "ispyb_reference_geometry": "whether there is a file VISIT/processing/reference_geometry.expt",
}


def query(schema: Schema) -> Query:
    """Build the statement for collections and everything that belongs to each one to one.

    Its parts: ``collection``, its ``group``, ``session`` and ``detector``; the ``crystal``,
    ``protein`` and diffraction ``plan`` of the group's sample; the collection's own
    ``sample``, its ``own_crystal``, and the priority ``pipeline`` of its container; the
    ``grid`` of the collection, else of its group.
    """
    from sqlalchemy import bindparam

    dc, group = schema["DataCollection"], schema[_GROUP]
    theirs = schema["BLSample"].alias("group_sample")
    own = schema["BLSample"].alias("own_sample")
    crystal, container = schema["Crystal"], schema["Container"]
    own_crystal = crystal.alias("own_crystal")
    outer = (
        (group, "dataCollectionGroupId", dc, "dataCollectionGroupId"),
        (schema["BLSession"], "sessionId", group, "sessionId"),
        (schema["Detector"], "detectorId", dc, "detectorId"),
        (theirs, "blSampleId", group, "blSampleId"),
        (crystal, "crystalId", theirs, "crystalId"),
        (schema["Protein"], "proteinId", crystal, "proteinId"),
        (schema["DiffractionPlan"], "diffractionPlanId", theirs, "diffractionPlanId"),
        (own, "blSampleId", dc, "BLSAMPLEID"),
        (own_crystal, "crystalId", own, "crystalId"),
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
    source = source.outerjoin(schema["GridInfo"], _is_the_grid(schema["GridInfo"], dc))
    parts = {
        "collection": Part.of(dc, "DataCollection"),
        "group": Part.of(group, _GROUP, ["experimentType", "sessionId", "blSampleId"]),
        "session": Part.of(schema["BLSession"], "BLSession", ["beamLineName"]),
        "detector": Part.of(schema["Detector"], "Detector", ["detectorModel"]),
        "crystal": Part.of(crystal, "Crystal", ["spaceGroup", *CELL]),
        # Proteins are known outside by a binary id, which is no JSON.
        "protein": Part.of(schema["Protein"], "Protein", without=["externalId"]),
        "plan": Part.of(schema["DiffractionPlan"], "DiffractionPlan"),
        "sample": Part.of(own, "BLSample", ["name", "SMILES", *PIN]),
        "own_crystal": Part.of(own_crystal, "Crystal", ["proteinId"]),
        "pipeline": Part.of(schema["ProcessingPipeline"], "ProcessingPipeline", ["name"]),
        "grid": Part.of(schema["GridInfo"], "GridInfo"),
    }
    return Query(
        parts,
        lambda select: select.select_from(source).where(
            dc.c.dataCollectionId.in_(bindparam("keys", expanding=True))
        ),
        key=("collection", "dataCollectionId"),
    )


def _is_the_grid(grid: Table, dc: Table) -> ColumnElement[bool]:
    """Return the condition for the first grid of the collection; if none, of its group."""
    from sqlalchemy import func, select

    def first(key: str) -> Any:
        other = grid.alias()
        same = column(other, key) == column(dc, key)
        return select(func.min(other.c.gridInfoId)).where(same).correlate(dc).scalar_subquery()

    own, groups = first("dataCollectionId"), first("dataCollectionGroupId")
    condition: ColumnElement[bool] = grid.c.gridInfoId == func.coalesce(own, groups)
    return condition


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group. Raises Rejected for an odd image prefix."""
    row = inquiry.collection
    model = inquiry.value("detector", "detectorModel")
    template = row["fileTemplate"]
    detector = detector_class(model, template)
    if detector != detector_class(model, None):
        inquiry.note("ispyb_detectorclass", "DataCollection.fileTemplate, by how it ends")
    return {
        "ispyb_dc_info": {
            **row,
            "uuid": inquiry.uuid,
            "gridinfo": inquiry.joined["grid"] or {},
        },
        "ispyb_beamline": inquiry.value("session", "beamLineName"),
        "ispyb_detectorclass": detector,
        "ispyb_detectorname": detector_name(model),
        "ispyb_dcg_experiment_type": inquiry.experiment_type,
        "ispyb_dc_class": inquiry.kinds,
        **_images(row, inquiry.parameters.get("ispyb_image")),
        **_directories(row, inquiry.visit, inquiry.uuid),
        "ispyb_reference_geometry": inquiry.contents.reference_geometry,
    }


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


def _directories(row: Row, visit: paths.VisitPath | None, uuid: str) -> dict[str, Any]:
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
