"""The look-up's contract: the same answers from every database that holds an ISPyB."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from dlstbx_cli.database.lookup import SOURCES, Lookup
from tests.database.building import COLLECTION, ROWS, add, counted
from tests.database.collection_contract import (
    REPROCESSED,
    CollectionContract,
    ReprocessingContract,
    look_up,
)
from tests.database.groups_contract import (
    EnergyContract,
    EventContract,
    ModelContract,
    PinContract,
    SampleGroupContract,
    events,
    linked,
    scan,
)
from tests.database.recent_contract import RecentContract
from tests.database.several_contract import SeveralContract

#: A collection that has everything.
EVERYTHING: dict[str, Any] = {
    **REPROCESSED,
    "DataCollection": [{**COLLECTION, "wavelength": 1.28255}],
    "BLSample": [
        {
            **ROWS["BLSample"][0],
            "containerId": 5,
            "location": "3",
            "loopType": "multipin",
            "SMILES": "ä",
        }
    ],
    "EnergyScan": [scan()],
    "BLSampleGroup": [{"blSampleGroupId": 77}],
    "BLSampleGroup_has_BLSample": [{"blSampleGroupId": 77, "blSampleId": 1}],
    **linked({"code": "1ABC"}),
    **events(2.0),
}


class LookupContract(
    CollectionContract,
    ReprocessingContract,
    EnergyContract,
    ModelContract,
    PinContract,
    SampleGroupContract,
    EventContract,
    SeveralContract,
    RecentContract,
):
    """All of it."""

    @pytest.mark.parametrize(
        ("request_", "most"),
        [
            ({"parameters": {"ispyb_dcid": 100}}, 6),
            ({"recipes": ["x"], "parameters": {"ispyb_process": 5}}, 8),
        ],
    )
    def test_few_statements(self, engine: Engine, request_: Any, most: int) -> None:
        add(engine, EVERYTHING)
        lookup = Lookup(engine)
        lookup(request_)  # also opens the connection
        statements = counted(engine)
        found = lookup(request_)["parameters"]
        assert found["ispyb_ssx_events"]
        assert found["ispyb_energy_scan_info"]
        assert len(statements) == most

    def test_every_parameter_says_where_it_came_from(self, engine: Engine) -> None:
        add(engine, EVERYTHING)
        request, origins = Lookup(engine).explained(
            {"recipes": ["x"], "parameters": {"ispyb_process": 5}}
        )
        assert set(request["parameters"]) - set(origins) == {"ispyb_process"}
        assert set(request["parameters"]) == set(SOURCES)
        assert all(origins.values())
        assert origins["ispyb_energy_scan_info"] == "EnergyScan 1, the nearest one"
        assert origins["ispyb_image_first"] == "DataCollection.startImageNumber"

    @pytest.mark.parametrize("group", ["", "Serial Jet"])
    def test_asked_twice(self, engine: Engine, group: str) -> None:
        add(engine, EVERYTHING)
        assert look_up(engine) == look_up(engine)
