"""Many collections looked up at a time: each as if it were alone, in any ISPyB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from dlstbx_cli.database.lookup import SOURCES, Lookup
from dlstbx_cli.recipes import SHIPPED, RecipeDirectory
from dlstbx_cli.services.mimas import RecipeScenarios
from tests.database.building import COLLECTION, ROWS, Rows, add, counted

#: What the recipe "mimas" asks for, among it.
WANTED = ("ispyb_dc_class", "ispyb_related_sweeps", "ispyb_unit_cell")


def outcome(found: Any) -> Any:
    """Return what can be compared: errors are never equal."""
    return (type(found), str(found)) if isinstance(found, Exception) else found


def request(dcid: Any, **parameters: Any) -> dict[str, Any]:
    return {"parameters": {"ispyb_dcid": dcid, "guid": "the-same", **parameters}}


def alone(lookup: Lookup, dcid: Any) -> Any:
    try:
        return lookup(request(dcid))["parameters"]
    except Exception as error:  # a bug is to show itself in both
        return outcome(error)


def together(lookup: Lookup, dcids: Sequence[Any], names: Any = SOURCES) -> list[Any]:
    return [outcome(one) for one in lookup.several([request(dcid) for dcid in dcids], names)]


def check_whole_facility(engine: Engine, dcids: Sequence[int], size: int = 50) -> None:
    """All collections of a facility, in chunks: everything of them, and their scenarios."""
    lookup = Lookup(engine)
    scenarios = RecipeScenarios(lookup, RecipeDirectory(SHIPPED))
    for place in range(0, len(dcids), size):
        chunk = dcids[place : place + size]
        assert together(lookup, chunk) == [alone(lookup, dcid) for dcid in chunk]
        assert scenarios.several(chunk) == [scenarios(dcid) for dcid in chunk]


def collection(dcid: int, **changes: Any) -> dict[str, Any]:
    return {**COLLECTION, "dataCollectionId": dcid, **changes}


#: Collections of two groups, some of which cannot be looked up.
SEVERAL: Rows = {
    **ROWS,
    "DataCollectionGroup": [
        *ROWS["DataCollectionGroup"],
        {**ROWS["DataCollectionGroup"][0], "dataCollectionGroupId": 11, "experimentType": "Mesh"},
    ],
    "DataCollection": [
        collection(102, dataCollectionGroupId=11),
        collection(100),
        collection(101, startImageNumber=5),
        collection(103, imageDirectory="not/absolute"),
        collection(104, imagePrefix="a/../b"),
        collection(105, dataCollectionGroupId=12),  # which is not there
    ],
    "GridInfo": [
        {"gridInfoId": 2, "dataCollectionGroupId": 11, "steps_x": 5},
        {"gridInfoId": 3, "dataCollectionId": 101, "steps_x": 7},
        {"gridInfoId": 4, "dataCollectionId": 101, "steps_x": 9},
    ],
}
DCIDS: list[Any] = [101, 404, 100, 102, "100", 100, "x", 103, 104, 105, -1, None, 10**30]


class SeveralContract:
    def test_each_is_as_it_is_alone(self, engine: Engine) -> None:
        add(engine, SEVERAL)
        lookup = Lookup(engine)
        found = together(lookup, DCIDS)
        expected = [alone(lookup, dcid) for dcid in DCIDS if dcid is not None]
        assert [one for one, dcid in zip(found, DCIDS, strict=True) if dcid is not None] == expected
        refused = [dcid for one, dcid in zip(found, DCIDS, strict=True) if isinstance(one, tuple)]
        assert refused == [404, "x", 103, 104, -1, None, 10**30]
        assert found[0]["ispyb_related_sweeps"] == [
            [100, 1, 3600], [101, 5, 3604], [103, 1, 3600], [104, 1, 3600],
        ]  # fmt: skip
        assert found[0]["ispyb_dc_info"]["gridinfo"]["steps_x"] == 7

    def test_two_statements_whatever_the_number(self, engine: Engine) -> None:
        add(engine, SEVERAL)
        lookup = Lookup(engine)
        together(lookup, DCIDS, WANTED)  # also opens the connection
        statements = counted(engine)
        assert together(lookup, [100, 101, 102, 105], WANTED)
        assert len(statements) == 2

    def test_only_what_is_wanted_is_looked_up(self, engine: Engine) -> None:
        add(engine, SEVERAL)
        lookup = Lookup(engine)
        whole = alone(lookup, 100)
        (found,) = together(lookup, [100], ["ispyb_visit"])
        assert found.items() <= whole.items()
        assert "ispyb_beamline" in found
        assert "ispyb_related_sweeps" not in found
        assert together(lookup, [100], ["nothing of ours"]) == [request(100)["parameters"]]

    def test_what_the_request_gives_is_kept(self, engine: Engine) -> None:
        add(engine, SEVERAL)
        lookup = Lookup(engine)
        given = request(100, ispyb_images="a:1:2", more=[1])
        assert lookup.several([given], SOURCES) == [lookup(given)["parameters"]]

    @pytest.mark.parametrize("names", [(), SOURCES])
    def test_none(self, engine: Engine, names: Any) -> None:
        assert Lookup(engine).several([], names) == []
