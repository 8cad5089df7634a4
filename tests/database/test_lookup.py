"""The look-up on SQLite: the contract, and what only SQLite lets happen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from dlstbx_cli.database.connection import writing
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.services.errors import Rejected
from tests.database.building import ROWS, add, changed, counted, empty
from tests.database.collection_contract import JOB, look_up
from tests.database.lookup_contract import LookupContract
from tests.database.several_contract import SEVERAL, alone, together


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "database").mkdir()
    return empty(tmp_path / "database")


class TestOnSqlite(LookupContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        (tmp_path / "database").mkdir()
        return empty(tmp_path / "database")


@pytest.mark.parametrize(
    "request_",
    [{}, {"recipes": ["x"]}, {"parameters": {}}, {"parameters": {"ispyb_dcid": None, "a": [1]}}],
)
def test_a_request_without_ids_is_unchanged(engine: Engine, request_: Any) -> None:
    add(engine, ROWS)
    statements = counted(engine)
    assert Lookup(engine)(request_) == request_
    assert statements == []


@pytest.mark.parametrize("guid", ["../x", "a/b", ".", "..", "a\0", 5, [], {"a": 1}])
def test_a_guid_that_leads_elsewhere(engine: Engine, guid: Any) -> None:
    add(engine, ROWS)
    with pytest.raises(Rejected, match="guid"):
        look_up(engine, guid=guid)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Lookup:
    engine = empty(tmp_path_factory.mktemp("odd"))
    add(engine, ROWS)
    return Lookup(engine)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("key", ["ispyb_dcid", "ispyb_process", "ispyb_reprocessing_id"])
@given(
    value=JSON
    | st.sampled_from(["0", "-1", "+100", " 100", "\u0661\u0660\u0660", "1e2", "9" * 5000])
)
def test_odd_ids(shared: Lookup, key: str, value: Any) -> None:
    if value is None or str(value) == "100":
        return
    with pytest.raises(Rejected) as caught:
        shared({"parameters": {key: value}})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.0, "", "0", "1.0", "²", 10**30, pytest.param(10**5000, id="long"), [1]]
)
def test_odd_ids_of_the_run_status(shared: Lookup, value: Any) -> None:
    with pytest.raises(Rejected, match="must be a positive number"):
        shared.run_status(value)


def test_a_schema_that_lacks_columns(engine: Engine) -> None:
    add(engine, {**ROWS, **JOB})
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE BLSample DROP COLUMN SMILES"))
        connection.execute(text("ALTER TABLE DataCollection DROP COLUMN voltage"))
        connection.execute(text("ALTER TABLE DataCollection ADD COLUMN newer INTEGER"))
        connection.execute(text("ALTER TABLE ProcessingPipeline DROP COLUMN reprocessing"))
    parameters = look_up(engine, ispyb_process=5)
    assert parameters["ispyb_smiles"] is None
    assert parameters["ispyb_dc_info"]["voltage"] is None
    assert "newer" not in parameters["ispyb_dc_info"]
    assert parameters["ispyb_space_group"] == "P41212"


@pytest.mark.parametrize("value", ["'rubbish'", "''", "5"])
def test_a_value_that_is_not_of_its_columns_type(engine: Engine, value: str) -> None:
    add(engine, ROWS)
    with writing(engine) as connection:
        connection.execute(text(f"UPDATE DataCollection SET startTime = {value}"))
    with pytest.raises(Rejected, match="not of its column's type"):
        look_up(engine)


def test_bytes_in_a_text_column(engine: Engine) -> None:
    add(engine, ROWS)
    with writing(engine) as connection:
        connection.execute(
            text("UPDATE DataCollection SET comments = x'ff41', synchrotronMode = x'c3a4'")
        )
    info = look_up(engine)["ispyb_dc_info"]
    assert (info["comments"], info["synchrotronMode"]) == (None, "ä")


def test_infinity(engine: Engine) -> None:
    add(engine, changed(ROWS, DataCollection={"flux": float("inf"), "wavelength": float("nan")}))
    info = look_up(engine)["ispyb_dc_info"]
    assert (info["flux"], info["wavelength"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("UPDATE DataCollection SET startTime = 'rubbish' WHERE dataCollectionId = 101", [101]),
        ("UPDATE BLSample SET SMILES = x'ff'", []),
        ("UPDATE DataCollection SET wavelength = 'x' WHERE dataCollectionId = 102", [102]),
        ("UPDATE GridInfo SET recordTimeStamp = '' WHERE gridInfoId = 2", [102]),
    ],
)
def test_an_odd_value_among_many(engine: Engine, change: str, refused: list[int]) -> None:
    add(engine, SEVERAL)
    with writing(engine) as connection:
        connection.execute(text(change))
    lookup, dcids = Lookup(engine), [100, 101, 102, 105]
    found = together(lookup, dcids)
    assert found == [alone(lookup, dcid) for dcid in dcids]
    assert [dcid for dcid, one in zip(dcids, found, strict=True) if isinstance(one, tuple)] == (
        refused
    )


def test_many_in_a_schema_that_lacks_columns(engine: Engine) -> None:
    add(engine, SEVERAL)
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE DataCollection DROP COLUMN overlap"))
        connection.execute(text("ALTER TABLE BLSample DROP COLUMN SMILES"))
    found = together(Lookup(engine), [100, 101, 102])
    assert found == [alone(Lookup(engine), dcid) for dcid in (100, 101, 102)]
    assert found[0]["ispyb_smiles"] is None
