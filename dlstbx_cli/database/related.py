"""The parameters that describe the other collections of the same group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlstbx_cli.database import paths
from dlstbx_cli.database.classification import is_rotation
from dlstbx_cli.database.rows import Part, Query, Row
from dlstbx_cli.database.tables import Schema, column

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry

_NEEDED = (
    "startImageNumber",
    "numberOfImages",
    "dataCollectionGroupId",
    "imageDirectory",
    "fileTemplate",
    "overlap",
    "axisRange",
)

#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_related_sweeps": "DataCollection.startImageNumber and numberOfImages of all in the"
    " group (dataCollectionGroupId)",
    "ispyb_related_images": "DataCollection.imageDirectory + fileTemplate at the first image, of"
    " all in the group (dataCollectionGroupId)",
    "ispyb_dcg_dcids": "DataCollection.dataCollectionId of the others in the group"
    " (dataCollectionGroupId)",
    "ispyb_images": "DataCollection.imageDirectory + fileTemplate at the first image, of the"
    " other rotations in the group",
}


def query(schema: Schema) -> Query:
    """Build the statement for the collections of groups, by number."""
    from sqlalchemy import bindparam

    dc = schema["DataCollection"]
    return Query(
        {"collection": Part.of(dc, "DataCollection", _NEEDED)},
        lambda select: select.where(
            column(dc, "dataCollectionGroupId").in_(bindparam("keys", expanding=True))
        ).order_by(dc.c.dataCollectionId),
        key=("collection", "dataCollectionGroupId"),
    )


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group."""
    collections = _collections_of_group(inquiry)
    others = [row for row in collections if row["dataCollectionId"] != inquiry.dcid]
    found: dict[str, Any] = {
        "ispyb_related_sweeps": [
            [row["dataCollectionId"], row["startImageNumber"], _last(row)] for row in collections
        ],
        "ispyb_related_images": [
            [row["dataCollectionId"], _first_file(row)] for row in collections
        ],
        "ispyb_dcg_dcids": [row["dataCollectionId"] for row in others],
    }
    # The empty text of a processing job without sweeps stays.
    if inquiry.parameters.get("ispyb_images") is None:
        found["ispyb_images"] = _images(inquiry, others)
    return found


def _collections_of_group(inquiry: Inquiry) -> list[Row]:
    group = inquiry.collection["dataCollectionGroupId"]
    if group is None:
        return [inquiry.collection]
    return [row["collection"] or {} for row in inquiry.rows_of(query, group)]


def _last(row: Row) -> int | None:
    return paths.last_image(row["startImageNumber"], row["numberOfImages"])


def _first_file(row: Row) -> str | None:
    first, template = row["startImageNumber"], row["fileTemplate"]
    if first is None or not template:
        return None
    return paths.image_file(row["imageDirectory"], template, first)


def _images(inquiry: Inquiry, others: list[Row]) -> str:
    if paths.is_below(inquiry.collection["imageDirectory"], "/dls/mx"):
        return ""
    if inquiry.kinds["screen"]:
        return ""
    sweeps = (_sweep(row) for row in others if is_rotation(row))
    return ",".join(sweep for sweep in sweeps if sweep)


def _sweep(row: Row) -> str | None:
    last = _last(row)
    if last is None or not row["fileTemplate"]:
        return None
    return paths.sweep(row["imageDirectory"], row["fileTemplate"], row["startImageNumber"], last)
