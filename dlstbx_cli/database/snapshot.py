"""Take the snapshot of ISPyB's schema: ``python -m dlstbx_cli.database.snapshot``.

Importing ``ispyb.sqlalchemy`` with its 205 tables costs two thirds of a second, so a
command reads ``ispyb_schema.json`` instead. That file is written by this module from the
metadata of the installed ``ispyb`` package, never by hand; a test compares the two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Where the snapshot is kept.
PATH = Path(__file__).with_name("ispyb_schema.json")

#: The tables that the look-up and the jobs need, and those that lead from one to another.
TABLES = (
    "Proposal",
    "BLSession",
    "DataCollectionGroup",
    "DataCollection",
    "Detector",
    "GridInfo",
    "BLSample",
    "BLSubSample",
    "BLSampleGroup",
    "BLSampleGroup_has_BLSample",
    "BLSample_has_EnergyScan",
    "Crystal",
    "Protein",
    "Protein_has_PDB",
    "PDB",
    "Container",
    "Dewar",
    "Shipping",
    "DiffractionPlan",
    "EnergyScan",
    "EventChain",
    "Event",
    "EventType",
    "ProcessingPipeline",
    "ProcessingJob",
    "ProcessingJobParameter",
    "ProcessingJobImageSweep",
    "AutoProcProgram",
)


def take() -> dict[str, Any]:
    """Return the schema of the installed ``ispyb`` package.

    ``schema_version`` is the package's; ``tables`` has, by table name, the list of its
    columns in order. A column has its ``name`` and MySQL ``type``; where they apply,
    ``nullable`` (true), ``primary_key`` (true), ``default`` (as in SQL), ``references``
    (``Table.column``), and ``attribute``, its name in ``ispyb.sqlalchemy`` where that differs.
    """
    from ispyb import sqlalchemy as ispyb_schema

    attributes = {
        column: attribute.key
        for mapper in ispyb_schema.Base.registry.mappers
        for attribute in mapper.column_attrs
        for column in attribute.columns
    }
    tables = ispyb_schema.Base.metadata.tables
    return {
        "schema_version": ispyb_schema.__schema_version__,
        "tables": {
            name: [_column(column, attributes) for column in tables[name].columns]
            for name in TABLES
        },
    }


def text(snapshot: dict[str, Any]) -> str:
    """Return a snapshot as JSON with one column on each line, so that a diff can be read."""
    tables = ",\n".join(
        f"  {json.dumps(name)}: [\n"
        + ",\n".join(f"   {json.dumps(column)}" for column in columns)
        + "\n  ]"
        for name, columns in snapshot["tables"].items()
    )
    version = json.dumps(snapshot["schema_version"])
    return f'{{\n "schema_version": {version},\n "tables": {{\n{tables}\n }}\n}}\n'


def _column(column: Any, attributes: dict[Any, str]) -> dict[str, Any]:
    from sqlalchemy.dialects import mysql

    described: dict[str, Any] = {
        "name": column.name,
        "type": column.type.compile(dialect=mysql.dialect()),
    }
    if column.nullable:
        described["nullable"] = True
    if column.primary_key:
        described["primary_key"] = True
    if column.server_default is not None:
        described["default"] = str(column.server_default.arg)
    for key in column.foreign_keys:
        described["references"] = key.target_fullname
    attribute = attributes.get(column, column.name)
    if attribute != column.name:
        described["attribute"] = attribute
    return described


if __name__ == "__main__":
    PATH.write_text(text(take()), encoding="utf-8")
