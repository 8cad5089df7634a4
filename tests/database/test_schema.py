from __future__ import annotations

import json

import pytest
from sqlalchemy import inspect
from sqlalchemy.dialects import mysql

from dlstbx_cli.database import snapshot
from dlstbx_cli.database.tables import Schema, attributes, column, generic_type
from dlstbx_cli.database.tables import snapshot as tables
from tests.database.building import empty


@pytest.fixture(scope="module")
def taken():
    return snapshot.take()


def test_the_snapshot_is_that_of_the_installed_ispyb(taken):
    assert snapshot.PATH.read_text(encoding="utf-8") == snapshot.text(taken)
    assert json.loads(snapshot.text(taken)) == taken


def test_every_type_is_known_and_of_the_same_kind(taken):
    from ispyb import sqlalchemy as reference

    for name, columns in taken["tables"].items():
        theirs = reference.Base.metadata.tables[name]
        for described in columns:
            type_ = generic_type(described["type"])
            # asdecimal doubles are Decimals there; JSON has floats only.
            expected = theirs.c[described["name"]].type.python_type
            assert type_.python_type in (expected, float), (name, described)
            assert type_.compile(dialect=mysql.dialect())


def test_run_time_tables_have_the_columns_in_order():
    schema = Schema()
    for name, columns in tables().items():
        assert [c.name for c in schema[name].columns] == [c["name"] for c in columns]
        assert schema[name] is schema[name]


def test_an_enumeration_is_as_wide_as_its_longest_value():
    assert generic_type("ENUM('ab','abcd')").length == 4
    assert generic_type("VARCHAR(80)").length == 80


def test_the_column_global_is_called_as_in_python():
    assert attributes("Protein")["global"] == "global_"
    assert attributes("DataCollection")["BLSAMPLEID"] == "BLSAMPLEID"


def test_unknown_table():
    with pytest.raises(KeyError):
        Schema()["Person"]


def test_a_missing_column_is_null_and_joins_nothing():
    schema = Schema({"Detector": frozenset({"detectorId"})})
    missing = column(schema["Detector"], "detectorModel")
    condition = column(schema["DataCollection"], "detectorId") == missing
    assert str(condition) == '"DataCollection"."detectorId" = NULL'


def test_the_embedded_tables_have_keys_indexes_and_defaults(tmp_path):
    inspector = inspect(empty(tmp_path))
    assert set(inspector.get_table_names()) == set(tables())
    columns = {c["name"]: c for c in inspector.get_columns("DataCollection")}
    assert columns["binning"]["default"] == "1"
    assert not columns["dataCollectionGroupId"]["nullable"]
    indexed = {tuple(i["column_names"]) for i in inspector.get_indexes("DataCollection")}
    assert ("dataCollectionGroupId",) in indexed
    keys = {k["referred_table"] for k in inspector.get_foreign_keys("ProcessingJobImageSweep")}
    assert keys == {"ProcessingJob", "DataCollection"}
